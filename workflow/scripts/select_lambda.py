"""Choose lambda for one method on one case by cross-validation over images."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run


def main(
    *,
    scores: Annotated[Path, typer.Option(help="scores/{dataset}/{case}/{method}.csv")],
    folds: Annotated[int, typer.Option(help="how many parts the images are split into")],
    seed: Annotated[int, typer.Option(help="of the folds")],
    output: Annotated[Path, typer.Option(help="CSV to write")],
) -> None:
    """Read a score CSV; write metric, fold, lam, value.

    Each fold's lambda is chosen on the other folds, the row `all` is chosen on all images.
    """
    from rgi.evaluation.scoring import read_scores
    from rgi.evaluation.selection import select_lambda, write_selection

    write_selection(output, select_lambda(read_scores(scores), folds, seed))


if __name__ == "__main__":
    run(main)

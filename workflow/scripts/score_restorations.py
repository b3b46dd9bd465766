"""Score all restorations of one method on one case."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import pin_threads, run
from rgi.evaluation.metrics import METRICS
from rgi.evaluation.scoring import Mask, score_restorations, write_scores


def main(
    *,
    case: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    restorations: Annotated[Path, typer.Option(help="restorations/{dataset}/{case}/{method}")],
    lam: Annotated[list[str], typer.Option(help="name of a folder in RESTORATIONS; repeated")],
    shards: Annotated[int, typer.Option(help="files in each of these folders")],
    metrics: Annotated[list[str], typer.Option(help=f"of {', '.join(METRICS)}; repeated")],
    mask: Annotated[Mask, typer.Option(help="what score > 0.5 is to the method")],
    output: Annotated[Path, typer.Option(help="CSV to write")],
    restores: Annotated[bool, typer.Option(help="whether the method restores images")] = True,
) -> None:
    """Read a case and {restorations}/{lam}/{shard}.npz, write a CSV with one value per row.

    Columns: index, lam, metric, region, value, and group where the case has groups. --lam and
    --metrics are repeated.
    """
    if "lpips" in metrics:  # the only one that needs torch, which is slow to start
        pin_threads(1)
    scores = score_restorations(case, restorations, lam, shards, metrics, mask, restores)
    write_scores(output, scores)


if __name__ == "__main__":
    run(main)

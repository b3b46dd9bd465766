"""What one method's maps are worth as a detector of anomalies on one case."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run


def main(
    *,
    case: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    restorations: Annotated[Path, typer.Option(help="restorations/{dataset}/{case}/{method}")],
    lam: Annotated[list[str], typer.Option(help="name of a folder in RESTORATIONS; repeated")],
    shards: Annotated[int, typer.Option(help="files in each of these folders")],
    folds: Annotated[int, typer.Option(help="as in the selection of lambda")],
    seed: Annotated[int, typer.Option(help="of folds and bootstrap, as there")],
    directory: Annotated[Path, typer.Option(help="folder to write to")],
    restores: Annotated[bool, typer.Option(help="whether the method restores images")] = True,
) -> None:
    """Read a case and {restorations}/{lam}/{shard}.npz; choose lambda and threshold by Dice.

    Writes summary.csv (per kind), points.csv (lambda and threshold of each fold), images.csv and
    curves.csv (ROC, precision-recall). Lambda and threshold of a fold are chosen on the others.
    """
    from rgi.evaluation.detection import detect, load_maps, write_detection

    found = load_maps(case, restorations, lam, shards, restores)
    write_detection(directory, detect(*found, folds, seed, str(case)))


if __name__ == "__main__":
    run(main)

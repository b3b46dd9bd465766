"""From the masks that one method found on one case to measured defects."""

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
    detection: Annotated[Path, typer.Option(help="folder of images.csv: lambdas and thresholds")],
    output: Annotated[Path, typer.Option(help="CSV to write")],
    restores: Annotated[bool, typer.Option(help="whether the method restores images")] = True,
) -> None:
    """Read maps and the threshold of each image; write a row per image and defect found.

    Columns: index (the image), defect; area, length, width, top, left, box_height, box_width, in
    pixels; score_mean, score_max, in the method's own scale. An image without a found defect has no
    row.
    """
    from rgi.evaluation.defects import write_defects
    from rgi.evaluation.detection import found_defects, load_maps, read_images

    found = load_maps(case, restorations, lam, shards, restores)
    write_defects(output, found_defects(*found, read_images(detection)))


if __name__ == "__main__":
    run(main)

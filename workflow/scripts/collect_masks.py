"""Collect the masks of a data set of defects, for cases of corruption `library`."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.corruption import collect_masks


def main(
    *,
    archive: Annotated[Path, typer.Option(help="a folder, zip or tar file with masks in it")],
    output: Annotated[Path, typer.Option(help="the zip file to write")],
) -> None:
    """Write the masks of ARCHIVE, those in folders ground_truth, to the zip file OUTPUT."""
    collect_masks(archive, output)


if __name__ == "__main__":
    run(main)

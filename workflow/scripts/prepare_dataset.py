"""Turn one entry of the config's `datasets` into arrays of training and test images."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.data import prepare
from rgi.settings import parse_json


def main(
    *,
    settings: Annotated[str, typer.Option(help="the data set's entry in the config, as JSON")],
    directory: Annotated[Path, typer.Option(help="results/datasets/{dataset}")],
    seed: Annotated[int, typer.Option(min=0, help="draws the split and the crops")] = 0,
) -> None:
    """Write train.npy, test.npy (and test_masks.npy), info.yaml and preview.png into DIRECTORY.

    Example of SETTINGS: '{"source": "digits", "resolution": 16, "channels": 1, "test": 32}'.
    """
    prepare(parse_json(settings), directory, seed)


if __name__ == "__main__":
    run(main)

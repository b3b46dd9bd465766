"""Turn one entry of the config's `datasets` into arrays of training and test images."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.data import check_registered, prepare
from rgi.settings import parse_json


def main(
    *,
    settings: Annotated[str, typer.Option(help="the data set's entry in the config, as JSON")],
    directory: Annotated[Path, typer.Option(help="results/datasets/{dataset}")],
    archive: Annotated[
        list[str] | None, typer.Option(help="a file of the publisher's, for a source that has some")
    ] = None,
    registered: Annotated[
        bool, typer.Option("--registered", help="refuse files with other than the registered bytes")
    ] = False,
    unpacked: Annotated[
        str | None, typer.Option(help="folder of what had to be unpacked of the files")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="draws the split and the crops")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="that read pictures")] = 1,
) -> None:
    """Write train.npy, test.npy, info.yaml and preview.png into DIRECTORY.

    Beside them stand test_masks.npy, test_kinds.txt and test_groups.txt where the source knows
    masks, kinds and groups. After a kill the same command goes on where it was.

    Example of SETTINGS: '{"source": "digits", "resolution": 16, "channels": 1, "test": 32}'.
    """
    values = parse_json(settings)
    if registered:
        check_registered(values["source"], archive or [])
    if archive:
        values["archive"] = archive[0] if len(archive) == 1 else archive
    if unpacked is not None:
        values["unpacked"] = unpacked
    prepare(values, directory, seed, processes)


if __name__ == "__main__":
    run(main)

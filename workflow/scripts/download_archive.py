"""Bring the archive of a public data set onto this machine."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.data.downloads import download


def main(
    *,
    source: Annotated[str, typer.Option(help="a source that is downloaded, such as magnetic-tile")],
    output: Annotated[
        Path, typer.Option(help="the file to write, called as its publisher calls it")
    ],
    mirror: Annotated[
        str | None, typer.Option(help="folder or base URL in place of the publisher's host")
    ] = None,
) -> None:
    """Write the publisher's file to OUTPUT."""
    download(source, output.name, output, mirror)


if __name__ == "__main__":
    run(main)

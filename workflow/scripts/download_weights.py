"""Bring trained networks that were published onto this machine."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.data.downloads import download_weights


def main(
    *,
    url: Annotated[str, typer.Option(help="where they are published")],
    sha256: Annotated[str, typer.Option(help="what the file must have")],
    output: Annotated[Path, typer.Option(help="the file to write")],
    mirror: Annotated[
        str | None, typer.Option(help="folder or base URL that holds generators/NAME")
    ] = None,
) -> None:
    """Write the file at URL to OUTPUT."""
    download_weights(url, sha256, output, mirror)


if __name__ == "__main__":
    run(main)

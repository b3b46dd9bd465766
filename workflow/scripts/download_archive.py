"""Bring the archive of a public data set onto this machine."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.data import ARCHIVES, download
from rgi.settings import choose


def main(
    *,
    source: Annotated[str, typer.Option(help="a source that is downloaded, such as magnetic-tile")],
    output: Annotated[Path, typer.Option(help="the zip file to write")],
    mirror: Annotated[
        str | None, typer.Option(help="folder or base URL in place of the publisher's host")
    ] = None,
) -> None:
    """Write the publisher's zip file to OUTPUT."""
    download(choose(ARCHIVES, source, "--source"), output, mirror)


if __name__ == "__main__":
    run(main)

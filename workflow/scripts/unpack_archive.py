"""Unpack what cannot be read in place: a compressed tar file, the LMDB database in a zip file."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.data import unpack


def main(
    *,
    archive: Annotated[Path, typer.Option(help="a .tgz, .tar.xz or _lmdb.zip file")],
    output: Annotated[Path, typer.Option(help="the .tar or .mdb file to write")],
) -> None:
    """Write the one file that ARCHIVE holds in compressed form to OUTPUT."""
    unpack(archive, output)


if __name__ == "__main__":
    run(main)

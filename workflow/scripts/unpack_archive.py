"""Unpack what cannot be read in place: a compressed tar file, the LMDB database in a zip file."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.data import check_registered, unpack


def main(
    *,
    archive: Annotated[Path, typer.Option(help="a .tgz, .tar.xz or _lmdb.zip file")],
    output: Annotated[Path, typer.Option(help="the .tar or .mdb file to write")],
    registered: Annotated[
        str | None, typer.Option(help="the source as whose file ARCHIVE's bytes must be registered")
    ] = None,
) -> None:
    """Write the one file that ARCHIVE holds in compressed form to OUTPUT."""
    if registered is not None:
        check_registered(registered, [str(archive)])
    unpack(archive, output)


if __name__ == "__main__":
    run(main)

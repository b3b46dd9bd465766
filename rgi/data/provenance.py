"""What the bytes of publishers' files are known by, and how those at hand stand to it."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rgi.data.publications import PUBLICATIONS, Publication
from rgi.errors import InputError
from rgi.files import md5_of, sha256_of
from rgi.settings import choose

OTHER_BYTES = "other bytes than the project knows"  # what info.yaml says of them
_DIGESTS = {"sha256": sha256_of, "md5": md5_of}


def check_registered(source: str, paths: Sequence[str]) -> None:
    """Refuse files in the place of downloads, from a mirror or by hand, that have other bytes.

    Args:
        source: of PUBLICATIONS.
        paths: files called as the publisher calls them.

    Raises:
        InputError: one has not the registered checksum; without one, any bytes will do.
    """
    publication = choose(PUBLICATIONS, source, "source")
    for path in map(Path, paths):
        file = publication.file(path.name)
        if file.checksum and not has_checksum(path, file.checksum):
            raise InputError(
                f"{path}: other bytes than the registered {file.checksum}; delete the file, or set "
                "`mirror:` to the folder that it is from, or the data set's `archive:` to a copy"
            )


def provenance(source: str, paths: Sequence[str]) -> dict[str, Any]:
    """Say for info.yaml which files a data set is made of, with a warning if not the publisher's.

    Args:
        source: of PUBLICATIONS.
        paths: the files, or folders of the user's own.
    """
    publication = PUBLICATIONS[source]
    notes: list[str] = []
    found: dict[str, str] = {}
    for path in map(Path, paths):
        if path.is_dir():
            notes.append(f"{path.name}: a folder of one's own")
            continue
        found[path.name] = sha256_of(path)
        notes.append(f"{path.name}: {_compare(publication, path, found[path.name])}")
    digest = next(iter(found.values()), None) if len(paths) == 1 else found
    return {"source": f"{publication.title}, {'; '.join(notes)}", "sha256": {"source": digest}}


def _compare(publication: Publication, path: Path, sha256: str) -> str:
    """Say how a file's bytes stand to what is registered."""
    if not all(file.checksum for file in publication.files if file.name == path.name):
        return "no checksum is known to compare with"
    registered = {file.checksum for file in publication.files}
    known = f"sha256:{sha256}" in registered
    if not known and any(checksum.startswith("md5:") for checksum in registered):
        known = f"md5:{md5_of(path)}" in registered
    if known:
        return "the bytes that the project knows"
    logging.warning("%s: %s of %s", path, OTHER_BYTES, publication.title)
    return OTHER_BYTES


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether a file has this checksum, ALGORITHM:HEXADECIMAL; none has the empty one."""
    algorithm, _, digest = checksum.partition(":")
    return bool(checksum) and digest_of(path, algorithm) == digest


def digest_of(path: Path, algorithm: str) -> str:
    """Return a file's sha256 or md5 as hexadecimal digits."""
    return _DIGESTS[algorithm](path)

"""Archives that publishers offer, and how they come onto this machine."""

import logging
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from rgi.errors import InputError
from rgi.files import md5_of, sha256_of, write_whole
from rgi.settings import choose

_PATIENCE = (10, 60)  # seconds until a server answers, and between two pieces
_PIECE = 1 << 20


@dataclass(frozen=True)
class Archive:
    """One of a publisher's files.

    `name` is its own; `urls` are tried in turn, without one it has to be fetched by hand.
    `checksum` is ALGORITHM:HEXADECIMAL, the publisher's own or of the bytes that the project was
    tested with; empty where none is known.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str


@dataclass(frozen=True)
class Publication:
    """A public set of images; a mirror keeps its files as `folder`/NAME."""

    folder: str
    files: tuple[Archive, ...]

    def file(self, name: str) -> Archive:
        """Return the file called `name`.

        Raises:
            InputError: there is none.
        """
        return choose({file.name: file for file in self.files}, name, f"{self.folder}: file")


PUBLICATIONS = {
    "magnetic-tile": Publication(
        "magnetic_tile",
        (
            Archive(
                "Magnetic-tile-defect-datasets.-master.zip",
                (
                    "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/refs/heads/"
                    "master.zip",
                ),
                "sha256:edb425745c1e3ed4a93a6c32cd53c547152ce9c609d484327601bd994298c7c4",
            ),
        ),
    ),
    "celeba": Publication(
        "celeba",
        (
            Archive(
                "img_align_celeba.zip",
                ("https://cseweb.ucsd.edu/~weijian/static/datasets/celeba/img_align_celeba.zip",),
                "md5:00d2c5bc6d35e252742224ab0c1e8fcb",
            ),
        ),
    ),
    "cars": Publication(
        "stanford_cars",
        (
            Archive("cars_train.tgz", (), "md5:065e5b463ae28d29e77c1b4b166cfe61"),
            Archive("cars_test.tgz", (), "md5:4ce7ebf6a94d07f1952d94dd34c4d501"),
            Archive("car_devkit.tgz", (), "md5:c3b158d763b6e2245038c8ad08e45376"),
        ),
    ),
}


def download(source: str, name: str, path: Path, mirror: str | None = None) -> None:
    """Write one of a publication's files to `path`, whole or not at all.

    Args:
        source: of PUBLICATIONS.
        name: of the file.
        path: where to.
        mirror: a folder or base URL that takes the place of the publisher's host.

    Raises:
        InputError: it cannot be had, or what came is no zip file.
    """
    publication = choose(PUBLICATIONS, source, "source")
    file = publication.file(name)
    place = f"{publication.folder}/{name}"
    addresses = file.urls if mirror is None else (f"{mirror.rstrip('/')}/{place}",)
    with write_whole(path) as temporary:
        for address in addresses:
            try:
                if "://" in address:
                    _fetch(address, temporary)
                else:
                    shutil.copyfile(address, temporary)
            except (requests.RequestException, OSError) as error:
                reason = " ".join(str(error).split())
                raise InputError(
                    f"{address}: cannot be had ({reason}); set `mirror:` to a folder or base URL "
                    f"that holds {place}, or the data set's `archive:` to a copy of the file"
                ) from None
            if not zipfile.is_zipfile(temporary):
                raise InputError(f"{address}: what came is no whole zip file")


def provenance(source: str, paths: Sequence[str]) -> dict[str, Any]:
    """Say for info.yaml which files a data set is made of, with a warning if not the publisher's.

    Args:
        source: of PUBLICATIONS.
        paths: the files, or folders of the user's own.
    """
    registered = {file.checksum for file in PUBLICATIONS[source].files}
    found: dict[str, str] = {}
    notes = []
    for path in map(Path, paths):
        if path.is_dir():
            notes.append(f"{path.name}: a folder of one's own")
            continue
        found[path.name] = sha256_of(path)
        if registered & {f"sha256:{found[path.name]}", f"md5:{md5_of(path)}"}:
            notes.append(f"{path.name}: the bytes that the project knows")
        else:
            notes.append(f"{path.name}: other bytes than the project knows")
            logging.warning("%s: other bytes than the project knows of %s", path, source)
    digest = found.get(Path(paths[0]).name) if len(paths) == 1 else found
    return {"source": f"{source}, {'; '.join(notes)}", "sha256": {"source": digest}}


def _fetch(url: str, path: Path) -> None:
    with requests.get(url, stream=True, timeout=_PATIENCE) as response, path.open("wb") as stream:
        response.raise_for_status()
        length = int(response.headers.get("Content-Length", 0)) or None
        with tqdm(total=length, unit="B", unit_scale=True, desc=path.name, disable=None) as bar:
            # Fewer bytes than announced are an error of `requests`, not a short file.
            for piece in response.iter_content(_PIECE):
                stream.write(piece)
                bar.update(len(piece))

"""Archives that publishers offer, and how they come onto this machine."""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm import tqdm

from rgi.errors import InputError
from rgi.files import write_whole

_PATIENCE = (10, 60)  # seconds until a server answers, and between two pieces
_PIECE = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A publisher's zip file.

    `place` is FOLDER/FILE, where a mirror keeps it; `sha256` is of the bytes the project was
    tested with.
    """

    url: str
    place: str
    sha256: str

    def address(self, mirror: str | None) -> str:
        """Return the URL or path that the archive is taken from."""
        return self.url if mirror is None else f"{mirror.rstrip('/')}/{self.place}"


ARCHIVES = {
    "magnetic-tile": Archive(
        "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/refs/heads/master.zip",
        "magnetic_tile/Magnetic-tile-defect-datasets.-master.zip",
        "edb425745c1e3ed4a93a6c32cd53c547152ce9c609d484327601bd994298c7c4",
    )
}


def download(archive: Archive, path: Path, mirror: str | None = None) -> None:
    """Write the archive to `path`, whole or not at all.

    Args:
        archive: what to get.
        path: where to.
        mirror: a folder or base URL that takes the place of the publisher's host.

    Raises:
        InputError: it cannot be had, or what came is no zip file.
    """
    address = archive.address(mirror)
    with write_whole(path) as temporary:
        try:
            if "://" in address:
                _fetch(address, temporary)
            else:
                shutil.copyfile(address, temporary)
        except (requests.RequestException, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{address}: cannot be had ({reason}); set `mirror:` to a folder or base URL that "
                f"holds {archive.place}, or the data set's `archive:` to a copy of the file"
            ) from None
        if not zipfile.is_zipfile(temporary):
            raise InputError(f"{address}: what came is no whole zip file")


def _fetch(url: str, path: Path) -> None:
    with requests.get(url, stream=True, timeout=_PATIENCE) as response, path.open("wb") as stream:
        response.raise_for_status()
        length = int(response.headers.get("Content-Length", 0)) or None
        with tqdm(total=length, unit="B", unit_scale=True, desc=path.name, disable=None) as bar:
            # Fewer bytes than announced are an error of `requests`, not a short file.
            for piece in response.iter_content(_PIECE):
                stream.write(piece)
                bar.update(len(piece))

"""Pictures that a person names, as files and folders."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rgi.data.folder import file_names
from rgi.data.kinds import check_names
from rgi.data.pictures import Crop, cut_box, decode, read_bytes, to_pixels
from rgi.errors import InputError


@dataclass(frozen=True)
class Picture:
    """A picture's file, and the name (parts joined by /, no suffix) of what is made of it."""

    path: Path
    name: str


@dataclass(frozen=True)
class Loaded:
    """A picture as a generator sees it, uint8 H x W x C.

    `box` is the part of the picture that this is: top, left, height, width in its own pixels.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    sha256: str  # of its file


def find_pictures(paths: Iterable[Path], excluded: Path) -> list[Picture]:
    """List the files among `paths` and those in folders among them, however deep, each once.

    A file is named by its own name, a file in a folder by the folder's name and its place in it.
    Hidden files are left out, and what lies in `excluded`.

    Raises:
        InputError: a path does not exist, a folder has no file, two files have one name, or a
            name could not stand in a table.
    """
    found: dict[Path, Picture] = {}
    for path in paths:
        for picture in _pictures(Path(path), excluded):
            found.setdefault(picture.path.resolve(), picture)
    check_names(picture.name for picture in found.values())
    owners: dict[str, Path] = {}
    for picture in found.values():
        owner = owners.setdefault(picture.name, picture.path)
        if owner is not picture.path:
            raise InputError(
                f"{owner} and {picture.path}: both would be named {picture.name}; give the folder "
                "that holds them, rename one, or take two runs with an --out each"
            )
    return list(found.values())


def load_picture(path: Path, crop: Crop, resolution: int, channels: int) -> Loaded:
    """Read, cut and resize one picture, as the source `folder` does for training.

    Raises:
        UnreadableImageError: not a readable image, or the box of `crop` reaches outside it.
    """
    data = read_bytes(path)
    image = decode(data)
    pixels = to_pixels(image, crop, resolution, channels)
    return Loaded(pixels, cut_box(image, crop), hashlib.sha256(data).hexdigest())


def _pictures(path: Path, excluded: Path) -> list[Picture]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [Picture(path, path.stem)]
    folder = path.resolve().name
    names = file_names(path, excluded)
    if not names:
        raise InputError(f"{path}: no file in it but hidden ones and what lies in {excluded}")
    return [Picture(path / name, Path(folder, name).with_suffix("").as_posix()) for name in names]

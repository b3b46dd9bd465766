"""Masks of real defects out of a library: a folder or an archive of mask images."""

import functools
import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from rgi.data.archives import open_members
from rgi.data.pictures import UnreadableImageError, cut, decode, resize_mask, to_mask
from rgi.errors import InputError
from rgi.files import check_content, write_whole

WHERE = "cases: library"
TRUTH = "ground_truth"  # MVTec AD's folder of masks
_PICTURES = (".png", ".bmp", ".gif", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True)
class Library:
    """One of the library's masks, drawn at random; every touched pixel is corrupted.

    `path` is a folder, a zip or a tar file of masks (above 127 = corrupted), such as MVTec AD's
    ground_truth/KIND/NNN_mask.png; where there are folders ground_truth, nothing else is a mask.
    `kinds` are the names of the masks' own folders; None takes all.
    `area` is the least and largest part of the pixels that a mask may cover once it is resized.
    """

    path: str
    kinds: tuple[str, ...] | None = None
    area: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not 0 <= self.area[0] < self.area[1] <= 1:
            raise InputError(
                f"{WHERE}: area: {list(self.area)}; expected [low, high] with 0 <= low < high <= 1"
            )

    def draw(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Draw a mask, bool H x W, True = corrupted; the image is square.

        Raises:
            InputError: the library is missing, damaged or has no mask of such a kind and area.
        """
        masks = _read(self, shape[0])
        return masks[generator.integers(len(masks))]


def library_hash(path: Path, kinds: Sequence[str] | None = None) -> str:
    """Return the SHA-256 of the masks' names and bytes, the same for a folder and its zip file.

    Raises:
        InputError: the library is missing, damaged or has no mask of such kinds.
    """
    digest = hashlib.sha256()
    for name, data in _files(path, kinds):
        digest.update(f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()


def collect_masks(path: Path, output: Path) -> None:
    """Write all masks of a library to the zip file `output`, by the same names.

    Raises:
        InputError: the library is missing, damaged or has no mask.
    """
    with (
        write_whole(output, checksum=True) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        for name, data in _files(path, None):
            archive.writestr(zipfile.ZipInfo(name), data)  # without the time


@functools.lru_cache(maxsize=4)
def _read(library: Library, side: int) -> tuple[np.ndarray, ...]:
    """Read the library's masks once for all images of a case."""
    found, fitting = 0, []
    for name, data in _files(Path(library.path), library.kinds):
        found += 1
        try:
            square = to_mask(cut(decode(data), "centre"))
        except UnreadableImageError as error:
            raise InputError(f"{library.path}: {name}: {error}") from None
        mask = resize_mask(square, side)
        if mask.any() and library.area[0] <= mask.mean() <= library.area[1]:
            fitting.append(mask)
    if not fitting:
        raise InputError(
            f"{WHERE}: path: {library.path}: of {found} masks of {_named(library.kinds)} none "
            f"covers {library.area[0]} to {library.area[1]} of {side} x {side} pixels"
        )
    return tuple(fitting)


def _files(path: Path, kinds: Sequence[str] | None) -> Iterator[tuple[str, bytes]]:
    """Yield the library's masks by relative name; a zip or tar file is read in place."""
    check_content(path)
    members = open_members(str(path), f"{WHERE}: path")
    for name in _masks(path, members.names, kinds):
        try:
            yield name, members.read(name)
        except UnreadableImageError as error:
            raise InputError(f"{WHERE}: path: {path}: {name}: {error}") from None


def _masks(path: Path, names: Iterable[str], kinds: Sequence[str] | None) -> list[str]:
    """Say which files are masks: beside the truth MVTec AD has photographs in folders KIND, too."""
    parts = {name: PurePosixPath(name).parts for name in sorted(names)}
    shown = [
        name
        for name, folders in parts.items()
        if name.lower().endswith(_PICTURES) and not any(part.startswith(".") for part in folders)
    ]
    masks = [name for name in shown if TRUTH in parts[name][:-1]] or shown
    chosen = [name for name in masks if kinds is None or PurePosixPath(name).parent.name in kinds]
    if not chosen:
        raise InputError(f"{WHERE}: path: {path}: no mask of {_named(kinds)} in it")
    return chosen


def _named(kinds: Sequence[str] | None) -> str:
    return "any kind" if kinds is None else f"kind {', '.join(kinds)}"

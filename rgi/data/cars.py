"""Stanford cars (Krause, Stark, Deng, Fei-Fei 2013), cropped to their boxes.

The publisher has the images in cars_train.tgz and cars_test.tgz, and in car_devkit.tgz the boxes:
cars_train_annos.mat, cars_test_annos.mat. One archive or folder of images that are cropped already
does as well.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from rgi.data.archives import Members, open_members
from rgi.data.pictures import UnreadableImageError, decode, to_pixels
from rgi.data.provenance import provenance
from rgi.data.sources import Parts, check_count, check_image_format
from rgi.data.split import Side, draw_parts, hold_out
from rgi.errors import InputError

WHERE = "datasets: cars"
PARTS = ("train", "test")
Box = tuple[int, int, int, int]  # left, top, right, bottom: from 1, the last inclusive


@dataclass(frozen=True)
class CarsSettings:
    """`test` images are drawn of the publisher's test part, the whole training part is trained on.

    `archive` is one file or folder, or several that have the publisher's files between them. If
    they have images without boxes, in one folder, those are cropped already and the last `held_out`
    of them are the test part. `unpacked` is the folder of what had to be unpacked.
    """

    archive: str | tuple[str, ...]
    resolution: int
    test: int
    channels: int = 3
    held_out: int | None = None
    unpacked: str | None = None

    def __post_init__(self) -> None:
        check_image_format(WHERE, self.resolution, self.channels)
        check_count(f"{WHERE}: test", self.test)
        if self.held_out is not None:
            check_count(f"{WHERE}: held_out", self.held_out)

    @property
    def archives(self) -> tuple[str, ...]:
        """The paths of `archive`, be it one or several."""
        return (self.archive,) if isinstance(self.archive, str) else self.archive


@dataclass(frozen=True)
class _Reader:
    """Reads the cars of one part: uint8 H x W x C; without `boxes` they are cropped already."""

    members: Members
    boxes: Mapping[str, Box] | None = field(repr=False)  # by file name, without folders
    resolution: int
    channels: int

    def image(self, name: str) -> np.ndarray:
        return self.decode(name, self.members.read(name))

    def decode(self, name: str, data: bytes) -> np.ndarray:
        """Cut a car out of its image and resize it to a square, as the RGI paper does."""
        image = decode(data, upright=self.boxes is None)
        left, top, right, bottom = (1, 1, *image.size) if self.boxes is None else self._box(name)
        # A box may end beyond the image's last row or column.
        right, bottom = min(right, image.width), min(bottom, image.height)
        if not (1 <= left <= right and 1 <= top <= bottom):
            raise UnreadableImageError(f"its box {self._box(name)} holds nothing of the image")
        box = {"box": [top - 1, left - 1, bottom - top + 1, right - left + 1]}
        return to_pixels(image, box, self.resolution, self.channels)

    def _box(self, name: str) -> Box:
        file = PurePosixPath(name).name
        if file not in self.boxes:
            raise UnreadableImageError(f"no box of {file} in the annotations")
        return self.boxes[file]


def cars(settings: CarsSettings, seed: int) -> Parts:
    """Open the cars of the archives `settings.archive`, in the order of their numbers.

    Raises:
        InputError: an archive is missing, damaged or not safe, or lacks images or boxes.
    """
    archives = [
        open_members(path, f"{WHERE}: archive", settings.unpacked) for path in settings.archives
    ]
    if any(_images(members, "cars_train") for members in archives):
        (train, reader), (held_out, test_reader) = (
            _publishers_part(settings, archives, part) for part in PARTS
        )
    else:
        (train, held_out), reader = _cropped_parts(settings, archives)
        test_reader = reader
    return draw_parts(
        Side(train, reader),
        Side(held_out, test_reader),
        settings.test,
        seed,
        WHERE,
        origin=partial(provenance, "cars", settings.archives),
        said={
            "held_out": f"{len(held_out)} images, {held_out[0]} to {held_out[-1]}",
            "train": f"{len(train)} images, {train[0]} to {train[-1]}",
        },
    )


def _images(members: Members, folder: str = "") -> list[str]:
    """List the images in any folder called so, or in any at all."""
    pattern = re.compile(rf"(?:.*/)?{folder and f'{folder}/'}\d{{5,6}}\.jpg")
    return [name for name in members.names if pattern.fullmatch(name)]


def _publishers_part(
    settings: CarsSettings, archives: Sequence[Members], part: str
) -> tuple[list[str], _Reader]:
    """Find one part's images, and their boxes among the annotations."""
    if settings.held_out is not None:
        raise InputError(
            f"{WHERE}: held_out: {settings.held_out}; the publisher's archives have a test part; "
            "allowed for one folder of cropped images"
        )
    found = [(members, _images(members, f"cars_{part}")) for members in archives]
    owners = [(members, names) for members, names in found if names]
    if len(owners) != 1:
        raise InputError(
            f"{WHERE}: archive: {_listed(settings)}: {len(owners)} of them have images "
            f"cars_{part}/NNNNN.jpg, expected 1"
        )
    members, names = owners[0]
    boxes = _boxes(settings, archives, f"cars_{part}_annos.mat")
    return names, _Reader(members, boxes, settings.resolution, settings.channels)


def _boxes(settings: CarsSettings, archives: Sequence[Members], file: str) -> dict[str, Box]:
    """Read the boxes of a part by the names of their images."""
    from scipy.io import loadmat

    for members in archives:
        for name in members.names:
            if PurePosixPath(name).name != file:
                continue
            try:
                rows = loadmat(io.BytesIO(members.read(name)), squeeze_me=True)["annotations"]
                corners = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
                return {
                    str(row["fname"]): tuple(int(row[corner]) for corner in corners)
                    for row in np.atleast_1d(rows)
                }
            except Exception as error:  # on damaged files the reader raises nearly anything
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise InputError(f"{members.path}: {name}: no annotations ({reason})") from None
    raise InputError(f"{WHERE}: archive: {_listed(settings)}: none of them has {file}")


def _cropped_parts(
    settings: CarsSettings, archives: Sequence[Members]
) -> tuple[tuple[Sequence[str], Sequence[str]], _Reader]:
    """Split one folder of images that are cropped already."""
    names = _images(archives[0])
    folders = {PurePosixPath(name).parent for name in names}
    if len(archives) != 1 or len(folders) != 1:
        raise InputError(
            f"{WHERE}: archive: {_listed(settings)}: neither the publisher's images in cars_train "
            "and cars_test nor one folder of cropped images NNNNN.jpg"
        )
    if settings.held_out is None:
        raise InputError(
            f"{WHERE}: held_out: None; cropped images have no test part: give the number of the "
            "last images that it is made of"
        )
    reader = _Reader(archives[0], None, settings.resolution, settings.channels)
    return hold_out(names, settings.held_out, WHERE), reader


def _listed(settings: CarsSettings) -> str:
    return ", ".join(settings.archives)

"""CelebA's aligned faces (Liu, Luo, Wang, Tang 2015), read in place from img_align_celeba.zip."""

import re
from dataclasses import dataclass
from functools import partial

import numpy as np

from rgi.data.archives import Members, open_members
from rgi.data.pictures import Crop, check_crop, decode, to_pixels
from rgi.data.provenance import provenance
from rgi.data.sources import Parts, check_count, check_image_format
from rgi.data.split import Side, draw_parts, hold_out
from rgi.errors import InputError

WHERE = "datasets: celeba"
_MEMBER = re.compile(r"(?:[^/]+/)*\d{6}\.jpg")


@dataclass(frozen=True)
class CelebaSettings:
    """All images but the last `held_out` are for training; `test` of those are drawn.

    `archive` is the publisher's zip file or a folder, whatever the size of its images; `images`
    takes the first so many only. `crop` is "centre" (largest central square) or
    {"box": [top, left, height, width]}.
    """

    archive: str
    resolution: int
    test: int
    channels: int = 3
    held_out: int = 2000
    images: int | None = None
    crop: Crop = "centre"

    def __post_init__(self) -> None:
        check_image_format(WHERE, self.resolution, self.channels)
        for name in ("test", "held_out", "images"):
            if getattr(self, name) is not None:
                check_count(f"{WHERE}: {name}", getattr(self, name))
        check_crop(WHERE, self.crop)


@dataclass(frozen=True)
class _Reader:
    """Reads the faces of an archive: uint8 H x W x C."""

    members: Members
    settings: CelebaSettings

    def image(self, name: str) -> np.ndarray:
        return self.decode(name, self.members.read(name))

    def decode(self, _name: str, data: bytes) -> np.ndarray:
        settings = self.settings
        return to_pixels(decode(data), settings.crop, settings.resolution, settings.channels)


def celeba(settings: CelebaSettings, seed: int) -> Parts:
    """Open the faces of the archive `settings.archive`, in the order of their numbers.

    Raises:
        InputError: the archive is missing, damaged or not safe, or has too few images.
    """
    members = open_members(settings.archive, f"{WHERE}: archive")
    names = [name for name in members.names if _MEMBER.fullmatch(name)][: settings.images]
    if len(names) < (settings.images or 1):
        expected = f"{settings.images or 'some'} images NNNNNN.jpg"
        raise InputError(f"{WHERE}: archive: {settings.archive}: has {len(names)} of {expected}")
    train, held_out = hold_out(names, settings.held_out, WHERE)
    reader = _Reader(members, settings)
    return draw_parts(
        Side(train, reader),
        Side(held_out, reader),
        settings.test,
        seed,
        WHERE,
        origin=partial(provenance, "celeba", [settings.archive]),
        said={
            "held_out": f"the last {settings.held_out} images",
            "train": f"the first {len(train)} images, {train[0]} to {train[-1]}",
        },
    )

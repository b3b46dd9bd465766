"""Products that were inspected for defects: BTAD (three products) and MVTec AD (15 categories).

NAME/train/GOOD/ has images without a defect for training, NAME/test/GOOD/ those for testing,
NAME/test/KIND/ images with a defect and NAME/ground_truth/KIND/ their masks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from rgi.data.archives import Members, open_members
from rgi.data.pictures import (
    Crop,
    UnreadableImageError,
    check_crop,
    cut,
    decode,
    resize_mask,
    to_mask,
    to_pixels,
)
from rgi.data.provenance import provenance
from rgi.data.sources import GOOD, Parts, Pictures, check_count, check_image_format
from rgi.data.split import Drawn, Side, describe, draw_test, unseen
from rgi.errors import InputError

PARTS = ("defects", "clean")
CATEGORIES = (
    *("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut"),
    *("pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper"),
)
PRODUCTS = (1, 2, 3)

_IMAGE = r"[^/.][^/]*\.(?:png|bmp|jpe?g|tiff?)"
_MASK_ENDING = "_mask"  # of the names of MVTec AD's masks


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What both data sets have in common.

    Of part "defects" `test` images with a defect and `normal` without are drawn of the publisher's
    test part; of part "clean" `test` of its training part, which has no defects, for cases of
    synthetic ones. `archive` is the publisher's file or a folder; `unpacked` the folder of what had
    to be unpacked.
    """

    archive: str
    resolution: int
    test: int
    normal: int = 0
    part: str = "defects"
    channels: int = 3
    crop: Crop = "whole"
    unpacked: str | None = None

    def _check(self, where: str) -> None:
        check_image_format(where, self.resolution, self.channels)
        check_count(f"{where}: test", self.test)
        check_crop(where, self.crop)
        if self.normal < 0:
            raise InputError(f"{where}: normal: {self.normal}; must not be negative")
        if self.part not in PARTS:
            raise InputError(f"{where}: part: {self.part!r}; allowed: {', '.join(PARTS)}")
        if self.part == "clean" and self.normal:
            raise InputError(
                f"{where}: normal: {self.normal}; of part clean all are normal: allowed: 0"
            )


@dataclass(frozen=True, kw_only=True)
class BtadSettings(_Settings):
    """One of BTAD's products 1, 2, 3 (Mishra et al. 2021)."""

    product: int

    def __post_init__(self) -> None:
        self._check("datasets: btad")
        if self.product not in PRODUCTS:
            raise InputError(f"datasets: btad: product: {self.product}; allowed: 1, 2, 3")


@dataclass(frozen=True, kw_only=True)
class MvtecSettings(_Settings):
    """One of MVTec AD's categories (Bergmann et al. 2021)."""

    category: str

    def __post_init__(self) -> None:
        self._check("datasets: mvtec-ad")
        if self.category not in CATEGORIES:
            raise InputError(
                f"datasets: mvtec-ad: category: {self.category!r}; allowed: {', '.join(CATEGORIES)}"
            )


@dataclass(frozen=True)
class _Product:
    """The images of one product; `good` is the publisher's name of those without a defect."""

    source: str
    name: str
    good: str
    members: Members

    @property
    def where(self) -> str:
        return f"datasets: {self.source}"

    def images(self, part: str) -> list[str]:
        """List the images of train, test or ground_truth, ordered by kind and name."""
        pattern = re.compile(rf"(?:.*/)?{self.name}/{part}/[^/]+/{_IMAGE}", re.IGNORECASE)
        found = [name for name in self.members.names if pattern.fullmatch(name)]
        if not found:
            place = f"{self.name}/{part}/KIND"
            raise InputError(f"{self.where}: archive: {self.members.path}: no images in {place}")
        return found

    def is_good(self, name: str) -> bool:
        return _kind(name) == self.good

    def masks(self) -> dict[str, str]:
        """Return the masks by their images: the same kind and stem, in any file format."""
        places = {_place(name): name for name in self.images("ground_truth")}
        return {
            name: places[_place(name)]
            for name in self.images("test")
            if _place(name) in places and not self.is_good(name)
        }


@dataclass(frozen=True)
class _Reader:
    """Reads images, uint8 H x W x C, and their masks, uint8 H x W, 1 = corrupted."""

    members: Members
    settings: _Settings
    good: str
    masks: Mapping[str, str] = field(default_factory=dict, repr=False)

    def image(self, name: str) -> np.ndarray:
        return self.decode(name, self.members.read(name))

    def decode(self, _name: str, data: bytes) -> np.ndarray:
        settings = self.settings
        image = decode(data, upright=False)
        return to_pixels(image, settings.crop, settings.resolution, settings.channels)

    def mask(self, name: str) -> np.ndarray:
        """Read the mask of an image; all is 0 without a defect.

        Raises:
            UnreadableImageError: there is none, it does not fit or marks nothing within the crop.
        """
        resolution = self.settings.resolution
        if _kind(name) == self.good:
            return np.zeros((resolution, resolution), np.uint8)
        if name not in self.masks:
            raise UnreadableImageError("defect image without a mask")
        mask, image = (
            decode(self.members.read(each), upright=False) for each in (self.masks[name], name)
        )
        if mask.size != image.size:
            raise UnreadableImageError(
                f"mask has {mask.height} rows, {mask.width} columns; its image {image.height} "
                f"rows, {image.width} columns"
            )
        corrupted = to_mask(cut(mask, self.settings.crop))
        if not corrupted.any():
            raise UnreadableImageError("its mask marks nothing within the crop")
        return resize_mask(corrupted, resolution).astype(np.uint8)

    def both(self, name: str) -> None:
        """Read an image and its mask, to see whether they can be read."""
        self.image(name)
        self.mask(name)


def btad(settings: BtadSettings, seed: int) -> Parts:
    """Open one of BTAD's products.

    Raises:
        InputError: the archive is missing, damaged or not safe, or has too few images.
    """
    return _open("btad", settings, f"{settings.product:02}", "ok", seed)


def mvtec_ad(settings: MvtecSettings, seed: int) -> Parts:
    """Open one of MVTec AD's categories.

    Raises:
        InputError: the archive is missing, damaged or not safe, or has too few images.
    """
    return _open("mvtec-ad", settings, settings.category, "good", seed)


def _open(source: str, settings: _Settings, name: str, good: str, seed: int) -> Parts:
    members = open_members(settings.archive, f"datasets: {source}: archive", settings.unpacked)
    product = _Product(source, name, good, members)
    if settings.part == "clean":
        return _clean(product, settings, seed)
    return _defects(product, settings, seed)


def _clean(product: _Product, settings: _Settings, seed: int) -> Parts:
    """Split the publisher's training images."""
    names = product.images("train")
    if settings.test >= len(names):
        raise InputError(
            f"{product.where}: test: {settings.test}; {product.name}/train has {len(names)} "
            f"images, so at most {len(names) - 1}"
        )
    reader = _Reader(product.members, settings, product.good)
    generator = np.random.default_rng(seed)
    drawn = draw_test(names, settings.test, reader.image, generator, product.where)
    train = sorted(set(names) - set(drawn.names) - set(drawn.skipped))
    return Parts(
        test=Pictures(drawn.names, reader.image),
        train=unseen(Side(train, reader), Side(drawn.names, reader)),
        describe=lambda: _describe(product, settings, seed, [drawn], "all others of"),
    )


def _defects(product: _Product, settings: _Settings, seed: int) -> Parts:
    """Draw images with a defect, and some without, of the publisher's test part."""
    reader = _Reader(product.members, settings, product.good, product.masks())
    images = product.images("test")
    drawn = []
    # A stream for each: normal images must not move those with a defect.
    for key, is_good, stream in (("test", False, [seed]), ("normal", True, [seed, 1])):
        names = [name for name in images if product.is_good(name) == is_good]
        count, generator = getattr(settings, key), np.random.default_rng(stream)
        drawn.append(draw_test(names, count, reader.both, generator, product.where, key))
    names = [name for part in drawn for name in part.names]
    return Parts(
        test=Pictures(names, reader.image),
        train=unseen(Side(product.images("train"), reader), Side(names, reader)),
        describe=lambda: _describe(product, settings, seed, drawn, "all of"),
        masks=map(reader.mask, names),
        kinds=[GOOD if product.is_good(name) else _kind(name) for name in names],
    )


def _describe(
    product: _Product, settings: _Settings, seed: int, drawn: Sequence[Drawn], train: str
) -> dict[str, Any]:
    origin = provenance(product.source, [settings.archive])
    return describe(
        origin, seed, drawn, {"part": settings.part, "train": f"{train} {product.name}/train"}
    )


def _kind(name: str) -> str:
    return PurePosixPath(name).parent.name


def _place(name: str) -> tuple[str, str]:
    """Return what an image and its mask have in common."""
    return _kind(name), PurePosixPath(name).stem.removesuffix(_MASK_ENDING)

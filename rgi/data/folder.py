"""A folder of the user's own images, any size and mode, with or without masks."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rgi.data.pictures import (
    Crop,
    UnreadableImageError,
    check_crop,
    cut,
    decode,
    read_bytes,
    resize_mask,
    to_mask,
    to_pixels,
)
from rgi.data.sources import GOOD, Parts, Pictures, check_count, check_image_format
from rgi.errors import InputError

WHERE = "datasets: folder"


@dataclass(frozen=True)
class FolderSettings:
    """All images under `path`, cropped and resized; `test` of them are held out.

    `crop` is "centre" (largest central square) or {"box": [top, left, height, width]}. With a
    folder of `masks` (same stem as the image), images that have a mask are the test images, and
    `normal` of the others with them. With `kinds`, masks lie in a folder for each kind of defect.
    """

    path: str
    resolution: int
    channels: int
    test: int
    masks: str | None = None
    normal: int = 0
    kinds: bool = False
    crop: Crop = "centre"

    def __post_init__(self) -> None:
        check_image_format(WHERE, self.resolution, self.channels)
        check_count(f"{WHERE}: test", self.test)
        if self.normal < 0:
            raise InputError(f"{WHERE}: normal: {self.normal}; must not be negative")
        for key in ("normal", "kinds"):
            if getattr(self, key) and self.masks is None:
                raise InputError(f"{WHERE}: {key}: {getattr(self, key)!r}; needs the key masks")
        check_crop(WHERE, self.crop)


@dataclass
class _Reader:
    """Reads the files of one folder, and remembers their hashes and which cannot be used."""

    root: Path
    settings: FolderSettings
    masks: dict[str, Path]
    hashes: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    held_out: dict[str, str] = field(default_factory=dict)  # hash -> name

    def hold_out(self, names: set[str]) -> None:
        """Keep images from training, under whatever name."""
        for name in sorted(names, reverse=True):
            if (digest := self.digest(name)) is not None:
                self.held_out[digest] = name

    def training_image(self, name: str) -> np.ndarray:
        """Read one image for training: uint8 H x W x C."""
        image = self.image(name)
        if self.hashes[name] in self.held_out:
            raise UnreadableImageError(f"duplicate of {self.held_out[self.hashes[name]]}")
        return image

    def image(self, name: str) -> np.ndarray:
        """Read one image: uint8 H x W x C."""
        settings = self.settings
        image = self._decode(self.root / name, name)
        return to_pixels(image, settings.crop, settings.resolution, settings.channels)

    def mask(self, name: str) -> np.ndarray:
        """Read the mask of the image `name`: uint8 H x W, 1 = corrupted; without one all is 0."""
        if name not in self.masks:
            return np.zeros((self.settings.resolution,) * 2, np.uint8)
        path = self.masks[name]
        try:
            mask = self._decode(path, f"mask of {name}")
        except UnreadableImageError as error:
            raise UnreadableImageError(f"its mask {path}: {error}") from None
        _check_mask(mask, path, self._decode(self.root / name, name), self.root / name)
        corrupted = to_mask(cut(mask, self.settings.crop))
        if not corrupted.any():
            raise UnreadableImageError(f"its mask {path}: nothing is corrupted within the crop")
        return resize_mask(corrupted, self.settings.resolution).astype(np.uint8)

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of the image file `name`, or None if it cannot be read."""
        if name not in self.hashes:
            with contextlib.suppress(UnreadableImageError):
                self._read(self.root / name, name)
        return self.hashes.get(name)

    def first_reason(self) -> str:
        """Say for an error message how many files were skipped, and why the first was."""
        if not self.skipped:
            return ""
        name = min(self.skipped)
        return f" ({len(self.skipped)} skipped, the first: {name}: {self.skipped[name]})"

    def _decode(self, path: Path, name: str) -> Image.Image:
        return decode(self._read(path, name))

    def _read(self, path: Path, name: str) -> bytes:
        data = read_bytes(path)
        self.hashes[name] = hashlib.sha256(data).hexdigest()
        return data


def folder(settings: FolderSettings, seed: int) -> Parts:
    """Open the images under `settings.path`, in the order of their relative names.

    The test images are drawn by `seed` among those that can be read (with `masks`: among those
    that have one, of which what is not drawn is not used; then `normal` among the others). Files
    that cannot be read, or do not hold the box, are skipped and listed; so are training files that
    hold the same bytes as a test image or an image with a mask.

    Raises:
        InputError: a folder is missing or has too few images, or a mask does not fit its image.
    """
    root = _existing(settings.path, "path")
    mask_root = None if settings.masks is None else _existing(settings.masks, "masks")
    if mask_root is not None and mask_root.resolve() == root.resolve():
        raise InputError(f"{WHERE}: masks: {mask_root}; must not be the folder of the images")
    names = file_names(root, mask_root)
    masks = {} if mask_root is None else _match_masks(names, root, mask_root)
    reader = _Reader(root, settings, masks)
    if settings.kinds:
        _check_kinds(names, masks, root, mask_root)
    generator = np.random.default_rng(seed)
    if mask_root is None:
        test = _draw(reader, names, settings.test, generator, "readable images")
    else:
        masked = sorted(masks)
        test = _draw(reader, masked, settings.test, generator, "readable images with a mask")
    if settings.normal:
        unmasked = [name for name in names if name not in masks]
        # A stream of its own: normal images must not move those with a mask.
        generator = np.random.default_rng([seed, 1])
        kind = "readable images without a mask"
        test += _draw(reader, unmasked, settings.normal, generator, kind)
    held_out = set(test) | set(masks)
    reader.hold_out(held_out)
    train = sorted(set(names) - held_out - set(reader.skipped))
    return Parts(
        test=(reader.image(name) for name in test),
        train=Pictures(train, reader.training_image, reader.hashes),
        describe=lambda: _describe(reader, seed, names, test),
        masks=None if mask_root is None else (reader.mask(name) for name in test),
        kinds=[_kind(n) if n in masks else GOOD for n in test] if settings.kinds else None,
    )


def _existing(path: str, key: str) -> Path:
    if not Path(path).is_dir():
        raise InputError(f"{WHERE}: {key}: {path}: no such folder")
    return Path(path)


def file_names(root: Path, excluded: Path | None) -> list[str]:
    """List every file that is not hidden, by relative name; masks kept inside are no images.

    Raises:
        InputError: a folder may not be read.
    """
    names = (name for name, _ in _walk(root))
    if excluded is not None:
        inside = excluded.resolve()
        names = (name for name in names if not (root / name).resolve().is_relative_to(inside))
    return sorted(names)


def file_states(root: Path) -> list[tuple[str, os.stat_result]]:
    """List the same files with what the file system knows of them: size, time of change.

    Raises:
        InputError: a folder may not be read.
    """
    return sorted(((name, entry.stat()) for name, entry in _walk(root)), key=itemgetter(0))


def _walk(folder: str | Path, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    # A fifth of what Path.rglob takes: hundreds of thousands of files are listed more than once.
    try:
        entries = list(os.scandir(folder))
    except PermissionError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file():
            yield prefix + entry.name, entry


def _match_masks(names: list[str], root: Path, mask_root: Path) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for name in file_names(mask_root, None):
        stem = _stem(name)
        if stem in by_stem:
            raise InputError(f"{by_stem[stem]} and {mask_root / name}: two masks of one stem")
        by_stem[stem] = mask_root / name
    owners: dict[str, str] = {}
    for name in names:
        stem = _stem(name)
        if stem in by_stem and stem in owners:
            raise InputError(
                f"{root / owners[stem]} and {root / name}: two images for one mask {by_stem[stem]}"
            )
        owners[stem] = name
    lost = sorted(set(by_stem) - set(owners))
    if lost:
        raise InputError(f"{by_stem[lost[0]]}: mask without an image of the same stem in {root}")
    return {owners[stem]: path for stem, path in by_stem.items()}


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _kind(name: str) -> str:
    """Return the first folder of a relative name."""
    return name.split("/")[0]


def _check_kinds(names: list[str], masks: dict[str, Path], root: Path, mask_root: Path) -> None:
    """Every mask lies in the folder of a kind, and every image there has a mask."""
    for name, path in masks.items():
        if "/" not in name or _kind(name) == GOOD:
            raise InputError(f"{path}: not in a folder {mask_root}/KIND, with a KIND but {GOOD!r}")
    kinds = set(map(_kind, masks))
    for name in names:
        if "/" in name and _kind(name) in kinds and name not in masks:
            raise InputError(
                f"{root / name}: defect image without a mask; expected one in "
                f"{mask_root / _kind(name)}"
            )


def _draw(
    reader: _Reader, candidates: list[str], count: int, generator: np.random.Generator, kind: str
) -> list[str]:
    """Draw the names of `count` test images among the candidates (`kind`) that can be read."""
    drawn: list[str] = []
    for row in generator.permutation(len(candidates)):
        name = candidates[row]
        try:
            reader.image(name)
            reader.mask(name)
        except UnreadableImageError as error:
            reader.skipped[name] = str(error)
            continue
        drawn.append(name)
        if len(drawn) == count:
            return sorted(drawn)
    raise InputError(
        f"{WHERE}: path: {reader.root}: found {len(drawn)} {kind}, need {count} "
        f"for testing{reader.first_reason()}"
    )


def _check_mask(mask: Image.Image, path: Path, image: Image.Image, image_path: Path) -> None:
    if mask.size != image.size:
        raise InputError(
            f"{path}: mask has {mask.height} rows, {mask.width} columns; its image {image_path} "
            f"has {image.height} rows, {image.width} columns"
        )
    largest = mask.convert("L").getextrema()[1]
    if largest == 0:
        raise InputError(f"{path}: mask is empty; an image without a defect has no mask")
    if largest <= 127:
        raise InputError(f"{path}: mask's largest value is {largest}; corrupted means above 127")


def _describe(reader: _Reader, seed: int, names: list[str], test: list[str]) -> dict[str, Any]:
    for name in names:
        reader.digest(name)  # of what was not drawn, or was read before a kill
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(reader.hashes.items()))
    split: dict[str, Any] = {"drawn_by_seed": seed, "test": test, "train": "all other images"}
    if reader.settings.masks is not None:
        split["train"] = "all other images without a mask"
        split["unused"] = sorted(set(reader.masks) - set(test) - set(reader.skipped))
    return {
        "source": f"folder {reader.settings.path}: {len(names)} files",
        # Of all files that can be read: the hash of `sha256sum`'s lines, sorted by name.
        "sha256": {"source": hashlib.sha256(lines.encode()).hexdigest()},
        "split": split,
        "skipped": [{"name": n, "reason": why} for n, why in sorted(reader.skipped.items())],
    }

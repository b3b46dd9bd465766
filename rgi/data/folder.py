"""A folder of the user's own images, any size and mode, with or without masks."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rgi.data.pictures import (
    Crop,
    UnreadableImageError,
    cut,
    decode,
    is_box,
    read_bytes,
    resize_mask,
    to_pixels,
)
from rgi.data.sources import Parts, check_count, check_image_format
from rgi.errors import InputError

WHERE = "datasets: folder"


@dataclass(frozen=True)
class FolderSettings:
    """All images under `path`, cropped and resized; `test` of them are held out.

    `crop` is "centre" (largest central square) or {"box": [top, left, height, width]}. With a
    folder of `masks` (same stem as the image), images that have a mask are the test images.
    """

    path: str
    resolution: int
    channels: int
    test: int
    masks: str | None = None
    crop: Crop = "centre"

    def __post_init__(self) -> None:
        check_image_format(WHERE, self.resolution, self.channels)
        check_count(f"{WHERE}: test", self.test)
        if self.crop != "centre" and not is_box(self.crop):
            raise InputError(
                f"{WHERE}: crop: {self.crop!r}; allowed: centre, or "
                "{box: [top, left, height, width]} in whole pixels"
            )


@dataclass
class _Reader:
    """Reads the files of one folder, and remembers their hashes and which cannot be used."""

    root: Path
    settings: FolderSettings
    masks: dict[str, Path]
    hashes: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def image(self, name: str) -> np.ndarray:
        """Read one image: uint8 H x W x C."""
        settings = self.settings
        image = self._decode(self.root / name, name)
        return to_pixels(image, settings.crop, settings.resolution, settings.channels)

    def mask(self, name: str) -> np.ndarray:
        """Read the mask of the image `name`: uint8 H x W, 1 = corrupted."""
        path = self.masks[name]
        try:
            mask = self._decode(path, f"mask of {name}").convert("L")
        except UnreadableImageError as error:
            raise UnreadableImageError(f"its mask {path}: {error}") from None
        _check_mask(mask, path, self._decode(self.root / name, name), self.root / name)
        corrupted = np.asarray(cut(mask, self.settings.crop)) > 127
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
    that have one; what is not drawn of them is not used). Files that cannot be read, or do not
    hold the box, are skipped and listed; so are training files that hold the same bytes as a test
    image or an image with a mask.

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
    test = _draw_test(reader, names if mask_root is None else sorted(masks), seed)
    held_out = set(test) | set(masks)
    train = sorted(set(names) - held_out - set(reader.skipped))
    return Parts(
        test=(reader.image(name) for name in test),
        train=_training_images(reader, train, held_out),
        describe=lambda: _describe(reader, seed, names, test),
        masks=None if mask_root is None else (reader.mask(name) for name in test),
    )


def _existing(path: str, key: str) -> Path:
    if not Path(path).is_dir():
        raise InputError(f"{WHERE}: {key}: {path}: no such folder")
    return Path(path)


def file_names(root: Path, excluded: Path | None) -> list[str]:
    """List every file that is not hidden, by relative name; masks kept inside are no images."""
    names = []
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or not path.is_file():
            continue
        if excluded is None or not path.resolve().is_relative_to(excluded.resolve()):
            names.append(relative.as_posix())
    return sorted(names)


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


def _draw_test(reader: _Reader, candidates: list[str], seed: int) -> list[str]:
    """Draw the names of the test images among the candidates that can be read."""
    settings = reader.settings
    drawn: list[str] = []
    for row in np.random.default_rng(seed).permutation(len(candidates)):
        name = candidates[row]
        try:
            reader.image(name)
            if name in reader.masks:
                reader.mask(name)
        except UnreadableImageError as error:
            reader.skipped[name] = str(error)
            continue
        drawn.append(name)
        if len(drawn) == settings.test:
            return sorted(drawn)
    kind = "readable images" if settings.masks is None else "readable images with a mask"
    raise InputError(
        f"{WHERE}: path: {reader.root}: found {len(drawn)} {kind}, need {settings.test} for "
        f"testing{reader.first_reason()}"
    )


def _training_images(reader: _Reader, names: list[str], held_out: set[str]) -> Iterator[np.ndarray]:
    owners = {reader.digest(name): name for name in sorted(held_out, reverse=True)}
    found = 0
    for name in names:
        try:
            image = reader.image(name)
            if reader.hashes[name] in owners:
                raise UnreadableImageError(f"duplicate of {owners[reader.hashes[name]]}")
        except UnreadableImageError as error:
            reader.skipped[name] = str(error)
            continue
        found += 1
        yield image
    if found == 0:
        raise InputError(
            f"{WHERE}: path: {reader.root}: found 0 usable images for training beside the "
            f"{reader.settings.test} test images, need at least 1{reader.first_reason()}"
        )


def _check_mask(mask: Image.Image, path: Path, image: Image.Image, image_path: Path) -> None:
    if mask.size != image.size:
        raise InputError(
            f"{path}: mask has {mask.height} rows, {mask.width} columns; its image {image_path} "
            f"has {image.height} rows, {image.width} columns"
        )
    largest = mask.getextrema()[1]
    if 0 < largest <= 127:
        raise InputError(f"{path}: mask's largest value is {largest}; corrupted means above 127")


def _describe(reader: _Reader, seed: int, names: list[str], test: list[str]) -> dict[str, Any]:
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(reader.hashes.items()))
    split: dict[str, Any] = {"drawn_by_seed": seed, "test": test, "train": "all other images"}
    if reader.settings.masks is not None:
        split["train"] = "all images without a mask"
        split["unused"] = sorted(set(reader.masks) - set(test) - set(reader.skipped))
    return {
        "source": f"folder {reader.settings.path}: {len(names)} files",
        # Of all files that were read: the hash of `sha256sum`'s lines, sorted by name.
        "sha256": {"source": hashlib.sha256(lines.encode()).hexdigest()},
        "split": split,
        "skipped": [{"name": n, "reason": why} for n, why in sorted(reader.skipped.items())],
    }

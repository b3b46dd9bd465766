"""Magnetic tiles with real defects of five kinds (Huang, Qiu, Yuan 2020), cut into patches.

The archive has one folder for each kind, images of all sizes and a mask for each image. Its file
names, expE_num_N, tell the exposure E and the running number N of the shot: each tile was shot at
six exposures one after the other, and may count as defect-free at some of them only.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from rgi.data.archives import Members, open_members
from rgi.data.pictures import UnreadableImageError, decode, resize_mask, to_mask, to_pixels
from rgi.data.provenance import provenance
from rgi.data.sources import GOOD, Parts, check_count, check_image_format
from rgi.errors import InputError

WHERE = "datasets: magnetic-tile"
FREE = "free"
DEFECTS = ("blowhole", "break", "crack", "fray", "uneven")
# Shots of one tile are up to 200 numbers apart, with few exceptions, and those of two tiles often
# more than 1000. A gap of more than this starts a new series: one tile or some neighbours.
SERIES_GAP = 400

_MEMBER = re.compile(r"(?:.*/)?MT_(?P<kind>\w+)/Imgs/(?P<stem>[^/]*_num_(?P<number>\d+))\.jpg")


@dataclass(frozen=True)
class MagneticTileSettings:
    """Squares of `patch` source pixels, scaled to `resolution`; never stretched.

    `test` images with a defect and `normal` without are held out, one patch of each. `archive` is
    the publisher's zip file.
    """

    archive: str
    resolution: int
    test: int
    normal: int
    patch: int = 96
    channels: int = 1

    def __post_init__(self) -> None:
        check_image_format(WHERE, self.resolution, self.channels)
        check_count(f"{WHERE}: test", self.test)
        check_count(f"{WHERE}: patch", self.patch)
        if self.normal < 0:
            raise InputError(f"{WHERE}: normal: {self.normal}; must not be negative")


@dataclass(frozen=True)
class _Shot:
    """One image of the archive; `name` is that of its member, `series` a number from 0."""

    name: str
    kind: str
    series: int
    size: tuple[int, int]  # rows, columns


@dataclass(frozen=True)
class _Window:
    """A patch of a shot: the square's top left corner in source pixels."""

    shot: _Shot
    top: int
    left: int


@dataclass
class _Reader:
    """Reads the images of the archive in place, without unpacking; remembers what is of no use."""

    archive: Members
    settings: MagneticTileSettings
    skipped: dict[str, str] = field(default_factory=dict)

    def shots(self) -> list[_Shot]:
        """List all images, in the order of their numbers."""
        matches = map(_MEMBER.fullmatch, self.archive.names)
        found = sorted((match for match in matches if match), key=_number)
        for kind in (FREE, *DEFECTS):
            if not any(_kind(match) == kind for match in found):
                folder = f"MT_{kind.capitalize()}/Imgs"
                raise InputError(f"{self.settings.archive}: no images in a folder {folder}")
        unknown = [match[0] for match in found if _kind(match) not in (FREE, *DEFECTS)]
        if unknown:
            raise InputError(
                f"{self.settings.archive}: {unknown[0]}: of no known kind; allowed after MT_: "
                f"{', '.join(kind.capitalize() for kind in (FREE, *DEFECTS))}"
            )
        numbers = [_number(match) for match in found]
        series = np.cumsum(np.diff(numbers, prepend=numbers[0]) > SERIES_GAP).tolist()
        return [
            _Shot(match[0], _kind(match), number, self._size(match[0]))
            for match, number in zip(found, series, strict=True)
        ]

    def large_enough(self, shot: _Shot) -> bool:
        """Say whether a patch fits into the image."""
        fits = min(shot.size) >= self.settings.patch
        if not fits:
            self.skipped[shot.name] = f"{shot.size[0]} x {shot.size[1]} pixels hold no patch"
        return fits

    def patches(self, shot: _Shot, windows: list[_Window]) -> Iterator[np.ndarray]:
        """Cut patches out of one image and scale them: uint8 H x W x C."""
        settings, image = self.settings, self._decode(shot.name)
        for window in windows:
            box = {"box": [window.top, window.left, settings.patch, settings.patch]}
            yield to_pixels(image, box, settings.resolution, settings.channels)

    def patch_mask(self, window: _Window) -> np.ndarray:
        """Cut and scale a patch's mask: uint8 H x W, 1 = corrupted."""
        resolution = self.settings.resolution
        if window.shot.kind == FREE:
            return np.zeros((resolution, resolution), np.uint8)
        mask = self._cut(self._mask(window.shot), window)
        return resize_mask(mask, resolution).astype(np.uint8)

    def telling_window(self, shot: _Shot) -> _Window | None:
        """Find the window with most of both defect and surroundings; None without a defect.

        For a defect that fills less than half a window, this is where its area is largest. Equals
        are told apart by the area, then by their order.
        """
        mask, windows = self._mask(shot), _windows(shot, self.settings.patch)
        if not mask.any():
            self.skipped[shot.name] = "its mask is empty"
            return None
        areas = [np.count_nonzero(self._cut(mask, window)) for window in windows]
        pixels = self.settings.patch**2
        ranks = [(min(area, pixels - area), area) for area in areas]
        return windows[ranks.index(max(ranks))]

    def _mask(self, shot: _Shot) -> np.ndarray:
        """Read a whole mask, bool H x W; they are anti-aliased, hence a threshold."""
        name = shot.name.removesuffix("jpg") + "png"
        if name not in self.archive.names:
            raise InputError(f"{self.settings.archive}: {shot.name}: defect image without a mask")
        mask = to_mask(self._decode(name))
        if mask.shape != shot.size:
            raise InputError(
                f"{self.settings.archive}: {name}: mask has {mask.shape[0]} rows, {mask.shape[1]} "
                f"columns; its image has {shot.size[0]} rows, {shot.size[1]} columns"
            )
        return mask

    def _cut(self, mask: np.ndarray, window: _Window) -> np.ndarray:
        bottom, right = window.top + self.settings.patch, window.left + self.settings.patch
        return mask[window.top : bottom, window.left : right]

    def _size(self, name: str) -> tuple[int, int]:
        try:
            columns, rows = Image.open(io.BytesIO(self._read(name))).size
        except (OSError, Image.DecompressionBombError) as error:
            raise self._damaged(name, error) from None
        return rows, columns

    def _decode(self, name: str) -> Image.Image:
        try:
            return decode(self._read(name), upright=False)
        except UnreadableImageError as error:
            raise self._damaged(name, error) from None

    def _read(self, name: str) -> bytes:
        try:
            return self.archive.read(name)
        except UnreadableImageError as error:
            raise self._damaged(name, error) from None

    def _damaged(self, name: str, error: Exception) -> InputError:
        return InputError(f"{self.settings.archive}: {name}: damaged ({error})")


def magnetic_tile(settings: MagneticTileSettings, seed: int) -> Parts:
    """Open the tiles of the archive `settings.archive`.

    Windows of `patch` x `patch` source pixels are laid evenly over every image, as few as cover
    it. Of a defective test image one is taken, that with most of both defect and surroundings; of
    a normal one, one drawn by `seed`; of a training image, all. A whole series of shots is for
    training, for normal test images or for defects: the defect-free shots in a series with a
    defect are not used. The test images of a series are one group, whatever their kinds.

    Raises:
        InputError: the archive is missing, damaged, not laid out so, or has too few images.
    """
    reader = _Reader(open_members(settings.archive, f"{WHERE}: archive"), settings)
    shots = reader.shots()
    spoilt = {shot.series for shot in shots if shot.kind != FREE}
    usable = list(filter(reader.large_enough, shots))
    free = [shot for shot in usable if shot.series not in spoilt]
    generator = np.random.default_rng(seed)
    defective = _draw_defective(reader, [s for s in usable if s.kind != FREE], generator)
    normal = _draw_normal(settings, free, generator)
    held_out = {window.shot.series for window in normal}
    train = [shot for shot in free if shot.series not in held_out]
    if not train:
        raise InputError(f"{settings.archive}: no defect-free image is left for training")
    test = [*defective, *normal]
    return Parts(
        test=(image for window in test for image in reader.patches(window.shot, [window])),
        train=(
            image
            for shot in train
            for image in reader.patches(shot, _windows(shot, settings.patch))
        ),
        describe=lambda: _describe(reader, shots, train, test, seed),
        masks=map(reader.patch_mask, test),
        kinds=[GOOD if window.shot.kind == FREE else window.shot.kind for window in test],
        # Series are numbered over all kinds, so one tile with two kinds of defect is one group.
        groups=[f"series-{window.shot.series}" for window in test],
    )


def _kind(match: re.Match[str]) -> str:
    return match["kind"].lower()


def _number(match: re.Match[str]) -> int:
    return int(match["number"])


def _windows(shot: _Shot, side: int) -> list[_Window]:
    """Lay windows evenly over an image, as few as cover it; neighbours overlap as need be."""
    tops, lefts = (_starts(length, side) for length in shot.size)
    return [_Window(shot, top, left) for top in tops for left in lefts]


def _starts(length: int, side: int) -> list[int]:
    return np.linspace(0, length - side, -(-length // side)).round().astype(int).tolist()


def _draw_defective(
    reader: _Reader, shots: list[_Shot], generator: np.random.Generator
) -> list[_Window]:
    """Draw the defective test images and the window of each, ordered by kind and number."""
    shots = sorted(shots, key=lambda shot: DEFECTS.index(shot.kind))
    windows = [window for window in map(reader.telling_window, shots) if window is not None]
    settings = reader.settings
    if len(windows) < settings.test:
        raise InputError(
            f"{WHERE}: test: {settings.test}; {settings.archive} has {len(windows)} usable images "
            "with a defect"
        )
    drawn = generator.permutation(len(windows))[: settings.test]
    return [windows[row] for row in sorted(drawn)]


def _draw_normal(
    settings: MagneticTileSettings, shots: list[_Shot], generator: np.random.Generator
) -> list[_Window]:
    """Draw whole series until they hold enough images, and a window of each image."""
    drawn: list[_Shot] = []
    for series in generator.permutation(sorted({shot.series for shot in shots})):
        if len(drawn) >= settings.normal:
            break
        drawn += [shot for shot in shots if shot.series == series]
    if len(drawn) < settings.normal:
        raise InputError(
            f"{WHERE}: normal: {settings.normal}; {settings.archive} has {len(drawn)} usable "
            "images without a defect"
        )
    choices = [_windows(shot, settings.patch) for shot in drawn[: settings.normal]]
    return [windows[generator.integers(len(windows))] for windows in choices]


def _describe(
    reader: _Reader, shots: list[_Shot], train: list[_Shot], test: list[_Window], seed: int
) -> dict[str, Any]:
    used = {shot.name for shot in train} | {window.shot.name for window in test}
    return {
        **provenance("magnetic-tile", [reader.settings.archive]),
        "split": {
            "drawn_by_seed": seed,
            "rule": "by series of shots, of one tile or some neighbours",
            "train": f"all patches of {len(train)} defect-free images",
            "series": {
                "train": len({shot.series for shot in train}),
                **_series_by_kind([window.shot for window in test]),
            },
            "test": {w.shot.name: f"row {w.top}, column {w.left}" for w in test},
            "unused": sorted(
                s.name for s in shots if s.name not in used and s.name not in reader.skipped
            ),
        },
        "skipped": [{"name": n, "reason": why} for n, why in sorted(reader.skipped.items())],
    }


def _series_by_kind(shots: list[_Shot]) -> dict[str, int]:
    """Count a kind's series in the test part: its images are of so many tiles at least."""
    pairs = {(GOOD if shot.kind == FREE else shot.kind, shot.series) for shot in shots}
    return dict(sorted(Counter(kind for kind, _ in pairs).items()))

"""Where images come from: the two data sets that need no download, and what a source gives."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from rgi.errors import InputError

GOOD = "good"  # the kind of a test image without a defect

# Rows [first, last) of the brick picture. The wall is seen in perspective: the bricks lean with
# the column and shrink with the row. A middle band for testing shows nothing that is foreign to
# the rows above and below; the outer columns would lean as no training crop does.
BRICK_BANDS = {"train": ((0, 192), (320, 512)), "test": ((192, 320),)}


@dataclass(frozen=True)
class Pictures:
    """Images that are read one by one, in any order, by several processes at once.

    `read` turns a name, of which no two are the same, into uint8 H x W x C; it raises
    UnreadableImageError for a picture that the data set can do without. What it writes into `notes`
    under that name, such as the file's hash, is brought back from the process that reads.
    """

    names: Sequence[str]
    read: Callable[[str], np.ndarray]
    notes: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.read, self.names)


@dataclass(frozen=True)
class Parts:
    """The two parts of a data set, as uint8 H x W x C images: streams of them, or Pictures.

    `masks` (uint8 H x W, 1 = corrupted), `kinds` (of defect, or GOOD) and `groups` (a name for all
    images of the same thing) run parallel to `test`.
    `describe` is called when all streams are used up and gives the source's own part of info.yaml.
    """

    test: Iterable[np.ndarray]
    train: Iterable[np.ndarray]
    describe: Callable[[], dict[str, Any]]
    masks: Iterable[np.ndarray] | None = None
    kinds: Sequence[str] | None = None
    groups: Sequence[str] | None = None


@dataclass(frozen=True)
class DigitsSettings:
    """scikit-learn's 1797 handwritten digits, 8 x 8, resized; `test` of them are held out."""

    resolution: int
    test: int
    channels: int = 1

    def __post_init__(self) -> None:
        check_image_format("datasets: digits", self.resolution, self.channels)
        check_count("datasets: digits: test", self.test)


@dataclass(frozen=True)
class BrickSettings:
    """Square crops, `crop` pixels wide, of scikit-image's picture of a brick wall, resized."""

    resolution: int
    train: int
    test: int
    channels: int = 1
    crop: int = 64

    def __post_init__(self) -> None:
        check_image_format("datasets: brick", self.resolution, self.channels)
        for name in ("train", "test", "crop"):
            check_count(f"datasets: brick: {name}", getattr(self, name))


def digits(settings: DigitsSettings, seed: int) -> Parts:
    """Open the digits; the test images are drawn by `seed`, the rest is for training.

    Raises:
        InputError: no image would be left for training.
    """
    from sklearn.datasets import load_digits

    pictures = load_digits().images
    if settings.test >= len(pictures):
        raise InputError(
            f"datasets: digits: test: {settings.test}; there are {len(pictures)} digits, "
            f"so at most {len(pictures) - 1}"
        )
    drawn = np.random.default_rng(seed).permutation(len(pictures))
    test, train = np.sort(drawn[: settings.test]), np.sort(drawn[settings.test :])

    def images(rows: np.ndarray) -> Iterable[np.ndarray]:
        grey = pictures[rows] * (255 / 16)
        return (_resize_grey(image, settings.resolution, settings.channels) for image in grey)

    def describe() -> dict[str, Any]:
        return {
            "source": "scikit-learn load_digits, 8 x 8",
            "sha256": {"source": hashlib.sha256(pictures.astype(np.uint8).tobytes()).hexdigest()},
            "split": {"drawn_by_seed": seed, "test": test.tolist(), "train": "all others"},
            "skipped": [],
        }

    return Parts(images(test), images(train), describe)


def brick(settings: BrickSettings, seed: int) -> Parts:
    """Open the brick wall: crops for testing and for training lie in different BRICK_BANDS.

    Crops of the same part may overlap; crops of different parts share no pixel.

    Raises:
        InputError: a crop is larger than the narrowest band.
    """
    from skimage.data import brick as load_brick

    picture = load_brick()
    test, train = (
        brick_corners(picture.shape, part, getattr(settings, part), settings.crop, seed)
        for part in ("test", "train")
    )

    def images(corners: np.ndarray) -> Iterable[np.ndarray]:
        for top, left in corners:
            square = picture[top : top + settings.crop, left : left + settings.crop]
            yield _resize_grey(square, settings.resolution, settings.channels)

    def describe() -> dict[str, Any]:
        return {
            "source": "scikit-image data.brick, 512 x 512",
            "sha256": {"source": hashlib.sha256(picture.tobytes()).hexdigest()},
            "split": {
                "drawn_by_seed": seed,
                "crop": settings.crop,
                "train": f"crops within rows {_describe_bands('train')}",
                "test": f"crops within rows {_describe_bands('test')}",
                "test_corners": test.tolist(),
            },
            "skipped": [],
        }

    return Parts(images(test), images(train), describe)


def brick_corners(
    shape: tuple[int, int], part: str, count: int, crop: int, seed: int
) -> np.ndarray:
    """Draw the top left corners (N x 2: row, column) of `count` crops of one part of the picture.

    Raises:
        InputError: the crop is larger than one of the part's bands.
    """
    bands = BRICK_BANDS[part]
    largest = min(last - first for first, last in bands)
    if crop > largest:
        raise InputError(f"datasets: brick: crop: {crop}; at most {largest} for the {part} part")
    # A stream for each part: more training crops must not move the test crops.
    generator = np.random.default_rng([seed, part == "test"])
    tops = np.concatenate([np.arange(first, last - crop + 1) for first, last in bands])
    rows = generator.choice(tops, size=count)
    columns = generator.integers(0, shape[1] - crop + 1, size=count)
    return np.stack([rows, columns], axis=1)


def check_image_format(where: str, resolution: int, channels: int) -> None:
    """Raise InputError unless `resolution` is positive and `channels` is 1 or 3."""
    check_count(f"{where}: resolution", resolution)
    if channels not in (1, 3):
        raise InputError(f"{where}: channels: {channels}; allowed: 1 (grey) or 3 (RGB)")


def check_count(where: str, count: int) -> None:
    """Raise InputError unless `count` is at least 1."""
    if count < 1:
        raise InputError(f"{where}: {count}; must be at least 1")


def _describe_bands(part: str) -> str:
    return " or ".join(f"{first} to {last - 1}" for first, last in BRICK_BANDS[part])


def _resize_grey(image: np.ndarray, resolution: int, channels: int) -> np.ndarray:
    # In floating point: bicubic overshoots, and must be clipped rather than wrap around.
    floating = Image.fromarray(image.astype(np.float32))
    resized = np.asarray(floating.resize((resolution, resolution), Image.Resampling.BICUBIC))
    grey = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], channels, axis=-1)

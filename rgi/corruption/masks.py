"""Which pixels are corrupted: a block, single pixels, brush strokes, or the shape of a defect."""

from dataclasses import dataclass

import numpy as np

from rgi.corruption.defects import Crack, IrregularDefect, MixedLarge, Scratch
from rgi.corruption.library import Library
from rgi.errors import InputError


@dataclass(frozen=True)
class Block:
    """A square of `size` x `size` pixels, at the centre or at a random place.

    An odd remainder puts the central block half a pixel up and to the left.
    """

    size: int
    position: str = "centre"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"cases: block: size: {self.size}; must be at least 1 pixel")
        if self.position not in ("centre", "random"):
            raise InputError(
                f"cases: block: position: {self.position!r}; allowed: centre or random"
            )

    def draw(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Draw a mask, bool H x W, True = corrupted.

        Raises:
            InputError: the block is larger than the image.
        """
        if self.size > min(shape):
            raise InputError(
                f"cases: block: size: {self.size}; larger than the image ({shape[0]} x {shape[1]})"
            )
        if self.position == "centre":
            top, left = ((side - self.size) // 2 for side in shape)
        else:
            top, left = (int(generator.integers(side - self.size + 1)) for side in shape)
        mask = np.zeros(shape, dtype=bool)
        mask[top : top + self.size, left : left + self.size] = True
        return mask


@dataclass(frozen=True)
class RandomPixels:
    """Single pixels, exactly `fraction` of all (rounded to whole pixels), without structure."""

    fraction: float

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise InputError(
                f"cases: random: fraction: {self.fraction}; must lie between 0 and 1, exclusive"
            )

    def draw(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Draw a mask, bool H x W, True = corrupted.

        Raises:
            InputError: the fraction is no whole pixel.
        """
        pixels = shape[0] * shape[1]
        corrupted = round(self.fraction * pixels)
        if not corrupted:
            raise InputError(
                f"cases: random: fraction: {self.fraction}; rounds to no pixel of a "
                f"{shape[0]} x {shape[1]} image; one is {1 / pixels:.2g} of it"
            )
        mask = np.zeros(pixels, dtype=bool)
        mask[generator.permutation(pixels)[:corrupted]] = True
        return mask.reshape(shape)


@dataclass(frozen=True)
class Irregular:
    """Wandering brush strokes that cover between area[0] and area[1] of the pixels, both included.

    The covered number of pixels is drawn uniformly from that range.
    """

    area: tuple[float, float]

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] < 1:
            raise InputError(
                f"cases: irregular: area: {list(self.area)}; "
                "expected [low, high] with 0 < low <= high < 1"
            )

    def draw(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Draw a mask, bool H x W, True = corrupted.

        Raises:
            InputError: no whole number of pixels lies in the range.
        """
        pixels = shape[0] * shape[1]
        # Guard against 0.1 * 30 = 3.0000000000000004 and its like.
        low = int(np.ceil(self.area[0] * pixels - 1e-9))
        high = int(np.floor(self.area[1] * pixels + 1e-9))
        if low > high:
            raise InputError(
                f"cases: irregular: area: {list(self.area)}; no whole number of pixels of a "
                f"{shape[0]} x {shape[1]} image lies in it"
            )
        target = int(generator.integers(low, high + 1))
        mask = np.zeros(shape, dtype=bool)
        while mask.sum() < target:
            _add_stroke(mask, target, generator)
        return mask


MaskSettings = (
    Block | RandomPixels | Irregular | Crack | Scratch | IrregularDefect | MixedLarge | Library
)

MASKS: dict[str, type[MaskSettings]] = {
    "block": Block,
    "random": RandomPixels,
    "irregular": Irregular,
    "crack": Crack,
    "scratch": Scratch,
    "irregular-defect": IrregularDefect,
    "mixed-large": MixedLarge,
    "library": Library,
}


def _add_stroke(mask: np.ndarray, target: int, generator: np.random.Generator) -> None:
    """Paint one random walk of a round brush into `mask`, stopping at `target` pixels exactly."""
    height, width = mask.shape
    rows, columns = np.mgrid[:height, :width]
    side = min(height, width)
    brush = generator.uniform(side / 32, side / 10)
    # Starting on a clean pixel, each stroke adds at least one: the loop over strokes ends.
    row, column = (float(v) for v in generator.choice(np.argwhere(~mask)))
    angle = generator.uniform(0, 2 * np.pi)
    for _ in range(int(generator.integers(4, 4 + side // 2))):
        distance = np.hypot(rows - row, columns - column)
        fresh = np.flatnonzero((distance <= max(brush, 0.5)) & ~mask)
        nearest = fresh[np.argsort(distance.flat[fresh], kind="stable")]
        mask.flat[nearest[: target - int(mask.sum())]] = True
        if mask.sum() == target:
            return
        angle += generator.normal(0, 0.4)
        step = max(brush / 2, 0.5)
        row = float(np.clip(row + step * np.sin(angle), 0, height - 1))
        column = float(np.clip(column + step * np.cos(angle), 0, width - 1))

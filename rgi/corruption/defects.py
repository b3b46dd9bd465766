"""Drawn masks in the shape of defects: cracks, scratches, irregular blobs, and large ones of any.

All lengths are in units of the image's side: the same generator draws the same defect at every
resolution, no thinner than a pixel.
"""

from dataclasses import dataclass

import numpy as np

LARGE = 400 / 128**2  # the paper's large defects have more than 400 of 128 x 128 pixels

_STEP = 1 / 256  # between two points of a curve


@dataclass(frozen=True)
class Crack:
    """A thin, kinked random walk 0.3 to 0.9 sides long, often with branches."""

    def draw(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Draw a mask, bool H x W, True = corrupted."""
        width, length = generator.uniform(1 / 80, 1 / 40), generator.uniform(0.3, 0.9)
        trunk, headings = _walk(
            _inside(generator), generator.uniform(0, 2 * np.pi), length, generator
        )
        curves = [trunk]
        for _ in range(generator.poisson(1.2)):
            place = int(generator.integers(len(trunk)))
            aside = generator.choice([-1, 1]) * generator.uniform(0.4, 1.2)
            part = length * generator.uniform(0.15, 0.4)
            curves.append(_walk(trunk[place], headings[place] + aside, part, generator)[0])
        return _thicken(np.concatenate(curves), width, shape)


@dataclass(frozen=True)
class Scratch:
    """A thin arc of a circle, 0.3 to 1 sides long, that turns by at most 1.5 radians."""

    def draw(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Draw a mask, bool H x W, True = corrupted."""
        width, length = generator.uniform(1 / 100, 1 / 50), generator.uniform(0.3, 1)
        start, turn = generator.uniform(0, 2 * np.pi), generator.uniform(-1.5, 1.5)
        headings = start + turn * np.linspace(-0.5, 0.5, round(length / _STEP))
        curve = _follow(headings)
        return _thicken(curve - curve[len(curve) // 2] + _inside(generator), width, shape)


@dataclass(frozen=True)
class IrregularDefect:
    """A blob whose radius varies with the direction, smoothly and at random."""

    def draw(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Draw a mask, bool H x W, True = corrupted."""
        centre, radius = _inside(generator), generator.uniform(0.06, 0.14)
        waves = np.arange(1, 7)
        sizes, phases = generator.normal(0, 0.35 / waves), generator.uniform(0, 2 * np.pi, 6)
        rows, columns = ((axis + 0.5) / min(shape) for axis in np.indices(shape))
        rows, columns = rows - centre[0], columns - centre[1]
        angle = np.arctan2(rows, columns)[..., None]
        outline = radius * np.exp((sizes * np.cos(waves * angle + phases)).sum(axis=-1))
        mask = np.hypot(rows, columns) <= outline
        mask[tuple(np.floor(centre * min(shape)).astype(int))] = True  # it may miss all others
        return mask


@dataclass(frozen=True)
class MixedLarge:
    """Cracks, scratches and blobs at random, as many as cover more than LARGE of the pixels."""

    def draw(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Draw a mask, bool H x W, True = corrupted."""
        mask = np.zeros(shape, dtype=bool)
        while mask.mean() <= LARGE:
            kind = (Crack, Scratch, IrregularDefect)[generator.integers(3)]
            mask |= kind().draw(shape, generator)
        return mask


def _inside(generator: np.random.Generator) -> np.ndarray:
    """Draw a point (row, column) that is not close to the border."""
    return generator.uniform(0.15, 0.85, 2)


def _walk(
    start: np.ndarray, heading: float, length: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Walk from `start` with a heading that wanders: points N x 2 and the heading at each."""
    steps = round(length / _STEP)
    # Straight pieces with kinks between them, as material breaks; on the whole it goes on.
    piece = (generator.random(steps) < 0.1).cumsum()
    headings = heading + generator.normal(0, 0.7, steps)[piece]
    return start + _follow(headings), headings


def _follow(headings: np.ndarray) -> np.ndarray:
    return _STEP * np.stack([np.sin(headings), np.cos(headings)], axis=1).cumsum(axis=0)


def _thicken(points: np.ndarray, width: float, shape: tuple[int, int]) -> np.ndarray:
    """Mark the pixels that the points touch, and those less than half a width from them."""
    from scipy.ndimage import distance_transform_edt

    side = min(shape)
    rows, columns = np.floor(points * side).astype(int).T
    shown = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    clean = np.ones(shape, dtype=bool)
    clean[rows[shown], columns[shown]] = False
    return distance_transform_edt(clean) < max(width * side / 2, 0.5)

"""AUROC, average precision and AUPRO of all pixels of a test set together, with intervals.

Values are exact. Intervals resample images, or groups of them; their curves have a point per bin of
the score, at BINS quantiles of the corrupted and BINS of the clean pixels, hence as fine where it
matters.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rgi.evaluation.intervals import CONFIDENCE, resampling_units
from rgi.evaluation.metrics import (
    AUPRO_LIMIT,
    auroc,
    average_precision,
    limited_area,
    pooled_aupro,
    region_shares,
)

BINS = 1024
RESAMPLES = 1000


@dataclass(frozen=True)
class Binned:
    """What lies in each bin of the score, from the highest bin down; all N x bins.

    Attributes:
        corrupted: corrupted pixels.
        clean: clean pixels.
        overlap: parts of defects; a whole defect is 1.
    """

    corrupted: np.ndarray
    clean: np.ndarray
    overlap: np.ndarray


@dataclass(frozen=True)
class Curve:
    """Sums down to each bin, each beginning with 0 for the threshold that finds nothing."""

    corrupted: np.ndarray
    clean: np.ndarray
    overlap: np.ndarray

    @property
    def recall(self) -> np.ndarray:
        """Part of the corrupted pixels that is found: the true positive rate."""
        return self.corrupted / self.corrupted[-1]

    @property
    def false_positive_rate(self) -> np.ndarray:
        """Part of the clean pixels that is found."""
        return self.clean / self.clean[-1]

    @property
    def precision(self) -> np.ndarray:
        """Part of the found pixels that is corrupted; 1 where nothing is found."""
        found = self.corrupted + self.clean
        return np.where(found > 0, self.corrupted / np.maximum(found, 1), 1.0)

    def auroc(self) -> float:
        """Area under the ROC curve."""
        return float(np.trapezoid(self.recall, self.false_positive_rate))

    def average_precision(self) -> float:
        """Sum of precision x step of recall."""
        return float((np.diff(self.recall) * self.precision[1:]).sum())

    def aupro(self) -> float:
        """Area under the per-region overlap up to AUPRO_LIMIT."""
        overlap = self.overlap / self.overlap[-1]
        return limited_area(self.false_positive_rate, overlap, AUPRO_LIMIT)


# Name: exact value of maps and masks N x H x W, and the value of a binned curve.
POOLED: Mapping[str, tuple[Callable[[np.ndarray, np.ndarray], float], Callable[[Curve], float]]] = {
    "auroc": (lambda score, truth: auroc(*_as_one(score, truth)).item(), Curve.auroc),
    "ap": (
        lambda score, truth: average_precision(*_as_one(score, truth)).item(),
        Curve.average_precision,
    ),
    "aupro": (pooled_aupro, Curve.aupro),
}


def binned(score: np.ndarray, truth: np.ndarray) -> Binned:
    """Count the pixels of each image by their score.

    Args:
        score: N x H x W.
        truth: bool N x H x W.
    """
    quantiles = np.linspace(0, 1, BINS + 1)
    edges = np.unique(
        np.concatenate(
            [
                np.quantile(part, quantiles, method="lower")
                for part in (score[truth], score[~truth])
                if len(part)
            ]
        )
    )
    place = len(edges) - np.searchsorted(edges, score, side="right")
    rows = np.arange(len(score))[:, None, None] * len(edges)
    shape = (len(score), len(edges))

    def count(weights: np.ndarray) -> np.ndarray:
        flat = np.bincount((rows + place).ravel(), weights.ravel(), minlength=shape[0] * shape[1])
        return flat.reshape(shape)

    return Binned(count(truth), count(~truth), count(region_shares(truth)))


def curves(counts: Binned, weights: np.ndarray) -> list[Curve]:
    """A curve for each row of `weights`, M x N: how often each image counts."""
    sums = [
        np.pad(np.cumsum(weights @ part, axis=1), ((0, 0), (1, 0)))
        for part in (counts.corrupted, counts.clean, counts.overlap)
    ]
    return [Curve(*parts) for parts in zip(*sums, strict=True)]


def resampled_curves(
    counts: Binned, images: np.ndarray, seed: int, groups: np.ndarray | None = None
) -> list[Curve]:
    """The curves of RESAMPLES bootstrap samples of some images (row numbers) of `counts`.

    With the groups of all images (`resampling_units`), those images' groups are drawn. Samples that
    happen to have one class alone are left out; there is none of a single group.
    """
    units = resampling_units(len(images), None if groups is None else groups[images])
    count = units.max() + 1
    if groups is not None and count < 2:
        return []
    draws = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    times = np.stack([np.bincount(draw, minlength=count) for draw in draws])
    weights = np.zeros((RESAMPLES, len(counts.clean)))
    weights[:, images] = times[:, units]
    found = curves(counts, weights)
    return [curve for curve in found if curve.corrupted[-1] and curve.clean[-1]]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95% percentile interval of resampled values; NaN for fewer than two."""
    if len(values) < 2:
        return np.nan, np.nan
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low), float(high)


def _as_one(score: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All images as one tall one; for metrics that know no regions."""
    return score.reshape(1, -1, score.shape[-1]), truth.reshape(1, -1, truth.shape[-1])

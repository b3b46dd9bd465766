"""A number for many images, and how sure it is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
RESAMPLES = 2000

Statistic = Callable[..., np.ndarray]


def root_mean_square(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Root of the mean of squares: how RMSE per image becomes the RMSE of appendix C of RGI."""
    return np.sqrt(np.mean(np.square(values), axis=axis))


STATISTICS: dict[str, Statistic] = {"mean": np.mean, "median": np.median}


@dataclass(frozen=True)
class Summary:
    """A statistic over images, its 95% bootstrap interval and how many images it counts."""

    value: float
    low: float
    high: float
    images: int


def summarise(values: ArrayLike, statistic: Statistic, seed: int) -> Summary:
    """Summarise one value per image.

    Args:
        values: N numbers; NaN (not defined for this image) is left out, `images` counts the rest.
        statistic: a function of (values, axis), e.g. `np.mean`.
        seed: of the resampling.

    Returns:
        NaN for what cannot be had: everything without images, the interval with only one.
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return Summary(np.nan, np.nan, np.nan, 0)
    low, high = bootstrap_interval(values, statistic, seed)
    return Summary(float(statistic(values)), low, high, len(values))


def bootstrap_interval(values: ArrayLike, statistic: Statistic, seed: int) -> tuple[float, float]:
    """95% percentile bootstrap interval over images; NaN for fewer than two.

    Args:
        values: N finite numbers.
        statistic: a function of (values, axis), e.g. `np.mean`.
        seed: of the resampling.
    """
    from scipy.stats import bootstrap

    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return np.nan, np.nan
    interval = bootstrap(
        (values,),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)

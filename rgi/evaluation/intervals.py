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


def resampling_units(images: int, groups: np.ndarray | None) -> np.ndarray:
    """What a bootstrap draws: each image's group as a number from 0, or without groups the image.

    Args:
        images: how many, N.
        groups: N names; images of one group are not independent, so they are drawn together.

    Returns:
        int64 N.
    """
    return np.arange(images) if groups is None else np.unique(groups, return_inverse=True)[1]


def summarise(
    values: ArrayLike, statistic: Statistic, seed: int, groups: np.ndarray | None = None
) -> Summary:
    """Summarise one value per image.

    Args:
        values: N numbers; NaN (not defined for this image) is left out, `images` counts the rest.
        statistic: a function of (values, axis), e.g. `np.mean`.
        seed: of the resampling.
        groups: N, see `resampling_units`.

    Returns:
        NaN for what cannot be had: everything without images, the interval with only one, or only
        one group.
    """
    values = np.asarray(values, dtype=float)
    known = ~np.isnan(values)
    values, groups = values[known], None if groups is None else groups[known]
    if not len(values):
        return Summary(np.nan, np.nan, np.nan, 0)
    low, high = bootstrap_interval(values, statistic, seed, groups)
    return Summary(float(statistic(values)), low, high, len(values))


def bootstrap_interval(
    values: ArrayLike, statistic: Statistic, seed: int, groups: np.ndarray | None = None
) -> tuple[float, float]:
    """95% percentile bootstrap interval over images, or groups; NaN for fewer than two.

    Args:
        values: N finite numbers.
        statistic: a function of (values, axis), e.g. `np.mean`.
        seed: of the resampling.
        groups: N, see `resampling_units`; with a group, all its values are drawn.
    """
    from scipy.stats import bootstrap

    drawn, of_drawn = np.asarray(values, dtype=float), statistic
    if groups is not None:
        drawn, of_drawn = _by_group(drawn, statistic, groups)
    if len(drawn) < 2:
        return np.nan, np.nan
    interval = bootstrap(
        (drawn,),
        of_drawn,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=groups is None,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _by_group(
    values: np.ndarray, statistic: Statistic, groups: np.ndarray
) -> tuple[np.ndarray, Statistic]:
    """The numbers of the groups, and the statistic of all values of drawn ones."""
    units = resampling_units(len(values), groups)
    members = [values[units == number] for number in range(units.max() + 1)]

    def of_drawn(drawn: np.ndarray) -> np.ndarray:
        return statistic(np.concatenate([members[int(number)] for number in drawn]))

    return np.arange(len(members)), of_drawn

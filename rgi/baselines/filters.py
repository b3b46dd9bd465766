"""Classical filters: what can be had without a generator, a mask or training."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from rgi.baselines.interface import Restored, check_at_least, check_lam
from rgi.settings import choose, read_settings
from rgi.traits import NOTHING, Traits


@dataclass(frozen=True)
class MedianSettings:
    """The window is 2 * radius + 1 pixels wide."""

    radius: int = 1

    def __post_init__(self) -> None:
        check_at_least("median: radius", self.radius, 1)


@dataclass(frozen=True)
class TotalVariationSettings:
    """At most `iterations` steps of Chambolle's projection."""

    iterations: int = 200

    def __post_init__(self) -> None:
        check_at_least("total-variation: iterations", self.iterations, 1)


@dataclass(frozen=True)
class NonLocalMeansSettings:
    """Patches of patch_size x patch_size pixels, compared up to `distance` pixels away."""

    patch_size: int = 5
    distance: int = 6

    def __post_init__(self) -> None:
        check_at_least("non-local-means: patch_size", self.patch_size, 1)
        check_at_least("non-local-means: distance", self.distance, 1)


@dataclass(frozen=True)
class Filter:
    """A filter as an entry of FILTERS.

    `function` takes one image (C x H x W in [-1, 1]), lambda (None where `has_lambda` is false)
    and a value of `settings`, and returns the filtered image.
    """

    name: str
    has_lambda: bool
    settings: type
    function: Callable[[np.ndarray, float | None, Any], np.ndarray]
    traits: Traits


def median(image: np.ndarray, lam: float | None, settings: MedianSettings) -> np.ndarray:
    """Replace each pixel by the median of the square window about it, per channel."""
    from skimage.filters import median as median_filter

    window = np.ones((2 * settings.radius + 1,) * 2, dtype=bool)
    return np.stack([median_filter(channel, window) for channel in image])


def total_variation(
    image: np.ndarray, lam: float | None, settings: TotalVariationSettings
) -> np.ndarray:
    """Minimise ||u - x||^2 / 2 + lam * TV(u) (Rudin, Osher and Fatemi 1992; Chambolle 2004)."""
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(image, weight=lam, max_num_iter=settings.iterations, channel_axis=0)


def non_local_means(
    image: np.ndarray, lam: float | None, settings: NonLocalMeansSettings
) -> np.ndarray:
    """Average pixels whose surroundings look alike; lam is the cut-off h (Buades et al. 2005)."""
    from skimage.restoration import denoise_nl_means

    channels_last = np.moveaxis(image, 0, -1)
    filtered = denoise_nl_means(
        channels_last,
        h=lam,
        patch_size=settings.patch_size,
        patch_distance=settings.distance,
        channel_axis=-1,
    )
    # scikit-image drops the axis of a single channel.
    return np.moveaxis(filtered.reshape(channels_last.shape), -1, 0)


FILTERS: dict[str, Filter] = {
    entry.name: entry
    for entry in (
        Filter(
            "median",
            False,
            MedianSettings,
            median,
            Traits("image", "absolute error in a window", NOTHING, NOTHING),
        ),
        Filter(
            "total-variation",
            True,
            TotalVariationSettings,
            total_variation,
            Traits("image", "squared error", "total variation (lambda)", NOTHING),
        ),
        Filter(
            "non-local-means",
            True,
            NonLocalMeansSettings,
            non_local_means,
            Traits("image", "squared error to alike patches (lambda)", NOTHING, NOTHING),
        ),
    )
}


def apply_filter(
    images: np.ndarray,
    method: str,
    lam: float | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Restored:
    """Filter each image by itself; the score is how far each pixel moved (Euclidean).

    Args:
        images: float32 N x C x H x W in [-1, 1].
        method: a name in FILTERS.
        lam: lambda, greater than 0; None for a filter without one.
        settings: the filter's settings, see its dataclass.

    Raises:
        InputError: an unknown method or setting, or a lambda that is missing, unwanted or out of
            its range.
    """
    chosen = choose(FILTERS, method, "methods: filters")
    options = read_settings(chosen.settings, settings or {}, f"methods: {method}: settings")
    check_lam(method, chosen.has_lambda, lam)
    chosen.function(images[0], lam, options)  # imports and caches are nobody's seconds
    restored = np.empty(images.shape, dtype=np.float32)
    seconds = np.empty(len(images))
    for row in tqdm(range(len(images)), desc=method, unit="image", disable=None):
        start = time.perf_counter()
        restored[row] = chosen.function(images[row], lam, options).clip(-1, 1)
        seconds[row] = time.perf_counter() - start
    score = np.sqrt(((images - restored) ** 2).sum(axis=1))
    return Restored(restored, score.astype(np.float32), seconds)

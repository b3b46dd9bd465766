"""What a restoration or a map of corrupted pixels is worth: one number per image.

Images are N x C x H x W in [-1, 1], so the data range is 2; nothing is rescaled per image. Every
function takes numpy arrays or torch tensors and returns N float64 values as a numpy array. torch is
not imported: choosing lambda and printing tables must start fast.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rgi.errors import InputError

DATA_RANGE = 2.0
SSIM_WINDOW = 7
AUPRO_LIMIT = 0.3  # the false positive rate up to which the standard protocol integrates
# 58.9 dB, what rounding to 8 bits alone costs (an error uniform over one grey level). The data are
# 8-bit images, so closer restorations are equal; summaries count their PSNR, infinite ones too, as
# this.
PSNR_CEILING = float(20 * np.log10(255) + 10 * np.log10(12))


def psnr(restored: ArrayLike, clean: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray:
    """Peak signal-to-noise ratio in dB: 10 log10(4 / mean squared error), higher is better.

    Args:
        restored: N x C x H x W in [-1, 1].
        clean: the truth, same shape.
        mask: bool N x H x W; only True pixels count. Default: all.

    Returns:
        N values; infinite for a perfect image, NaN where the mask is empty.

    Raises:
        InputError: the shapes do not fit each other.
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(DATA_RANGE**2 / _mean_squared_error(restored, clean, mask))


def rmse(restored: ArrayLike, clean: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray:
    """Root of the mean squared error over pixels and channels, lower is better.

    Arguments, errors and NaN as for `psnr`.
    """
    return np.sqrt(_mean_squared_error(restored, clean, mask))


def ssim(restored: ArrayLike, clean: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray:
    """Structural similarity (Wang et al. 2004), at most 1, higher is better.

    scikit-image's default form: 7 x 7 uniform window, sample covariance, mean over channels, border
    of 3 pixels left out. With a mask, the mean of the full similarity map over the True pixels, so
    a window there also sees pixels outside the mask.

    Args:
        restored: N x C x H x W in [-1, 1], H and W at least 7.
        clean: the truth, same shape.
        mask: bool N x H x W; only True pixels count. Default: all.

    Returns:
        N values; NaN where the mask is empty.

    Raises:
        InputError: the shapes do not fit each other, or the images are smaller than the window.
    """
    from skimage.metrics import structural_similarity

    restored, clean, mask = _checked(restored, clean, mask)
    if min(restored.shape[-2:]) < SSIM_WINDOW:
        raise InputError(
            f"ssim: images are {tuple(restored.shape[-2:])}, needs at least "
            f"{SSIM_WINDOW} x {SSIM_WINDOW}; take ssim out of `metrics:`"
        )
    values = []
    for number, (a, b) in enumerate(zip(restored, clean, strict=True)):
        whole, similarity = structural_similarity(
            a, b, win_size=SSIM_WINDOW, data_range=DATA_RANGE, channel_axis=0, full=True
        )
        values.append(whole if mask is None else _mean_over(similarity, mask[number]))
    return np.array(values, dtype=np.float64)


def lpips(restored: ArrayLike, clean: ArrayLike) -> np.ndarray:
    """Learned perceptual distance (Zhang et al. 2018), SqueezeNet backbone, lower is better.

    One-channel images are repeated to three channels; images with a side below 64 pixels are
    enlarged bilinearly to 64, since the network's strides leave too little of smaller ones. Values
    of enlarged images compare with each other only.

    Args:
        restored: N x C x H x W in [-1, 1], C = 1 or 3.
        clean: the truth, same shape.

    Returns:
        N values.

    Raises:
        InputError: the shapes do not fit, or the backbone's weights are neither in torch's cache
            (TORCH_HOME/hub/checkpoints) nor to be had by download.
    """
    from rgi.evaluation.perceptual import perceptual_distance

    return perceptual_distance(restored, clean)


def dice(found: ArrayLike, truth: ArrayLike) -> np.ndarray:
    """Dice coefficient 2 |A and B| / (|A| + |B|) of two masks, higher is better.

    Args:
        found: bool N x H x W, the pixels called corrupted.
        truth: bool N x H x W, the corrupted pixels.

    Returns:
        N values in [0, 1]; 1 where both masks are empty.

    Raises:
        InputError: a mask is not bool, or the shapes do not fit each other.
    """
    found, truth = _checked_mask("found", found), _checked_mask("truth", truth)
    _same_shape(found, truth)
    common = (found & truth).sum(axis=(1, 2))
    total = found.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
    return np.where(total == 0, 1.0, 2 * common / total.clip(min=1))


def auroc(score: ArrayLike, truth: ArrayLike) -> np.ndarray:
    """Area under the ROC curve over the pixels of each image, higher is better.

    Args:
        score: N x H x W, higher = more surely corrupted.
        truth: bool N x H x W, the corrupted pixels.

    Returns:
        N values in [0, 1]; NaN where the truth has only one class.

    Raises:
        InputError: `truth` is not bool, or the shapes do not fit each other.
    """
    from sklearn.metrics import roc_auc_score

    return _per_image(score, truth, lambda own, mask: roc_auc_score(mask.ravel(), own.ravel()))


def average_precision(score: ArrayLike, truth: ArrayLike) -> np.ndarray:
    """Average precision over the pixels of each image: sum of precision x step of recall.

    Arguments, errors and NaN as for `auroc`; unlike AUROC, it does not reward the many pixels that
    are easily told to be clean.
    """
    from sklearn.metrics import average_precision_score

    return _per_image(
        score, truth, lambda own, mask: average_precision_score(mask.ravel(), own.ravel())
    )


def aupro(score: ArrayLike, truth: ArrayLike, limit: float = AUPRO_LIMIT) -> np.ndarray:
    """Area under the per-region overlap of each image (Bergmann et al. 2020), higher is better.

    The part of each defect that is found, averaged over the defects (8-connected components of the
    truth), so that a small one counts as much as a large one; against the false positive rate, from
    0 to `limit`, and divided by `limit`.

    Args:
        score: N x H x W, higher = more surely corrupted.
        truth: bool N x H x W, the corrupted pixels.
        limit: the largest false positive rate, in (0, 1].

    Returns:
        N values in [0, 1]; NaN where the truth has only one class.

    Raises:
        InputError: `truth` is not bool, the shapes do not fit each other, or `limit` is out of
            range.
    """
    _check_limit(limit)
    return _per_image(score, truth, lambda own, mask: pooled_aupro(own[None], mask[None], limit))


def pooled_aupro(score: np.ndarray, truth: np.ndarray, limit: float = AUPRO_LIMIT) -> float:
    """As `aupro`, of all regions and all clean pixels of N images under common thresholds."""
    _check_limit(limit)
    truth = _checked_mask("truth", truth)
    if truth.any() == truth.all():
        return np.nan
    order = np.argsort(score, axis=None, kind="stable")[::-1]
    ordered = score.ravel()[order]
    last = np.append(ordered[1:] != ordered[:-1], True)  # of those with equal scores
    overlap, clean = region_shares(truth).ravel()[order], ~truth.ravel()[order]
    overlap = np.append(0, np.cumsum(overlap)[last] / overlap.sum())
    false_positives = np.append(0, np.cumsum(clean)[last] / clean.sum())
    return limited_area(false_positives, overlap, limit)


def limited_area(x: np.ndarray, y: np.ndarray, limit: float) -> float:
    """Area below a curve from x = 0, where it starts, to `limit`, divided by `limit`."""
    beyond = int(np.searchsorted(x, limit))  # the first point there or behind
    between = slice(beyond - 1, beyond + 1)
    x_inside = np.append(x[:beyond], limit)
    y_inside = np.append(y[:beyond], np.interp(limit, x[between], y[between]))
    return float(np.trapezoid(y_inside, x_inside) / limit)


def region_shares(truth: np.ndarray) -> np.ndarray:
    """What a pixel is of its region: 1 / its size, 0 outside; N x H x W like `truth`."""
    from skimage.measure import label

    shares = np.zeros(truth.shape)
    for share, mask in zip(shares, truth, strict=True):
        labels = label(mask, connectivity=2)
        share[mask] = 1 / np.bincount(labels.ravel())[labels[mask]]
    return shares


@dataclass(frozen=True)
class Metric:
    """A metric as scoring, selection and reporting see it.

    Attributes:
        function: images metrics take (restored, clean[, mask]); map metrics take (found, truth).
        higher_is_better: the direction in which lambda is chosen.
        regions: where it is defined.
        compares: `images`, `score` (the map against the true mask) or `mask` (score > 0.5 against
            the true mask, so only for methods that find one).
        label: how tables and figures call it.
        ceiling: what summaries count larger values as.
    """

    name: str
    function: Callable[..., np.ndarray]
    higher_is_better: bool
    regions: tuple[str, ...]
    compares: str
    label: str
    ceiling: float = np.inf


REGIONS = ("whole", "hole", "composite")

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("psnr", psnr, True, REGIONS, "images", "PSNR (dB)", PSNR_CEILING),
        Metric("ssim", ssim, True, REGIONS, "images", "SSIM"),
        Metric("lpips", lpips, False, ("whole", "composite"), "images", "LPIPS"),
        Metric("rmse", rmse, False, REGIONS, "images", "RMSE"),
        Metric("dice", dice, True, ("whole",), "mask", "Dice"),
        Metric("auroc", auroc, True, ("whole",), "score", "AUROC"),
        Metric("ap", average_precision, True, ("whole",), "score", "AP"),
        Metric("aupro", aupro, True, ("whole",), "score", "AUPRO"),
    )
}


def _per_image(
    score: ArrayLike, truth: ArrayLike, value: Callable[[np.ndarray, np.ndarray], float]
) -> np.ndarray:
    """The value of each image's scores and truth, both H x W; NaN where it has one class."""
    score, truth = _array(score), _checked_mask("truth", truth)
    _same_shape(score, truth)
    return np.array(
        [
            value(own, mask) if mask.any() != mask.all() else np.nan
            for own, mask in zip(score, truth, strict=True)
        ],
        dtype=np.float64,
    )


def _mean_squared_error(
    restored: ArrayLike, clean: ArrayLike, mask: ArrayLike | None
) -> np.ndarray:
    restored, clean, mask = _checked(restored, clean, mask)
    squares = ((restored - clean) ** 2).mean(axis=1)
    if mask is None:
        return squares.mean(axis=(1, 2))
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as promised for an empty mask
        return (squares * mask).sum(axis=(1, 2)) / mask.sum(axis=(1, 2))


def _mean_over(similarity: np.ndarray, mask: np.ndarray) -> float:
    """Mean of a C x H x W map over the True pixels of an H x W mask; NaN if there are none."""
    return similarity[:, mask].mean() if mask.any() else np.nan


def _array(values: ArrayLike) -> np.ndarray:
    """A numpy array of what may be a torch tensor on some device."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def _checked(
    restored: ArrayLike, clean: ArrayLike, mask: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    restored, clean = _array(restored).astype(np.float64), _array(clean).astype(np.float64)
    if restored.ndim != 4:
        raise InputError(f"images have shape {restored.shape}; expected N x C x H x W")
    _same_shape(restored, clean)
    if mask is None:
        return restored, clean, None
    mask = _checked_mask("mask", mask)
    _same_shape(mask, restored[:, 0])
    return restored, clean, mask


def _check_limit(limit: float) -> None:
    if not 0 < limit <= 1:
        raise InputError(f"aupro: limit: {limit}; allowed: above 0, at most 1")


def _checked_mask(name: str, mask: ArrayLike) -> np.ndarray:
    mask = _array(mask)
    if mask.dtype != bool or mask.ndim != 3:
        raise InputError(f"{name} is {mask.dtype} of shape {mask.shape}; expected bool N x H x W")
    return mask


def _same_shape(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise InputError(f"shapes {a.shape} and {b.shape} differ")

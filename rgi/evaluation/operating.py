"""The lambda and the threshold at which a map becomes a mask, chosen on other images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rgi.errors import InputError


@dataclass(frozen=True)
class OperatingPoint:
    """A mask is `score >= threshold` of the maps at `lam`; `value` is the mean Dice there."""

    lam: str
    threshold: float
    value: float


@dataclass(frozen=True)
class DiceCurves:
    """Dice of several images as their common threshold falls through every score there is.

    Arrays of one entry per image and score, from the highest score down: the score, the number of
    the image and by how much its Dice changes when the threshold falls to this score.
    """

    threshold: np.ndarray
    image: np.ndarray
    change: np.ndarray

    def best_threshold(self, images: Sequence[int] | np.ndarray) -> tuple[float, float]:
        """The threshold with the highest mean Dice of some images, and that mean.

        Of equals, the highest threshold. No threshold but the scores of these images is looked at.
        """
        chosen = np.isin(self.image, images)
        threshold = self.threshold[chosen]
        last = np.append(threshold[1:] != threshold[:-1], True)  # of those with equal scores
        means = np.cumsum(self.change[chosen])[last] / len(images)
        best = int(np.argmax(means))
        return float(threshold[last][best]), float(means[best])


def dice_curves(score: np.ndarray, truth: np.ndarray, where: str = "case") -> DiceCurves:
    """Dice against the threshold, exactly: every score of an image with a defect is a threshold.

    Args:
        score: N x H x W, higher = more surely corrupted.
        truth: bool N x H x W; images without a corrupted pixel are left out.
        where: opens the error message.

    Raises:
        InputError: no image has a corrupted pixel.
    """
    if not truth.any():
        raise InputError(f"{where}: no image has a defect; all masks are empty")
    curves = [_dice_curve(score[i], truth[i], i) for i in np.flatnonzero(truth.any(axis=(1, 2)))]
    threshold, image, change = (np.concatenate(parts) for parts in zip(*curves, strict=True))
    order = np.argsort(threshold, kind="stable")[::-1]
    return DiceCurves(threshold[order], image[order], change[order])


def best_dice(score: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dice of each image at the threshold that is best for it alone: an oracle's, not a method's.

    Args:
        score: N x H x W.
        truth: bool N x H x W.

    Returns:
        N values; NaN for an image without a corrupted pixel.
    """
    return np.array(
        [
            np.cumsum(_dice_curve(own, mask, 0)[2]).max() if mask.any() else np.nan
            for own, mask in zip(score, truth, strict=True)
        ]
    )


def choose_point(
    lams: Sequence[str], curves: Sequence[DiceCurves], images: np.ndarray, where: str = "case"
) -> OperatingPoint:
    """Choose lambda and threshold together, by the mean Dice of some images; of equals the first.

    Args:
        lams: names of the lambdas.
        curves: what `dice_curves` made of the maps at each of them.
        images: numbers of the images with a defect that choose.
        where: opens the error message.

    Raises:
        InputError: there is no image to choose by.
    """
    if not len(images):
        raise InputError(
            f"{where}: no image with a defect is left to choose the threshold by: "
            "all are in one fold"
        )
    points = [
        OperatingPoint(lam, *curve.best_threshold(images))
        for lam, curve in zip(lams, curves, strict=True)
    ]
    return max(points, key=lambda point: point.value)


def _dice_curve(
    score: np.ndarray, truth: np.ndarray, image: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(score, axis=None)[::-1]
    threshold, hits = score.ravel()[order], np.cumsum(truth.ravel()[order])
    last = np.append(threshold[1:] != threshold[:-1], True)
    dice = (2 * hits / (np.arange(1, hits.size + 1) + hits[-1]))[last]
    return threshold[last], np.full(len(dice), image), np.diff(dice, prepend=0)

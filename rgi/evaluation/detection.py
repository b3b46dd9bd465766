"""Pixel-wise anomaly detection: what a method's maps are worth, per image, per kind and pooled.

All numbers are of the same maps and masks: each image's at the lambda and threshold that have the
best mean Dice on the images of the other folds. Images of one group are in one fold, and intervals
resample groups: shots of the same thing are not independent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rgi.corruption import Case, load_case
from rgi.data.sources import GOOD
from rgi.errors import InputError
from rgi.evaluation.defects import defects_of
from rgi.evaluation.intervals import STATISTICS, summarise
from rgi.evaluation.metrics import (
    PSNR_CEILING,
    aupro,
    auroc,
    average_precision,
    dice,
    psnr,
)
from rgi.evaluation.operating import OperatingPoint, best_dice, choose_point, dice_curves
from rgi.evaluation.pooled import POOLED, binned, curves, interval, resampled_curves
from rgi.evaluation.scoring import read_table, shards_of
from rgi.evaluation.selection import ALL, image_folds
from rgi.files import write_whole

SUMMARY = ["kind", "metric", "region", "statistic", "value", "low", "high", "images", "lam"]
POINTS = ["fold", "lam", "threshold", "value"]
IMAGES = ["index", "kind", "fold", "lam", "threshold", "area", "contrast", "image_score"]
CURVES = ["curve", "x", "y"]
# Per image, in the order in which they are printed.
PER_IMAGE = ("dice", "dice-oracle", "auroc", "ap", "aupro", "psnr")
IMAGE_AUROC = "image-auroc"
RING = 3  # pixels around a defect, with whose mean an unknown background is compared
CURVE_POINTS = 500  # of a pooled curve's bins, how many are kept at most


@dataclass(frozen=True)
class Maps:
    """One method's maps of a case at every lambda, in the case's order of images.

    score: lambda -> N x H x W; psnr: lambda -> N, NaN where nothing is restored or known.
    """

    score: Mapping[str, np.ndarray]
    psnr: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Detection:
    """What is known of one method on one case.

    Attributes:
        summary: `SUMMARY`: per kind, and `all`. Per image metrics (means, medians) are of the
            images with a defect; `pooled` ones of all pixels, or images, together, where a kind
            has its images and the good ones.
        points: `POINTS`: per fold the lambda and threshold chosen on the others and the mean Dice
            on it; in the row `all` those chosen on all images.
        images: `IMAGES`, `PER_IMAGE` and `group` where the case has groups: a row per image.
        curves: `CURVES`: roc and precision-recall, pooled over all images, as points.
    """

    summary: pd.DataFrame
    points: pd.DataFrame
    images: pd.DataFrame
    curves: pd.DataFrame


def load_maps(
    case_file: Path, restorations: Path, lams: Sequence[str], shards: int, restores: bool
) -> tuple[Case, Maps]:
    """Read a case and {restorations}/{lam}/{shard}.npz.

    Raises:
        InputError: a file is missing, damaged or does not fit the case.
    """
    case = load_case(case_file)
    known = restores and not np.isnan(case.clean).all()
    score = {lam: np.empty(case.mask.shape, np.float32) for lam in lams}
    quality = {lam: np.full(len(case.index), np.nan) for lam in lams}
    for lam in lams:
        for rows, shard in shards_of(case, case_file, restorations, lam, shards, restores):
            score[lam][rows] = shard.score
            if known and rows:
                quality[lam][rows] = psnr(shard.restored, case.clean[rows]).clip(max=PSNR_CEILING)
    return case, Maps(score, quality)


def kinds_of(case: Case, where: str = "case") -> np.ndarray:
    """The kind of each image; `defect` for every defect where kinds are unknown.

    Args:
        case: N images.
        where: opens the error messages, such as the case's file.

    Raises:
        InputError: an image is called good and has a defect, or has neither, or a kind is called
            as all kinds together are.
    """
    defective = case.mask.any(axis=(1, 2))
    if case.kind is None:
        return np.where(defective, "defect", GOOD)
    if wrong := np.flatnonzero((case.kind == GOOD) == defective).tolist():
        row = wrong[0]
        found = "has" if defective[row] else "has no"
        raise InputError(
            f"{where}: image {case.index[row]} is of kind {str(case.kind[row])!r}, "
            f"but its mask {found} corrupted pixels"
        )
    if ALL in case.kind:
        raise InputError(
            f"{where}: kind {ALL!r} of defect; this name is that of all kinds together"
        )
    return case.kind.astype(str)


def detect(case: Case, maps: Maps, folds: int, seed: int, where: str = "case") -> Detection:
    """Score a method's maps; lambda and threshold of a fold are chosen on the others.

    Args:
        case: what was corrupted.
        maps: what the method made of it.
        folds: as in the selection of lambda, whose folds these are.
        seed: of folds and bootstrap.
        where: opens the messages about the case, such as its file.

    Raises:
        InputError: `folds` is out of range (at most the number of groups), kinds contradict the
            masks, or outside of some fold there is no image with a defect.
    """
    kinds = kinds_of(case, where)
    fold = image_folds(case.index, case.group, folds, seed)
    points = _operating_points(case, maps, fold, folds, where)
    lams = [points[number].lam for number in fold]
    score = np.stack([maps.score[lam][row] for row, lam in enumerate(lams)])
    quality = np.array([maps.psnr[lam][row] for row, lam in enumerate(lams)])
    threshold = np.array([points[number].threshold for number in fold])
    defective = case.mask.any(axis=(1, 2))
    measured = {
        "dice": _defects_only(dice(score >= threshold[:, None, None], case.mask), defective),
        "dice-oracle": best_dice(score, case.mask),
        "auroc": auroc(score, case.mask),
        "ap": average_precision(score, case.mask),
        "aupro": aupro(score, case.mask),
        "psnr": _defects_only(quality, defective),
    }
    images = pd.DataFrame(
        {
            "index": case.index,
            "kind": kinds,
            **({} if case.group is None else {"group": case.group}),
            "fold": fold,
            "lam": lams,
            "threshold": threshold,
            "area": case.mask.sum(axis=(1, 2)),
            "contrast": contrast(case),
            "image_score": score.max(axis=(1, 2)),
            **measured,
        }
    )
    rows = [*_mean_rows(images, case, seed), *_pooled_rows(score, case, kinds, seed)]
    summary = pd.DataFrame(rows, columns=SUMMARY[:-1]).assign(lam=points[folds].lam)
    return Detection(summary, _points_table(points, images, folds), images, _curves(score, case))


def contrast(case: Case) -> np.ndarray:
    """How far each image's defect is from its background, mean over channels; NaN without a defect.

    The mean of |corrupted - clean| over its pixels or, where clean is unknown, the distance of its
    mean from the mean of the RING pixels around it.
    """
    from scipy.ndimage import binary_dilation

    known = not np.isnan(case.clean).all()
    values = np.full(len(case.index), np.nan)
    for row in np.flatnonzero(case.mask.any(axis=(1, 2))):
        mask, shown = case.mask[row], case.corrupted[row]
        if known:
            values[row] = np.abs(shown - case.clean[row])[:, mask].mean()
            continue
        ring = binary_dilation(mask, iterations=RING) & ~mask
        if ring.any():
            values[row] = np.abs(shown[:, mask].mean(1) - shown[:, ring].mean(1)).mean()
    return values


def found_defects(case: Case, maps: Maps, images: pd.DataFrame) -> pd.DataFrame:
    """Measure the defects that were found in each image at its lambda and threshold.

    Args:
        case: whose images.
        maps: the method's.
        images: of `Detection`, as read by `read_images`.
    """
    points = images.set_index("index").loc[case.index]
    score = np.stack([maps.score[lam][row] for row, lam in enumerate(points["lam"])])
    masks = score >= points["threshold"].to_numpy(np.float32)[:, None, None]
    return defects_of(case.index, masks, score)


def write_detection(directory: Path, detection: Detection) -> None:
    """Write summary.csv, points.csv, images.csv and curves.csv, each whole or not at all."""
    for name, table in vars(detection).items():
        with write_whole(Path(directory) / f"{name}.csv", checksum=True) as temporary:
            table.to_csv(temporary, index=False)


def read_summary(directory: Path) -> pd.DataFrame:
    """Read summary.csv; lam is text.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    return read_table(Path(directory) / "summary.csv", SUMMARY)


def read_images(directory: Path) -> pd.DataFrame:
    """Read images.csv; kind, lam and, where it is there, group are text.

    Raises:
        InputError: the file is missing, lacks a column or holds something else than numbers.
    """
    path, columns = Path(directory) / "images.csv", [*IMAGES, *PER_IMAGE]
    return read_table(path, columns, [name for name in columns if name not in ("kind", "lam")])


def read_curves(directory: Path) -> pd.DataFrame:
    """Read curves.csv.

    Raises:
        InputError: the file is missing, lacks a column or holds something else than numbers.
    """
    return read_table(Path(directory) / "curves.csv", CURVES, ["x", "y"])


def _operating_points(
    case: Case, maps: Maps, fold: np.ndarray, folds: int, where: str
) -> list[OperatingPoint]:
    """Of each fold, chosen on the others, and last the one chosen on all images."""
    found = [dice_curves(score, case.mask, where) for score in maps.score.values()]
    defective = case.mask.any(axis=(1, 2))
    choosers = [np.flatnonzero(defective & (fold != number)) for number in range(folds + 1)]
    return [choose_point(list(maps.score), found, images, where) for images in choosers]


def _points_table(
    points: Sequence[OperatingPoint], images: pd.DataFrame, folds: int
) -> pd.DataFrame:
    means = [images.loc[images["fold"] == number, "dice"].mean() for number in range(folds)]
    rows = [
        (name, point.lam, point.threshold, value)
        for name, point, value in zip(
            [*map(str, range(folds)), ALL], points, [*means, points[folds].value], strict=True
        )
    ]
    return pd.DataFrame(rows, columns=POINTS)


def _defects_only(values: np.ndarray, defective: np.ndarray) -> np.ndarray:
    return np.where(defective, values, np.nan)


def _by_kind(case: Case, kinds: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Every kind with its images and the good ones; `all` first, alone where kinds are unknown."""
    yield ALL, np.ones(len(kinds), bool)
    for kind in [] if case.kind is None else sorted(set(kinds) - {GOOD}):
        yield kind, (kinds == kind) | (kinds == GOOD)


def _mean_rows(images: pd.DataFrame, case: Case, seed: int) -> Iterator[tuple]:
    for kind, chosen in _by_kind(case, images["kind"].to_numpy()):
        for metric in PER_IMAGE:
            values = images.loc[chosen, metric]
            group = None if case.group is None else case.group[chosen]
            if values.isna().all():
                continue
            for name, statistic in STATISTICS.items():
                summary = asdict(summarise(values, statistic, seed, group))
                yield (kind, metric, "whole", name, *summary.values())


def _pooled_rows(score: np.ndarray, case: Case, kinds: np.ndarray, seed: int) -> Iterator[tuple]:
    defective = case.mask.any(axis=(1, 2))[:, None, None]
    highest = score.max(axis=(1, 2), keepdims=True)
    pixels, images = binned(score, case.mask), binned(highest, defective)
    for kind, chosen in _by_kind(case, kinds):
        rows = np.flatnonzero(chosen)
        resampled = resampled_curves(pixels, rows, seed, case.group)
        for metric, (exact, of_curve) in POOLED.items():
            value = exact(score[rows], case.mask[rows])
            bounds = interval([of_curve(curve) for curve in resampled])
            yield (kind, metric, "whole", "pooled", value, *bounds, len(rows))
        exact, of_curve = POOLED["auroc"]
        value = exact(highest[rows], defective[rows])
        resampled = resampled_curves(images, rows, seed, case.group)
        bounds = interval([of_curve(curve) for curve in resampled])
        yield (kind, IMAGE_AUROC, "whole", "pooled", value, *bounds, len(rows))


def _curves(score: np.ndarray, case: Case) -> pd.DataFrame:
    (whole,) = curves(binned(score, case.mask), np.ones((1, len(score))))
    last = len(whole.clean) - 1
    points = np.linspace(0, last, min(last + 1, CURVE_POINTS)).round().astype(int)
    drawn = {
        "roc": (whole.false_positive_rate, whole.recall),
        "precision-recall": (whole.recall, whole.precision),
    }
    parts = [
        pd.DataFrame({"curve": name, "x": x[points], "y": y[points]})
        for name, (x, y) in drawn.items()
    ]
    return pd.concat(parts, ignore_index=True)[CURVES]

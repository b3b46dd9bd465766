"""The choice of lambda by cross-validation: no image is shown at a lambda that it helped choose."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from rgi.errors import InputError
from rgi.evaluation.intervals import resampling_units
from rgi.evaluation.metrics import METRICS
from rgi.evaluation.scoring import groups_of, read_table
from rgi.files import write_whole

COLUMNS = ["metric", "fold", "lam", "value"]
ALL = "all"
NO_METRIC = "none"


def assign_folds(index: ArrayLike, folds: int, seed: int, of: str = "images") -> dict[int, int]:
    """Deal images into folds whose sizes differ by at most one.

    Depends on the set of images, `folds` and `seed` only, so that all methods share the folds.

    Args:
        index: image numbers, in any order, repeated or not.
        folds: how many, from 2 to the number of images.
        seed: of the shuffle.
        of: what is dealt, for the message.

    Returns:
        Image number -> fold, 0 to folds - 1.

    Raises:
        InputError: `folds` is out of range.
    """
    images = np.unique(np.asarray(index))
    if not 2 <= folds <= len(images):
        raise InputError(f"folds: {folds} is not possible; allowed: 2 to {len(images)} {of}")
    shuffled = np.random.default_rng(seed).permutation(images)
    return {int(image): place % folds for place, image in enumerate(shuffled)}


def image_folds(index: ArrayLike, groups: np.ndarray | None, folds: int, seed: int) -> np.ndarray:
    """The fold of each image; images of one group (`Case.group`) share it.

    Args:
        index: N image numbers, repeated or not.
        groups: N names, or None where no two images show the same thing.
        folds: how many, from 2 to the number of images or groups.
        seed: of the shuffle.

    Returns:
        N numbers, 0 to folds - 1.

    Raises:
        InputError: `folds` is out of range.
    """
    dealt, of = np.asarray(index), "images"
    if groups is not None:
        dealt, of = resampling_units(len(dealt), groups), "groups of images"
    fold_of = assign_folds(dealt, folds, seed, of)
    return np.array([fold_of[int(number)] for number in dealt])


def select_lambda(scores: pd.DataFrame, folds: int, seed: int) -> pd.DataFrame:
    """Choose lambda for every metric and fold on the images of the other folds.

    The best lambda has the best mean of the metric in region `whole`; of equals, the one that comes
    first in `scores`. Images where the metric is not defined (NaN) do not count.

    Args:
        scores: index, lam, metric, region, value of one method on one case, and group where images
            have groups, which folds then go by.
        folds: how many, from 2 to the number of images or groups.
        seed: of the folds.

    Returns:
        metric, fold, lam, value: per fold the lambda chosen on the other folds and its mean on
        this one; in the row with fold `all` the lambda chosen on all images and its mean on all.
        Where no metric applies (a method that is given its mask, on images without a truth) there
        is one row: metric `none`, fold `all`, the first lambda.

    Raises:
        InputError: `folds` is out of range.
    """
    fold = _folds(scores, folds, seed)
    whole = scores["region"] == "whole"
    rows = []
    for name in [name for name in scores["metric"].unique() if name in METRICS]:
        chosen = (scores["metric"] == name) & whole
        values, value_fold = scores[chosen], fold[chosen]
        for number in range(folds):
            own = value_fold == number
            lam = _best_lambda(values[~own], METRICS[name].higher_is_better)
            rows.append((name, str(number), lam, _mean_at(values[own], lam)))
        lam = _best_lambda(values, METRICS[name].higher_is_better)
        rows.append((name, ALL, lam, _mean_at(values, lam)))
    if not rows:
        rows.append((NO_METRIC, ALL, scores["lam"].iloc[0], np.nan))
    return pd.DataFrame(rows, columns=COLUMNS)


def held_out(
    scores: pd.DataFrame, selection: pd.DataFrame, folds: int, seed: int, by: str | None = None
) -> pd.DataFrame:
    """Every image's values at the lambda that was chosen without its fold.

    Args:
        scores: as for `select_lambda`.
        selection: what `select_lambda` made of these scores.
        folds: the same as there.
        seed: the same as there.
        by: the metric that chose, for all that was scored, also what chooses no lambda of its own;
            by default each metric chose for itself.

    Returns:
        The rows of `scores` that count: one per image, metric and region.

    Raises:
        InputError: `selection` does not belong to these scores.
    """
    fold = _folds(scores, folds, seed).astype(str)
    if by is None:
        scores = scores[scores["metric"].isin(METRICS)]
    keyed = scores.assign(fold=fold, chooser=scores["metric"] if by is None else by)
    chosen = selection.rename(columns={"lam": "chosen", "metric": "chooser"})
    joined = keyed.merge(chosen[["chooser", "fold", "chosen"]], on=["chooser", "fold"], how="left")
    kept = joined[joined["lam"] == joined["chosen"]]
    keys = ["index", "metric", "region"]
    if len(kept) != len(scores[keys].drop_duplicates()):
        raise InputError(
            "selection: does not fit the scores, `folds` or `seed`; delete it and run again"
        )
    return kept[list(scores.columns)].reset_index(drop=True)


def chosen_lambda(selection: pd.DataFrame, metric: str) -> str:
    """The lambda that `metric` chooses on all images.

    Raises:
        InputError: the metric was not scored.
    """
    rows = selection[(selection["metric"] == metric) & (selection["fold"] == ALL)]
    if len(rows) != 1:
        known = ", ".join(selection["metric"].unique())
        raise InputError(f"selection: no lambda was chosen by {metric!r}; there is {known}")
    return rows["lam"].iloc[0]


def reference_lambda(selection: pd.DataFrame) -> str:
    """The lambda that stands for the method where one is needed.

    It is that of the first metric in the order of `METRICS` that was scored: PSNR's where there is
    PSNR, Dice's (or AUROC's) where the truth is unknown.

    Raises:
        InputError: the selection has no row for all images.
    """
    scored = set(selection["metric"])
    first = next((name for name in METRICS if name in scored), NO_METRIC)
    return chosen_lambda(selection, first)


def at_edge(lam: str, lams: Collection[str]) -> bool:
    """Whether a chosen lambda is the lowest or highest of several: a wider grid may do better."""
    grid = sorted(set(lams), key=float) if len(set(lams)) > 1 else []
    return bool(grid) and lam in (grid[0], grid[-1])


def write_selection(path: Path, selection: pd.DataFrame) -> None:
    """Write a selection as CSV, whole or not at all."""
    with write_whole(path, checksum=True) as temporary:
        selection.to_csv(temporary, index=False)


def read_selection(path: Path) -> pd.DataFrame:
    """Read a selection; fold and lam are text.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    return read_table(path, COLUMNS)


def _folds(scores: pd.DataFrame, folds: int, seed: int) -> pd.Series:
    """The fold of each row."""
    fold = image_folds(scores["index"], groups_of(scores), folds, seed)
    return pd.Series(fold, index=scores.index)


def _best_lambda(values: pd.DataFrame, higher_is_better: bool) -> str:
    means = values.groupby("lam", sort=False)["value"].mean()
    ranked = means if higher_is_better else -means
    # Where no lambda has a value, none is better than the first.
    return ranked.fillna(-np.inf).idxmax()


def _mean_at(values: pd.DataFrame, lam: str) -> float:
    return values.loc[values["lam"] == lam, "value"].mean()

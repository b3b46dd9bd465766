"""Restoration files of one method against their case: one tidy table of values per image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from rgi.corruption import Case, load_case
from rgi.errors import InputError
from rgi.evaluation.metrics import METRICS, Metric
from rgi.files import check_content, load_arrays, write_whole

COLUMNS = ["index", "lam", "metric", "region", "value"]
NUMBERS = ["index", "value", "low", "high", "images", "published"]
COST_METRICS = ("seconds", "passes")
OPTIONAL = ("passes", "objective")  # arrays that a method may leave in its restoration files
FOUND = 0.5
# What `score > FOUND` is: nothing (the score is a residual), found by the method, or given to it.
Mask = Literal["none", "found", "given"]


@dataclass(frozen=True)
class Shard:
    """A restoration file: restored N x C x H x W, score N x H x W, index N, told per image N."""

    restored: np.ndarray
    score: np.ndarray
    index: np.ndarray
    told: dict[str, np.ndarray]  # by the method itself: seconds and what it has of OPTIONAL


def load_shard(path: Path) -> Shard:
    """Read a restoration file, with `seconds` and what the method left of OPTIONAL.

    `restored` is NaN throughout where the method only finds corrupted pixels.

    Raises:
        InputError: the file is missing, damaged, incomplete or holds values that are not finite.
    """
    arrays = load_arrays(path, "restored", "score", "index", "seconds", optional=OPTIONAL)
    told = {name: arrays.pop(name) for name in ("seconds", *OPTIONAL) if name in arrays}
    for name in ("restored", "score"):
        # NaN would later read as "not defined for this image" and make a failed method look good.
        nothing = name == "restored" and np.isnan(arrays[name]).all()
        if not (nothing or np.isfinite(arrays[name]).all()):
            raise InputError(f"{path}: {name} has values that are not finite; the method diverged")
    return Shard(told=told, **arrays)


def score_restorations(
    case_file: Path,
    restorations: Path,
    lams: Sequence[str],
    shards: int,
    metrics: Sequence[str],
    mask: Mask,
    restores: bool = True,
) -> pd.DataFrame:
    """Score every restoration {restorations}/{lam}/{shard}.npz of one method.

    Args:
        case_file: clean, corrupted, mask, index; clean is NaN throughout where the truth is
            unknown, and then no images are compared.
        restorations: the method's folder.
        lams: names of its subfolders.
        shards: files in each subfolder, 0.npz and on.
        metrics: names out of `METRICS`.
        mask: what score > 0.5 is. Dice needs a mask that the method found, AUROC one that it was
            not given (either would be trivial), the region `composite` one found or given.
        restores: whether the method restores images; if not, no images are compared.

    Returns:
        A table with columns index, lam, metric, region, value, and group where the case has
        groups; NaN where a value is not defined (an empty hole, a mask with one class). Besides
        `metrics` it holds what the method told.

    Raises:
        InputError: a metric is unknown, or a file is missing, damaged or does not fit the case.
    """
    for name in metrics:
        if name not in METRICS:
            raise InputError(f"metrics: {name!r} is unknown; allowed: {', '.join(METRICS)}")
    case = load_case(case_file)
    compares_images = restores and not np.isnan(case.clean).all()
    parts = []
    for lam in tqdm(lams, desc=str(restorations), unit="lambda", disable=None):
        for rows, shard in shards_of(case, case_file, restorations, lam, shards, restores):
            part = Case(case.clean[rows], case.corrupted[rows], case.mask[rows], case.index[rows])
            group = {} if case.group is None else {"group": case.group[rows]}
            parts += [
                pd.DataFrame(
                    dict(zip(COLUMNS, (shard.index, lam, metric, region, values), strict=True))
                    | group
                )
                for metric, region, values in _values(part, shard, metrics, mask, compares_images)
            ]
    return pd.concat(parts, ignore_index=True)


def shards_of(
    case: Case, case_file: Path, restorations: Path, lam: str, shards: int, restores: bool
) -> Iterator[tuple[list[int], Shard]]:
    """Yield the shards of one lambda, each with the rows of the case that it is about.

    Raises:
        InputError: a file is missing, damaged, does not fit the case or has no restored images
            though the method `restores`; or not every image is there once.
    """
    row_of = {int(index): row for row, index in enumerate(case.index)}
    seen: list[int] = []
    for path in shard_files(restorations, lam, shards):
        shard = load_shard(path)
        rows = _matching_rows(path, shard, case, row_of)
        if restores and len(rows) and np.isnan(shard.restored).any():
            raise InputError(
                f"{path}: restored has values that are not finite; the method diverged"
            )
        yield rows, shard
        seen += shard.index.tolist()
    if sorted(seen) != sorted(row_of):
        raise InputError(
            f"{restorations / lam}: {shards} shards hold {len(seen)} images, "
            f"{case_file} holds {len(row_of)}; each must be there once"
        )


def shard_files(restorations: Path, lam: str, shards: int) -> list[Path]:
    """The files that hold one method's restorations at one lambda."""
    return [Path(restorations) / lam / f"{shard}.npz" for shard in range(shards)]


def write_scores(path: Path, scores: pd.DataFrame) -> None:
    """Write scores as CSV, whole or not at all."""
    with write_whole(path, checksum=True) as temporary:
        scores.to_csv(temporary, index=False)


def read_scores(path: Path) -> pd.DataFrame:
    """Read scores for choosing and summarising; lam is text.

    The infinite PSNR of a perfect restoration, and any above `PSNR_CEILING`, counts as that
    ceiling: a mean with one infinite value would say nothing, leaving it out would be wrong.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    scores = read_table(path, COLUMNS)
    ceiling = scores["metric"].map(lambda name: METRICS[name].ceiling if name in METRICS else None)
    return scores.assign(value=scores["value"].clip(upper=ceiling.astype(float).fillna(np.inf)))


def groups_of(table: pd.DataFrame) -> np.ndarray | None:
    """The group of each row's image (`Case.group`); None where images have no groups."""
    return table["group"].to_numpy() if "group" in table else None


def read_table(
    path: Path, columns: Sequence[str], numbers: Sequence[str] = NUMBERS
) -> pd.DataFrame:
    """Read a tidy CSV; only its numbers may be empty, everything else is text as written.

    Args:
        path: of the file.
        columns: that it must have.
        numbers: columns that hold numbers, where they are there.

    Raises:
        InputError: the file is missing, not a table, lacks one of `columns` or has something else
            among its numbers.
    """
    check_content(path)
    try:
        text = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a CSV table ({error})") from None
    if missing := [name for name in columns if name not in text]:
        raise InputError(f"{path}: no column {missing[0]!r}; expected {', '.join(columns)}")
    present = [name for name in numbers if name in text]
    return text.assign(**{name: _as_numbers(path, text[name]) for name in present})


def _as_numbers(path: Path, column: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(column)
    except ValueError as error:
        raise InputError(f"{path}: {column.name}: not a number ({error})") from None


def _values(
    case: Case, shard: Shard, metrics: Sequence[str], mask: Mask, compares_images: bool
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield metric, region and one value per image of the shard."""
    for name, values in shard.told.items():
        yield name, "whole", values
    if not len(shard.index):
        return
    for metric in (METRICS[name] for name in metrics):
        for region in metric.regions:
            if _applies(metric, region, mask, compares_images):
                yield metric.name, region, _measure(metric, region, case, shard)


def _applies(metric: Metric, region: str, mask: Mask, compares_images: bool) -> bool:
    if metric.compares == "score":
        return mask != "given"
    if metric.compares == "mask":
        return mask == "found"
    return compares_images and (region != "composite" or mask != "none")


def _measure(metric: Metric, region: str, case: Case, shard: Shard) -> np.ndarray:
    if metric.compares == "score":
        return metric.function(shard.score, case.mask)
    found = shard.score > FOUND
    if metric.compares == "mask":
        return metric.function(found, case.mask)
    if region == "hole":
        return metric.function(shard.restored, case.clean, case.mask)
    if region == "composite":
        composite = np.where(found[:, None], shard.restored, case.corrupted)
        return metric.function(composite, case.clean)
    return metric.function(shard.restored, case.clean)


def _matching_rows(path: Path, shard: Shard, case: Case, row_of: dict[int, int]) -> list[int]:
    """Rows of the case that a shard restores."""
    images = len(shard.index)
    expected = {
        "restored": (images, *case.clean.shape[1:]),
        "score": (images, *case.mask.shape[1:]),
        **dict.fromkeys(shard.told, (images,)),
    }
    for name, shape in expected.items():
        found = (shard.told[name] if name in shard.told else getattr(shard, name)).shape
        if found != shape:
            raise InputError(f"{path}: {name} has shape {found}; the case needs {shape}")
    if unknown := [int(index) for index in shard.index if int(index) not in row_of]:
        raise InputError(f"{path}: index {unknown[0]} is not in the case")
    return [row_of[int(index)] for index in shard.index]

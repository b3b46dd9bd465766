"""From a found mask to defects: what an inspector measures."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from rgi.errors import InputError
from rgi.files import write_whole

# scikit-image takes pixels as points, so a line would have no width; squares add their own moment.
_PIXEL = 4 / np.sqrt(12)
# Name of the column: property of skimage.measure.regionprops.
_PROPERTIES = {
    "defect": "label",
    "area": "area",
    "length": "axis_major_length",
    "width": "axis_minor_length",
    "score_mean": "intensity_mean",
    "score_max": "intensity_max",
}
COLUMNS = ["defect", "area", "length", "width", "top", "left", "box_height", "box_width"]
COLUMNS += ["score_mean", "score_max"]


def find_defects(mask: np.ndarray, score: np.ndarray) -> pd.DataFrame:
    """Measure every defect, an 8-connected component of a mask, from the top of the image down.

    Args:
        mask: bool H x W, True = corrupted.
        score: H x W, higher = more surely corrupted.

    Returns:
        A row per defect, none for an empty mask: its number (from 1), `area` in pixels, `length`
        and `width` in pixels (axes of the ellipse with the same second moments; a solid a x b
        rectangle has 1.15 a and 1.15 b), the box around it (row and column of its first pixel,
        height and width), and the mean and the highest score of its pixels.

    Raises:
        InputError: `mask` is not bool, or the two are not of one size H x W.
    """
    from skimage.measure import label, regionprops_table

    mask, score = np.asarray(mask), np.asarray(score)
    if mask.dtype != bool or mask.ndim != 2 or mask.shape != score.shape:
        raise InputError(
            f"mask is {mask.dtype} of shape {mask.shape}, score of {score.shape}; "
            "expected bool and numbers, both H x W"
        )
    found = regionprops_table(
        label(mask, connectivity=2),
        score.astype(np.float64),
        properties=[*_PROPERTIES.values(), "bbox"],
    )
    top, left, bottom, right = (found[f"bbox-{side}"].astype(int) for side in range(4))
    box = {"top": top, "left": left, "box_height": bottom - top, "box_width": right - left}
    measured = {name: found[measure] for name, measure in _PROPERTIES.items()}
    whole = {name: measured[name].astype(int) for name in ("defect", "area")}
    axes = {name: np.hypot(measured[name], _PIXEL) for name in ("length", "width")}
    return pd.DataFrame({**measured, **whole, **axes, **box})[COLUMNS]


def defects_of(index: Iterable[int], masks: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """The defects of many images; `index`, the image's number, is the first column."""
    tables = [
        find_defects(mask, score).assign(index=int(image))
        for image, mask, score in zip(index, masks, scores, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)[["index", *COLUMNS]]


def write_defects(path: Path, defects: pd.DataFrame) -> None:
    """Write defects as CSV, whole or not at all."""
    with write_whole(path, checksum=True) as temporary:
        defects.to_csv(temporary, index=False, float_format="%.6g")

"""The figure of detections: restored background, score map and found mask, methods side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from scipy.ndimage import binary_dilation

from rgi.corruption import Case, load_case
from rgi.data.sources import GOOD
from rgi.evaluation.detection import kinds_of, read_images
from rgi.reporting.restorations import (
    GAP,
    TILE,
    TITLE_WIDTH,
    as_images,
    first_images,
    pictures,
)
from rgi.reporting.style import DOTS_PER_INCH, VERMILLION
from rgi.reporting.tables import Request

ROWS = ("restored\nbackground", "score map", "mask found")
TRUTH = "input, clean, true mask"
LEFT = 0.85  # inches for the names of the rows
HEAD = 0.55  # inches for the names of the columns
TITLE = 0.22  # inches over each strip
OUTLINE = tuple(int(VERMILLION[place : place + 2], 16) / 255 for place in (1, 3, 5))
FONT = 7.5
LINE = 2  # pixels of the figure
SCORE_COLOURS = "viridis"


@dataclass(frozen=True)
class Strip:
    """One image of one kind of defect: pictures of the truth and of every method, by column.

    Each column holds len(ROWS) pictures TILE x TILE x 3 in [0, 1].
    """

    title: str
    columns: Mapping[str, Sequence[np.ndarray]]


def detections_figure(results: Path, request: Request) -> Figure:
    """Draw the first image of each kind of defect in each data set and case, by every method.

    Args:
        results: folder with cases, restorations and detection.
        request: data sets, cases and methods.

    Raises:
        InputError: a file is missing, damaged or lacks an image.
    """
    strips = [
        strip
        for dataset, case in product(request.datasets, request.cases)
        for strip in detection_strips(results, dataset, case, request.methods)
    ]
    mosaics = [_mosaic(strip) for strip in strips]
    tall, wide = (size / DOTS_PER_INCH for size in mosaics[0].shape[:2])
    width, height = LEFT + wide, HEAD + len(strips) * (TITLE + tall)
    figure = Figure(figsize=(width, height))
    step = (TILE + GAP) / DOTS_PER_INCH
    for number, (strip, mosaic) in enumerate(zip(strips, mosaics, strict=True)):
        top = height - HEAD - number * (TITLE + tall) - TITLE
        axes = figure.add_axes((LEFT / width, (top - tall) / height, wide / width, tall / height))
        axes.imshow(mosaic, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
        figure.text(LEFT / width, (top + 0.05) / height, strip.title, weight="bold", fontsize=FONT)
        for row, name in enumerate(ROWS):
            at = (0, (top - (row + 0.5) * step) / height)
            figure.text(*at, name, va="center", fontsize=FONT)
    for place, title in enumerate(strips[0].columns):
        at = ((LEFT + (place + 0.5) * step) / width, (height - HEAD) / height)
        name = "\n".join(wrap(title, TITLE_WIDTH))
        figure.text(*at, name, ha="center", va="bottom", fontsize=FONT)
    return figure


def detection_strips(
    results: Path, dataset: str, case_name: str, methods: Sequence[str]
) -> list[Strip]:
    """Collect the pictures of one case: the first image of each kind of defect."""
    path = results / "cases" / dataset / f"{case_name}.npz"
    case = load_case(path)
    strips = []
    for kind, row in _first_rows(kinds_of(case, str(path))).items():
        columns = {TRUTH: _truth(case, row)}
        for method in methods:
            columns[method] = _found(results, f"{dataset}/{case_name}/{method}", case, row)
        named = "" if case.kind is None else f", {kind}"
        strips.append(Strip(f"{dataset}, {case_name}{named}", columns))
    return strips


def _first_rows(kinds: np.ndarray) -> dict[str, int]:
    """The first row of each kind of defect."""
    return {kind: int(np.argmax(kinds == kind)) for kind in sorted({*kinds} - {GOOD})}


def _truth(case: Case, row: int) -> list[np.ndarray]:
    shown = (case.corrupted[row], case.clean[row], as_images(case.mask[[row]])[0])
    return [pictures(image[None])[0] for image in shown]


def _found(results: Path, name: str, case: Case, row: int) -> list[np.ndarray]:
    """A method's restored image, map and mask at the image's own lambda and threshold."""
    point = read_images(results / "detection" / name).set_index("index").loc[case.index[row]]
    folder = results / "restorations" / name / point["lam"]
    restored, score = first_images(folder, case.index[[row]])
    (mask,) = pictures(as_images(score >= point["threshold"]))
    return [pictures(restored)[0], _coloured(score[0]), _outlined(mask, case.mask[row])]


def _coloured(score: np.ndarray) -> np.ndarray:
    """A map in colours that span its own range."""
    span = np.ptp(score)
    colours = colormaps[SCORE_COLOURS]((score - score.min()) / (span if span else 1))[..., :3]
    return pictures(2 * np.moveaxis(colours, -1, 0)[None] - 1)[0]


def _outlined(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with the outline of a mask, just outside of its pixels: it hides no small one."""
    inside = pictures(as_images(mask[None]))[0][..., 0] > 0
    line = binary_dilation(inside, np.ones((3, 3)), iterations=LINE) & ~inside
    return np.where(line[..., None], OUTLINE, picture)


def _mosaic(strip: Strip) -> np.ndarray:
    step = TILE + GAP
    canvas = np.ones((len(ROWS) * step - GAP, len(strip.columns) * step - GAP, 3))
    for place, column in enumerate(strip.columns.values()):
        for row, picture in enumerate(column):
            canvas[row * step : row * step + TILE, place * step : place * step + TILE] = picture
    return canvas

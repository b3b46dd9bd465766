"""The figure of restorations: input, truth, every method and the masks found, side by side."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib.figure import Figure

from rgi.corruption import load_case
from rgi.errors import InputError
from rgi.evaluation.scoring import FOUND, load_shard
from rgi.evaluation.selection import read_selection, reference_lambda
from rgi.reporting.style import DOTS_PER_INCH
from rgi.reporting.tables import Request

ROWS = 3
TILE = 128  # pixels of the figure per image
EMPTY = 0.93  # grey of a panel without a picture
GAP = 6
GROUP_GAP = 24
HEAD = 0.75  # inches over each strip: its title and those of the columns
TITLE_WIDTH = 10  # characters that fit over a picture


@dataclass(frozen=True)
class Column:
    """Pictures below one title: rows x height x width x 3 in [0, 1]; `opens` starts a group."""

    title: str
    pictures: np.ndarray
    opens: bool = False


@dataclass(frozen=True)
class Strip:
    """The columns of one case of one data set."""

    title: str
    columns: Sequence[Column]


def restorations_figure(
    results: Path, request: Request, finds_mask: Collection[str], rows: int = ROWS
) -> Figure:
    """Draw the first `rows` images of each data set and case, restored by every method.

    Args:
        results: folder with cases, restorations and selection.
        request: data sets, cases and methods.
        finds_mask: the methods whose found mask is shown.
        rows: images per case; fewer where the case has fewer.

    Raises:
        InputError: a file is missing, damaged or lacks an image.
    """
    strips = [
        restoration_strip(results, dataset, case, request.methods, finds_mask, rows)
        for dataset, case in product(request.datasets, request.cases)
    ]
    mosaics = [_mosaic(strip) for strip in strips]
    heights = [HEAD + mosaic.shape[0] / DOTS_PER_INCH for mosaic in mosaics]
    width, height = mosaics[0].shape[1] / DOTS_PER_INCH, sum(heights)
    figure = Figure(figsize=(width, height))
    top = height
    for strip, mosaic, own in zip(strips, mosaics, heights, strict=True):
        top -= own
        axes = figure.add_axes((0, top / height, 1, (own - HEAD) / height))
        axes.imshow(mosaic, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
        for column, left in zip(strip.columns, _lefts(strip.columns), strict=True):
            axes.text(left + TILE / 2, -10, column.title, ha="center", va="bottom", fontsize=6)
        figure.text(0, (top + own - 0.2) / height, strip.title, va="top", weight="bold")
    return figure


def restoration_strip(
    results: Path,
    dataset: str,
    case: str,
    methods: Sequence[str],
    finds_mask: Collection[str],
    rows: int,
) -> Strip:
    """Collect the pictures of one case: each method at its reference lambda."""
    truth = load_case(results / "cases" / dataset / f"{case}.npz")
    wanted = truth.index[:rows]
    restored, masks = [], []
    for method in methods:
        selection = read_selection(results / "selection" / dataset / case / f"{method}.csv")
        lam = reference_lambda(selection)
        folder = results / "restorations" / dataset / case / method / lam
        images, scores = first_images(folder, wanted)
        name = "\n".join(wrap(method, TITLE_WIDTH))
        under = "" if lam == "none" else f"\nλ = {lam}"
        restored.append(Column(name + under, pictures(images), opens=not restored))
        if method in finds_mask:
            masks.append(Column(f"{name}\nmask", pictures(as_images(scores > FOUND))))
    unknown = np.isnan(truth.clean).all()
    whole = truth.operator is not None  # no pixel is seen as it is: nothing to show of a mask
    true_mask = as_images(truth.mask[:rows])
    return Strip(
        f"{dataset}, {case}",
        [
            Column("input", pictures(truth.corrupted[:rows])),
            Column("truth\nunknown" if unknown else "truth", pictures(truth.clean[:rows])),
            *restored,
            Column(
                "no mask" if whole else "true\nmask",
                pictures(np.full_like(true_mask, np.nan) if whole else true_mask),
                opens=True,
            ),
            *masks,
        ],
    )


def first_images(folder: Path, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Restored images and scores of the wanted indices, out of as few shards as hold them."""
    needed = [int(index) for index in wanted]
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    number = 0
    while missing := [index for index in needed if index not in found]:
        path = folder / f"{number}.npz"
        if number and not path.exists():
            raise InputError(f"{folder}: no shard holds image {missing[0]}")
        shard = load_shard(path)
        found |= {
            int(index): (image, score)
            for index, image, score in zip(shard.index, shard.restored, shard.score, strict=True)
        }
        number += 1
    return np.stack([found[i][0] for i in needed]), np.stack([found[i][1] for i in needed])


def as_images(masks: np.ndarray) -> np.ndarray:
    """Masks N x H x W as images N x 1 x H x W, white where True."""
    return np.where(masks[:, None], 1.0, -1.0)


def pictures(images: np.ndarray) -> np.ndarray:
    """N x C x H x W in [-1, 1] -> N x TILE x TILE x 3 in [0, 1], by the nearest pixel.

    NaN, an unknown truth, becomes an empty panel.
    """
    height, width = images.shape[-2:]
    rows = np.arange(TILE) * height // TILE
    columns = np.arange(TILE) * width // TILE
    colour = np.broadcast_to(images, (len(images), 3, height, width))
    tiles = colour[:, :, rows][:, :, :, columns]
    return np.nan_to_num(np.clip((tiles.transpose(0, 2, 3, 1) + 1) / 2, 0, 1), nan=EMPTY)


def _lefts(columns: Sequence[Column]) -> list[int]:
    """Left edges of the columns in pixels."""
    edges, left = [], 0
    for column in columns:
        left += GROUP_GAP if column.opens else 0
        edges.append(left)
        left += TILE + GAP
    return edges


def _mosaic(strip: Strip) -> np.ndarray:
    lefts = _lefts(strip.columns)
    rows = len(strip.columns[0].pictures)
    canvas = np.ones((rows * (TILE + GAP) - GAP, lefts[-1] + TILE, 3))
    for column, left in zip(strip.columns, lefts, strict=True):
        for row, picture in enumerate(column.pictures):
            top = row * (TILE + GAP)
            canvas[top : top + TILE, left : left + TILE] = picture
    return canvas

"""Lines about detection: its curves, Dice against the defect, scores against the training set."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from rgi.evaluation.detection import read_curves, read_images
from rgi.evaluation.intervals import summarise
from rgi.reporting.style import Look, looks
from rgi.reporting.tables import Request

CURVE_LABELS = {
    "roc": ("false positive rate", "true positive rate"),
    "precision-recall": ("recall", "precision"),
}
DEFECT_LABELS = {
    "area": "size of the defect (pixels)",
    "contrast": "contrast of the defect",
}
GROUPS = 5  # of images with defects of growing size or contrast
SPREAD = 0.05  # of the axis, over which points of methods with one x are spread
TRAINING_METRICS = {
    ("dice", "mean"): "Dice",
    ("auroc", "pooled"): "AUROC",
    ("aupro", "pooled"): "AUPRO",
}
LEGEND_COLUMNS = 5


def detection_curves_figure(detection: Path, request: Request) -> Figure:
    """ROC and precision-recall over all pixels; a column for each data set and case.

    Args:
        detection: folder of {dataset}/{case}/{method}/curves.csv.
        request: data sets, cases and methods.

    Raises:
        InputError: a file is missing or damaged.
    """
    places, style = list(product(request.datasets, request.cases)), looks(request.methods)
    figure, grid = _grid(len(CURVE_LABELS), len(places), style, markers=False)
    for (dataset, case), panels in zip(places, grid.T, strict=True):
        for method, look in style.items():
            curves = read_curves(detection / dataset / case / method)
            for name, axes in zip(CURVE_LABELS, panels, strict=True):
                own = curves[curves["curve"] == name]
                axes.plot(own["x"], own["y"], color=look.colour, linestyle=look.line, label=method)
        panels[0].set_title(f"{dataset}\n{case}")
        for (x, _), axes in zip(CURVE_LABELS.values(), panels, strict=True):
            axes.set_xlabel(x)
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for (_, y), axes in zip(CURVE_LABELS.values(), grid[:, 0], strict=True):
        axes.set_ylabel(y)
    return figure


def dice_by_defect_figure(detection: Path, request: Request) -> Figure:
    """Mean held-out Dice against size and contrast of the defect, all cases of a data set together.

    Images are put into at most GROUPS groups of about equally many, from small to large.

    Args:
        detection: folder of {dataset}/{case}/{method}/images.csv.
        request: data sets, cases and methods.

    Raises:
        InputError: a file is missing or damaged.
    """
    style = looks(request.methods)
    figure, grid = _grid(len(request.datasets), len(DEFECT_LABELS), style, wide=1.4)
    for dataset, panels in zip(request.datasets, grid, strict=True):
        images = {
            method: pd.concat(
                [read_images(detection / dataset / case / method) for case in request.cases]
            )
            for method in style
        }
        for (name, label), axes in zip(DEFECT_LABELS.items(), panels, strict=True):
            axes.set_xscale("log" if name == "area" else "linear")
            _points(axes, {m: _by_defect(own, name) for m, own in images.items()}, style)
            axes.set(xlabel=label, ylim=(0, 1))
            if name == "area":
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.xaxis.set_major_formatter(FuncFormatter(lambda pixels, _: f"{pixels:g}"))
                axes.minorticks_off()
        panels[0].set_ylabel(f"{dataset}\nDice")
    return figure


def training_size_figure(
    table: pd.DataFrame, series: Sequence[Sequence[str]], sizes: Mapping[str, int]
) -> Figure:
    """Scores against the number of training images; columns are series and cases, rows metrics.

    Args:
        table: anomaly-detection.csv.
        series: data sets that differ in their training images alone.
        sizes: how many training images a data set has.
    """
    whole = table[table["kind"] == "all"]
    style = looks(list(whole["method"].unique()))
    places = list(product(series, whole["case"].unique()))
    figure, grid = _grid(len(TRAINING_METRICS), len(places), style)
    for (datasets, case), panels in zip(places, grid.T, strict=True):
        own = whole[whole["dataset"].isin(datasets) & (whole["case"] == case)]
        own = own.assign(x=own["dataset"].map(sizes)).sort_values("x")
        for (metric, statistic), axes in zip(TRAINING_METRICS, panels, strict=True):
            shown = own[(own["metric"] == metric) & (own["statistic"] == statistic)]
            axes.set_xscale("log")
            _points(axes, {m: shown[shown["method"] == m] for m in style}, style)
            ticks = sorted({sizes[name] for name in datasets})
            axes.set_xticks(ticks, [str(tick) for tick in ticks], rotation=45)
            axes.minorticks_off()
        panels[0].set_title(f"{datasets[0]}\n{case}")
        panels[-1].set_xlabel("training images")
    for label, axes in zip(TRAINING_METRICS.values(), grid[:, 0], strict=True):
        axes.set_ylabel(label)
    return figure


def steps_figure(table: pd.DataFrame, lines: Mapping[str, Mapping[str, int]]) -> Figure:
    """Pooled AUROC against the number of steps, a panel for each data set and case.

    Methods of no line are drawn as levels.

    Args:
        table: anomaly-detection.csv.
        lines: of each line, how many steps its methods take.
    """
    chosen = (table["kind"] == "all") & (table["metric"] == "auroc")
    auroc = table[chosen & (table["statistic"] == "pooled")]
    steps = {method: count for line in lines.values() for method, count in line.items()}
    levels = [method for method in auroc["method"].unique() if method not in steps]
    line_of = {method: line for line, methods in lines.items() for method in methods}
    auroc = auroc.assign(x=auroc["method"].map(steps), line=auroc["method"].map(line_of))
    style = looks([*lines, *levels])
    places = list(auroc[["dataset", "case"]].drop_duplicates().itertuples(index=False))
    figure, (panels,) = _grid(1, len(places), style, wide=1.4)
    for (dataset, case), axes in zip(places, panels, strict=True):
        own = auroc[(auroc["dataset"] == dataset) & (auroc["case"] == case)]
        axes.set_xscale("log")
        points = {line: own[own["line"] == line].sort_values("x") for line in lines}
        _points(axes, points, {line: style[line] for line in lines})
        for method in levels:
            (value,) = own.loc[own["method"] == method, "value"]
            axes.axhline(value, color=style[method].colour, linestyle=style[method].line)
        ticks = sorted(set(steps.values()))
        axes.set_xticks(ticks, [str(tick) for tick in ticks], rotation=45)
        axes.minorticks_off()
        axes.set(title=f"{dataset}\n{case}", xlabel="steps")
    panels[0].set_ylabel("AUROC")
    return figure


FIGURES: dict[str, Callable[[Path, Request], Figure]] = {
    "detection-curves": detection_curves_figure,
    "dice-by-defect": dice_by_defect_figure,
}


def _grid(
    rows: int, columns: int, style: Mapping[str, Look], wide: float = 1.0, markers: bool = True
) -> tuple[Figure, np.ndarray]:
    """Panels of one size above one legend; curves have no markers."""
    columns_wide = max(2.1 * wide * columns + 0.5, 4.6)
    figure = Figure(figsize=(columns_wide, 1.9 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey="row")
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker if markers else "none",
            label=method,
        )
        for method, look in style.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=LEGEND_COLUMNS)
    return figure, grid


def _by_defect(images: pd.DataFrame, name: str) -> pd.DataFrame:
    """Mean Dice with its interval of groups of images of growing `name`."""
    known = images.dropna(subset=["dice", name])
    inner = np.linspace(0, 1, GROUPS + 1)[1:-1]
    edges = np.unique(np.quantile(known[name], inner)) if len(known) else inner
    group = np.searchsorted(edges, known[name], side="right")
    rows = []
    for _, own in known.groupby(group):
        dice = summarise(own["dice"], np.mean, seed=0, groups=_shown_things(own))
        rows.append((own[name].median(), dice.value, dice.low, dice.high))
    return pd.DataFrame(rows, columns=["x", "value", "low", "high"])


def _shown_things(images: pd.DataFrame) -> np.ndarray:
    """The group of each image, or without groups the image, which several cases may have."""
    image = images["index"].astype(str)
    return (images["group"].fillna(image) if "group" in images else image).to_numpy()


def _points(axes: Axes, points: Mapping[str, pd.DataFrame], style: Mapping[str, Look]) -> None:
    """A line per method; those of one x stand slightly apart, so that their bars can be seen."""
    scale, back = (np.log, np.exp) if axes.get_xscale() == "log" else (np.array, np.array)
    shared = scale(np.concatenate([own["x"] for own in points.values()]).astype(float))
    width = SPREAD * (np.ptp(shared) if len(np.unique(shared)) > 1 else 1.0)
    shifts = np.linspace(-width / 2, width / 2, len(style)) if len(style) > 1 else [0.0]
    for (method, look), shift in zip(style.items(), shifts, strict=True):
        own = points[method]
        axes.errorbar(
            back(scale(own["x"].to_numpy(float)) + shift),
            own["value"],
            yerr=[own["value"] - own["low"], own["high"] - own["value"]],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            elinewidth=0.7,
            capsize=1.2,
            label=method,
        )

"""Figures with lines: error against the noise, metrics against lambda."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rgi.evaluation.metrics import METRICS
from rgi.reporting.style import Look, looks

IMAGE_METRICS, MASK_METRICS = ("psnr", "ssim"), ("dice", "auroc")
# Share of the step between two levels over which the methods' points are spread.
SPREAD = 0.08


def simulation_figure(table: pd.DataFrame) -> Figure:
    """RMSE against the mean of the noise, one line per method (figure 5 of the RGI paper).

    Args:
        table: simulation.csv.
    """
    chosen = (table["metric"] == "rmse") & (table["region"] == "whole")
    rmse = table[chosen & (table["statistic"] == "rms")]
    methods = list(rmse["method"].unique())
    levels = np.sort(rmse["level"].astype(float).unique())
    step = np.diff(levels).min() if len(levels) > 1 else 1.0
    shifts = np.linspace(-SPREAD, SPREAD, len(methods)) * step if len(methods) > 1 else [0.0]

    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    style = looks(methods)
    for method, shift in zip(methods, shifts, strict=True):
        own = rmse[rmse["method"] == method].assign(level=lambda t: t["level"].astype(float))
        own, look = own.sort_values("level"), style[method]
        axes.errorbar(
            own["level"] + shift,
            own["value"],
            yerr=[own["value"] - own["low"], own["high"] - own["value"]],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            capsize=2,
            elinewidth=1,
            label=method,
        )
    axes.set_xticks(levels)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("mean of the noise at the corrupted pixels")
    axes.set_ylabel("RMSE")
    figure.legend(loc="outside right upper")
    return figure


def lambda_sensitivity_figure(table: pd.DataFrame) -> Figure:
    """PSNR and SSIM against lambda; rows data set and metric, columns cases.

    Where the truth is unknown, Dice and AUROC stand in their place.

    Args:
        table: lambda-sensitivity.csv.
    """
    means = table[table["statistic"] == "mean"]
    means = means.assign(number=pd.to_numeric(means["lam"], errors="coerce"))
    cases, style = list(means["case"].unique()), looks(list(means["method"].unique()))
    lams = np.sort(means["number"].dropna().unique())
    rows = [
        (dataset, metric)
        for dataset, own in means.groupby("dataset", sort=False)
        for metric in _shown(set(own["metric"]))
    ]

    figure = Figure(figsize=(2.3 * len(cases) + 1.6, 1.8 * len(rows) + 0.4), layout="constrained")
    grid = figure.subplots(len(rows), len(cases), sharey="row", sharex="all", squeeze=False)
    for (dataset, metric), panels in zip(rows, grid, strict=True):
        for case, axes in zip(cases, panels, strict=True):
            own = means[(means["dataset"] == dataset) & (means["case"] == case)]
            _lambda_panel(axes, own[own["metric"] == metric], style)
        panels[0].set_ylabel(f"{dataset}\n{METRICS[metric].label}")
    for case, top, bottom in zip(cases, grid[0], grid[-1], strict=True):
        top.set_title(case)
        _lambda_axis(bottom, lams)
    with_lambda = set(means.loc[means["number"].notna(), "method"])
    figure.legend(handles=_legend(style, with_lambda), loc="outside right upper")
    return figure


def _shown(scored: Collection[str]) -> list[str]:
    of_images = [name for name in IMAGE_METRICS if name in scored]
    return of_images or [name for name in MASK_METRICS if name in scored]


def _lambda_panel(axes: Axes, own: pd.DataFrame, style: Mapping[str, Look]) -> None:
    for method, look in style.items():
        points = own[own["method"] == method].sort_values("number")
        if points["number"].isna().all():
            for level in points["value"]:
                axes.axhline(level, color=look.colour, linestyle=look.line, linewidth=1, alpha=0.8)
            continue
        axes.fill_between(
            points["number"], points["low"], points["high"], color=look.colour, alpha=0.12, lw=0
        )
        axes.plot(
            points["number"],
            points["value"],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
        )
        best = points[points["chosen"] == "yes"]
        axes.plot(
            best["number"],
            best["value"],
            linestyle="none",
            marker="o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor=look.colour,
        )


def _lambda_axis(axes: Axes, lams: np.ndarray) -> None:
    """Logarithmic where it can be, with a tick at every lambda tried, written as it is."""
    if len(lams) and lams[0] > 0:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(lams, [f"{lam:g}" for lam in lams], rotation=45 if len(lams) > 4 else 0)
    axes.set_xlabel("λ")


FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "simulation": simulation_figure,
    "lambda-sensitivity": lambda_sensitivity_figure,
}


def _legend(style: Mapping[str, Look], with_lambda: Collection[str]) -> Sequence[Line2D]:
    return [
        Line2D(
            [],
            [],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker if method in with_lambda else "none",
            label=method,
        )
        for method, look in style.items()
    ]

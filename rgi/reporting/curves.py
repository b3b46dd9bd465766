"""Figures with lines: error against the noise, metrics against lambda, quality against cost."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from rgi.evaluation.metrics import METRICS
from rgi.reporting.style import Look, line_looks, looks

IMAGE_METRICS, MASK_METRICS = ("psnr", "ssim"), ("dice", "auroc")
# Share of the step between two levels over which the methods' points are spread.
SPREAD = 0.08
# Share of an axis of lambdas that an upright label takes.
ROOM = 0.08
SOLVER_LABELS = {
    "psnr": METRICS["psnr"].label,
    "dice": METRICS["dice"].label,
    "objective": "objective",
}
POINT = ["dataset", "case", "line", "method"]  # of a solver's line
LEGEND_COLUMNS = 4


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
    """PSNR and SSIM against lambda; rows data set and metric, one panel for each of their cases.

    Where the truth is unknown, Dice and AUROC stand in their place.

    Args:
        table: lambda-sensitivity.csv.
    """
    means = table[table["statistic"] == "mean"]
    means = means.assign(number=pd.to_numeric(means["lam"], errors="coerce"))
    style, rows = looks(list(means["method"].unique())), _lambda_rows(means)
    lams = np.sort(means["number"].dropna().unique())
    columns = max(map(len, rows.values()))

    figure = Figure(figsize=(2.3 * columns + 1.6, 2.1 * len(rows) + 0.4), layout="constrained")
    grid = figure.subplots(len(rows), columns, sharey="row", sharex="all", squeeze=False)
    for ((dataset, metric), cases), panels in zip(rows.items(), grid, strict=True):
        of_row = means[(means["dataset"] == dataset) & (means["metric"] == metric)]
        for case, axes in zip(cases, panels, strict=False):
            _lambda_panel(axes, of_row[of_row["case"] == case], style)
            axes.set_title(case)
        for axes in panels[len(cases) :]:
            axes.remove()
        panels[0].set_ylabel(f"{dataset}\n{METRICS[metric].label}")
    for panels in grid.T:
        _lambda_axis([axes for axes in panels if axes in figure.axes][-1], lams)
    with_lambda = set(means.loc[means["number"].notna(), "method"])
    figure.legend(handles=_legend(style, with_lambda), loc="outside right upper")
    return figure


def _lambda_rows(means: pd.DataFrame) -> dict[tuple[str, str], list[str]]:
    """The data sets and metrics shown, each with its cases."""
    rows: dict[tuple[str, str], list[str]] = {}
    for dataset, own in means.groupby("dataset", sort=False):
        for case, of_case in own.groupby("case", sort=False):
            for metric in _shown(set(of_case["metric"])):
                rows.setdefault((dataset, metric), []).append(case)
    return rows


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
    """Logarithmic where it can be; a tick at every lambda tried, written where there is room."""
    logarithmic = len(lams) > 0 and lams[0] > 0
    if logarithmic:
        axes.set_xscale("log")
        axes.minorticks_off()
    places = np.log(lams) if logarithmic else lams
    labels, last = [], -np.inf
    for lam, place in zip(lams, places, strict=True):
        fits = place - last >= ROOM * np.ptp(places)
        labels.append(f"{lam:g}" if fits else "")
        last = place if fits else last
    axes.set_xticks(lams, labels, rotation=90)
    axes.tick_params(axis="x", labelbottom=True)
    axes.set_xlabel("λ")


def solver_figure(table: pd.DataFrame) -> Figure:
    """Quality and objective against generator passes; rows metrics, columns data set and case.

    Args:
        table: solver.csv.
    """
    return _cost_figure(table, "passes", "passes per image")


def solver_seconds_figure(table: pd.DataFrame) -> Figure:
    """As `solver_figure`, against seconds."""
    return _cost_figure(table, "seconds", "seconds per image")


def _cost_figure(table: pd.DataFrame, cost: str, label: str) -> Figure:
    means = table[(table["statistic"] == "mean") & (table["region"] == "whole")]
    points = means[means["metric"].isin(SOLVER_LABELS)].merge(
        means.loc[means["metric"] == cost, [*POINT, "value"]].rename(columns={"value": "cost"}),
        on=POINT,
    )
    metrics = [metric for metric in SOLVER_LABELS if metric in set(points["metric"])]
    places = list(points[["dataset", "case"]].drop_duplicates().itertuples(index=False))
    style = line_looks(list(points["line"].unique()))

    figure = Figure(
        figsize=(1.8 * len(places) + 0.9, 1.7 * len(metrics) + 1.1), layout="constrained"
    )
    grid = figure.subplots(len(metrics), len(places), sharex="all", squeeze=False)
    for metric, panels in zip(metrics, grid, strict=True):
        for (dataset, case), axes in zip(places, panels, strict=True):
            own = points[(points["dataset"] == dataset) & (points["case"] == case)]
            _cost_panel(axes, own[own["metric"] == metric], style)
        panels[0].set_ylabel(_solver_label(points, metric))
    for (dataset, case), axes in zip(places, grid[0], strict=True):
        axes.set_title(f"{dataset}\n{case}")
    for axes in grid[-1]:
        _cost_axis(axes, label)
    figure.align_ylabels(grid[:, 0])
    handles = [_handle(line, look) for line, look in style.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=LEGEND_COLUMNS)
    return figure


def _cost_panel(axes: Axes, own: pd.DataFrame, style: Mapping[str, Look]) -> None:
    for line, look in style.items():
        points = own[own["line"] == line]
        if points.empty:
            continue
        axes.errorbar(
            points["cost"],
            points["value"],
            yerr=[points["value"] - points["low"], points["high"] - points["value"]],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            capsize=1.5,
            elinewidth=0.8,
            label=line,
        )


def _cost_axis(axes: Axes, label: str) -> None:
    """Logarithmic, with round numbers written as they are."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:g}"))
    axes.minorticks_off()
    axes.tick_params(axis="x", rotation=45)
    axes.set_xlabel(label)


def _solver_label(points: pd.DataFrame, metric: str) -> str:
    """Objectives are compared at one lambda, which they name."""
    if metric != "objective":
        return SOLVER_LABELS[metric]
    lam = points.loc[points["metric"] == metric, "lam"].iloc[0]
    return f"{SOLVER_LABELS[metric]}\nat λ = {lam}"


@dataclass(frozen=True)
class Drawing:
    """How a figure is drawn, and the name of the table that it needs."""

    table: str
    draw: Callable[[pd.DataFrame], Figure]


FIGURES = {
    "simulation": Drawing("simulation", simulation_figure),
    "lambda-sensitivity": Drawing("lambda-sensitivity", lambda_sensitivity_figure),
    "solver": Drawing("solver", solver_figure),
    "solver-seconds": Drawing("solver", solver_seconds_figure),
}


def _legend(style: Mapping[str, Look], with_lambda: Collection[str]) -> Sequence[Line2D]:
    return [
        _handle(method, look if method in with_lambda else replace(look, marker="none"))
        for method, look in style.items()
    ]


def _handle(label: str, look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, linestyle=look.line, marker=look.marker, label=label)

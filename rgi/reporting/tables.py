"""Tidy tables of an experiment: held-out values with their bootstrap intervals."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from rgi.evaluation.detection import read_summary
from rgi.evaluation.intervals import STATISTICS, Statistic, root_mean_square, summarise
from rgi.evaluation.metrics import METRICS
from rgi.evaluation.scoring import COST_METRICS, groups_of, read_scores
from rgi.evaluation.selection import (
    ALL,
    at_edge,
    chosen_lambda,
    held_out,
    read_selection,
    reference_lambda,
)
from rgi.files import write_whole
from rgi.reporting.published import projected_auroc, published_value

COLUMNS = [
    "dataset",
    "case",
    "method",
    "metric",
    "region",
    "statistic",
    "value",
    "low",
    "high",
    "images",
    "lam",
    "published",
]
SIMULATION_COLUMNS = [*COLUMNS[:2], "level", *COLUMNS[2:]]
SENSITIVITY_COLUMNS = [*COLUMNS, "chosen"]
SOLVER_COLUMNS = [*COLUMNS[:2], "line", *COLUMNS[2:]]
ANOMALY_COLUMNS = [*COLUMNS[:2], "kind", *COLUMNS[2:], "edge"]
COLUMNS_OF = {
    "inpainting": COLUMNS,
    "anomaly-detection": ANOMALY_COLUMNS,
    "simulation": SIMULATION_COLUMNS,
    "solver": SOLVER_COLUMNS,
    "cost": COLUMNS,
    "lambda-sensitivity": SENSITIVITY_COLUMNS,
}

SOLVER_QUALITY = ("psnr", "rmse", "dice")
WITH_RMS = {**STATISTICS, "rms": root_mean_square}


@dataclass(frozen=True)
class Request:
    """The rows of a table: every method on every case of every data set.

    `as_published` names the dataset/case that are set up as in a paper. A solver table also
    has `lines`, each a name and its methods in the order of their budgets, and the one lambda `lam`
    at which their objectives are compared.
    """

    datasets: Sequence[str]
    cases: Sequence[str]
    methods: Sequence[str]
    as_published: Collection[str] = ()
    lines: Sequence[tuple[str, Sequence[str]]] = ()
    lam: str = ""

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        return iter(product(self.datasets, self.cases, self.methods))


@dataclass(frozen=True)
class Scored:
    """Where scores, selections and detections lie, and how the selections were made."""

    scores: Path
    selection: Path
    detection: Path
    folds: int
    seed: int

    def read(self, dataset: str, case: str, method: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Scores and selection of one method on one case."""
        name = Path(dataset) / case / f"{method}.csv"
        return read_scores(self.scores / name), read_selection(self.selection / name)


def inpainting_table(scored: Scored, request: Request) -> pd.DataFrame:
    """Held-out values of every metric and region, beside the paper's where it has them.

    Returns:
        A table with `COLUMNS`; `lam` is the lambda that the metric chooses on all images, while
        each image counts at the lambda chosen without its fold.

    Raises:
        InputError: scores or a selection are missing or do not fit.
    """
    rows = []
    for dataset, case, method in request:
        for row in _held_out_rows(scored, dataset, case, method):
            paper = None
            comparable = f"{dataset}/{case}" in request.as_published
            if comparable and (row["statistic"], row["region"]) == ("mean", "whole"):
                paper = published_value(dataset, case, method, row["metric"])
            rows.append(row | {"published": paper})
    return pd.DataFrame(rows, columns=COLUMNS)


def anomaly_table(scored: Scored, request: Request) -> pd.DataFrame:
    """Held-out Dice, pooled curves' areas and the background's PSNR, per kind of defect and of all.

    Beside the pooled AUROC of all kinds stands what the paper on projections has of it. Table 2 of
    the RGI paper is on images and with a generator of its own, so that no number is comparable.

    Returns:
        A table with `ANOMALY_COLUMNS`, see `rgi.evaluation.detection.Detection`; `edge` is yes
        where `lam`, chosen on all images, lies at the edge of its grid, else no.

    Raises:
        InputError: a detection or scores are missing or damaged.
    """
    tables = []
    for dataset, case, method in request:
        summary = read_summary(scored.detection / dataset / case / method)
        tried = read_scores(scored.scores / dataset / case / f"{method}.csv")["lam"].unique()
        edge = ["yes" if at_edge(lam, tried) else "no" for lam in summary["lam"]]
        keys = {"dataset": dataset, "case": case, "method": method}
        paper = None
        if f"{dataset}/{case}" in request.as_published:
            paper = projected_auroc(dataset, method)
        of = summary[["kind", "metric", "statistic"]].eq([ALL, "auroc", "pooled"]).all(axis=1)
        published = [paper if own else None for own in of]
        tables.append(summary.assign(**keys, published=published, edge=edge))
    return pd.concat(tables, ignore_index=True)[ANOMALY_COLUMNS]


def simulation_table(scored: Scored, request: Request) -> pd.DataFrame:
    """Held-out values against the mean of the noise, which ends a case's name: NAME_LEVEL.

    Of rmse there is one statistic more, `rms`: the root of the mean square over images, as in
    appendix C of RGI.

    Returns:
        A table with `SIMULATION_COLUMNS`.

    Raises:
        InputError: scores or a selection are missing or do not fit.
    """
    rows = []
    for dataset, case, method in request:
        level = case.rpartition("_")[2]
        for row in _held_out_rows(scored, dataset, case, method, WITH_RMS):
            rows.append(row | {"level": level})
    return pd.DataFrame(rows, columns=SIMULATION_COLUMNS)


def cost_table(scored: Scored, request: Request) -> pd.DataFrame:
    """Compute seconds and, where counted, passes through the network per image.

    They are those of the method's reference lambda: the cost of one restoration, without the
    search for lambda.

    Returns:
        A table with `COLUMNS`.

    Raises:
        InputError: scores or a selection are missing.
    """
    rows = []
    for dataset, case, method in request:
        scores, selection = scored.read(dataset, case, method)
        lam = reference_lambda(selection)
        at_lam = scores[scores["lam"] == lam]
        for metric in COST_METRICS:
            own = at_lam[at_lam["metric"] == metric]
            if len(own):
                keys = _keys(dataset, case, method, metric, "whole", lam)
                rows += _summary_rows(keys, own, STATISTICS, scored.seed)
    return pd.DataFrame(rows, columns=COLUMNS)


def lambda_sensitivity_table(scored: Scored, request: Request) -> pd.DataFrame:
    """Every metric at every lambda, region whole, over all images.

    Returns:
        A table with `SENSITIVITY_COLUMNS`; `chosen` is yes where the metric chooses this lambda on
        all images, else no. These values are not held out: they show how much lambda matters.

    Raises:
        InputError: scores or a selection are missing.
    """
    rows = []
    for dataset, case, method in request:
        scores, selection = scored.read(dataset, case, method)
        whole = scores[(scores["region"] == "whole") & scores["metric"].isin(METRICS)]
        for (metric, lam), own in whole.groupby(["metric", "lam"], sort=False):
            chosen = "yes" if lam == chosen_lambda(selection, metric) else "no"
            keys = _keys(dataset, case, method, metric, "whole", lam) | {"chosen": chosen}
            rows += _summary_rows(keys, own, STATISTICS, scored.seed)
    return pd.DataFrame(rows, columns=SENSITIVITY_COLUMNS)


def solver_table(scored: Scored, request: Request) -> pd.DataFrame:
    """What each method of each line achieves, and at what cost.

    Quality is held out, each metric at the lambdas that it chose; passes and seconds are those of
    the lambdas that PSNR chose, image by image. Objectives are of all images at `request.lam`; a
    method without lambda minimises something else, so it has none.

    Returns:
        A table with `SOLVER_COLUMNS`.

    Raises:
        InputError: scores or a selection are missing or do not fit.
    """
    rows = []
    for dataset, case in product(request.datasets, request.cases):
        for line, methods in request.lines:
            for method in methods:
                for row in _solver_rows(scored, dataset, case, method, request.lam):
                    rows.append(row | {"line": line})
    return pd.DataFrame(rows, columns=SOLVER_COLUMNS)


MAKERS: dict[str, Callable[[Scored, Request], pd.DataFrame]] = {
    "inpainting": inpainting_table,
    "anomaly-detection": anomaly_table,
    "simulation": simulation_table,
    "solver": solver_table,
    "cost": cost_table,
    "lambda-sensitivity": lambda_sensitivity_table,
}


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a tidy table as CSV, whole or not at all."""
    with write_whole(path, checksum=True) as temporary:
        table.to_csv(temporary, index=False)


def _held_out_rows(
    scored: Scored,
    dataset: str,
    case: str,
    method: str,
    of_rmse: Mapping[str, Statistic] = STATISTICS,
) -> Iterator[dict[str, object]]:
    scores, selection = scored.read(dataset, case, method)
    values = held_out(scores, selection, scored.folds, scored.seed)
    for (metric, region), own in values.groupby(["metric", "region"], sort=False):
        lam = chosen_lambda(selection, metric)
        keys = _keys(dataset, case, method, metric, region, lam)
        statistics = of_rmse if metric == "rmse" else STATISTICS
        yield from _summary_rows(keys, own, statistics, scored.seed)


def _solver_rows(
    scored: Scored, dataset: str, case: str, method: str, common_lam: str
) -> Iterator[dict[str, object]]:
    scores, selection = scored.read(dataset, case, method)
    quality = scores[scores["metric"].isin(SOLVER_QUALITY)]
    cost = scores[scores["metric"].isin(COST_METRICS)]
    at_lam = scores[(scores["metric"] == "objective") & (scores["lam"] == common_lam)]
    shown = [
        held_out(quality, selection, scored.folds, scored.seed),
        held_out(cost, selection, scored.folds, scored.seed, by="psnr"),
        at_lam,
    ]
    for (metric, region), own in pd.concat(shown).groupby(["metric", "region"], sort=False):
        chooser = "psnr" if metric in COST_METRICS else metric
        lam = common_lam if metric == "objective" else chosen_lambda(selection, chooser)
        keys = _keys(dataset, case, method, metric, region, lam)
        yield from _summary_rows(keys, own, STATISTICS, scored.seed)


def _keys(
    dataset: str, case: str, method: str, metric: str, region: str, lam: str
) -> dict[str, object]:
    return {
        "dataset": dataset,
        "case": case,
        "method": method,
        "metric": metric,
        "region": region,
        "lam": lam,
    }


def _summary_rows(
    keys: Mapping[str, object], scores: pd.DataFrame, statistics: Mapping[str, Statistic], seed: int
) -> list[dict[str, object]]:
    """A row per statistic of one value per image."""
    values, groups = scores["value"], groups_of(scores)
    return [
        {**keys, "statistic": name, **asdict(summarise(values, statistic, seed, groups))}
        for name, statistic in statistics.items()
    ]

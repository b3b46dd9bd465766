"""Tables as people read them: methods side by side, as Markdown, LaTeX or the report's HTML."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rgi.evaluation.metrics import METRICS
from rgi.evaluation.selection import at_edge
from rgi.files import write_whole
from rgi.reporting.captions import TABLES, Caption
from rgi.reporting.published import published_lambda

REGION_TITLES = {
    "whole": "Whole image: the restored image itself, as in the paper",
    "hole": "Hole: corrupted pixels only",
    "composite": "Composite: restored where the mask says so, observed elsewhere",
}
DECIMALS = {"psnr": 2, "passes": 0}
# RMSE orders single images as PSNR does; the papers choose lambda by these three.
IMAGE_METRICS = ("psnr", "ssim", "lpips")
CHOOSING_METRICS = ("psnr", "ssim", "dice")
SOLVER_METRICS = ("psnr", "rmse", "dice", "objective", "passes", "seconds")
ANOMALY_TITLES = {
    ("dice", "mean"): "Dice ↑, threshold chosen on the other folds",
    (
        "dice-oracle",
        "mean",
    ): "Dice ↑ at the oracle's threshold, the best for each image (the paper's)",
    ("auroc", "pooled"): "AUROC ↑ of all pixels together",
    ("ap", "pooled"): "Average precision ↑ of all pixels together",
    ("aupro", "pooled"): "AUPRO ↑ of all pixels together, up to a false positive rate of 0.3",
    ("image-auroc", "pooled"): "AUROC ↑ of images, each counted by its highest pixel",
    ("auroc", "mean"): "AUROC ↑ of each image, mean (the paper's)",
    ("psnr", "mean"): "PSNR (dB) ↑ of the restored background",
}
NOTHING = "–"
PLACE = ["dataset", "case", "method"]
SHORTEST = 0.001  # seconds, below which a number would say more about the clock


@dataclass(frozen=True)
class Cell:
    """A number as text, its interval and the paper's number; the latter may be empty."""

    value: str
    interval: str = ""
    paper: str = ""

    def __str__(self) -> str:
        parts = (self.value, self.interval, f"(paper {self.paper})" if self.paper else "")
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Block:
    """One table: `labels` head the text columns on its left, `methods` the columns of numbers.

    `note` is a line below it, or empty.
    """

    title: str
    labels: Sequence[str]
    methods: Sequence[str]
    rows: Sequence[tuple[Sequence[str], Sequence[Cell]]]
    note: str = ""


def inpainting_blocks(table: pd.DataFrame) -> list[Block]:
    """Table 1's layout: rows data set, case and metric; then the masks and the lambdas chosen."""
    means = table[table["statistic"] == "mean"]
    images = means[means["metric"].isin(_shown(means, IMAGE_METRICS))]
    blocks = [
        _method_block(title, images[images["region"] == region], ["dataset", "case"])
        for region, title in REGION_TITLES.items()
    ]
    masks = means[means["metric"].isin(["dice", "auroc"])]
    blocks.append(_method_block("Corrupted pixels found", masks, ["dataset", "case"]))
    return [*filter(None, blocks), *_lambda_block(images[images["region"] == "whole"])]


def anomaly_blocks(table: pd.DataFrame) -> list[Block]:
    """Table 2's layout, a block per metric, Dice first: rows data set, case and kind of defect.

    All blocks are of the same lambdas; the first has the note where one lies at its grid's edge.
    """
    labels = ["dataset", "case", *([] if set(table["kind"]) == {"all"} else ["kind"])]
    names = {"dataset": "data set"}
    methods = list(table["method"].unique())
    blocks = []
    for (metric, statistic), title in ANOMALY_TITLES.items():
        own = table[(table["metric"] == metric) & (table["statistic"] == statistic)]
        if own["value"].isna().all():
            continue
        rows = []
        for keys, group in own.groupby(labels, sort=False):
            cells = {row.method: _cell(row) for row in _each(group)}
            rows.append((keys, [cells.get(method, Cell(NOTHING)) for method in methods]))
        note = "" if blocks else _edge_note(table[table["edge"] == "yes"])
        columns = [names.get(label, label) for label in labels]
        blocks.append(Block(title, columns, methods, rows, note))
    return blocks


def simulation_blocks(table: pd.DataFrame) -> list[Block]:
    """Rows are the mean of the noise; RMSE of the whole image first, then the masks."""
    whole = table[table["region"] == "whole"]
    rmse = whole[(whole["metric"] == "rmse") & (whole["statistic"] == "rms")]
    masks = whole[whole["metric"].isin(["dice", "auroc"]) & (whole["statistic"] == "mean")]
    blocks = [
        _method_block(REGION_TITLES["whole"], rmse, ["dataset", "level"]),
        _method_block("Corrupted pixels found", masks, ["dataset", "level"]),
    ]
    return [block for block in blocks if block]


def cost_blocks(table: pd.DataFrame) -> list[Block]:
    """Rows are data set, case and kind of cost."""
    means = table[table["statistic"] == "mean"]
    block = _method_block("Cost per image", means, ["dataset", "case"])
    return [block] if block else []


def lambda_sensitivity_blocks(table: pd.DataFrame) -> list[Block]:
    """One block per metric: rows data set, case and method, columns lambda."""
    means = table[(table["statistic"] == "mean") & (table["lam"] != "none")]
    blocks = []
    for metric in _shown(means, CHOOSING_METRICS) or _shown(means, ["auroc"]):
        own = means[means["metric"] == metric]
        lams = sorted(own["lam"].unique(), key=float)
        rows = []
        for keys, group in own.groupby(PLACE, sort=False):
            cells = {
                row.lam: _cell(row, "*" if row.chosen == "yes" else "") for row in _each(group)
            }
            rows.append((keys, [cells.get(lam, Cell(NOTHING)) for lam in lams]))
        labels = ["data set", "case", "method"]
        columns = [f"λ = {lam}" for lam in lams]
        tried, chosen = own.groupby(PLACE)["lam"].agg(list), own[own["chosen"] == "yes"]
        edge = [at_edge(row.lam, tried[row.dataset, row.case, row.method]) for row in _each(chosen)]
        note = _edge_note(chosen[edge])
        blocks.append(Block(metric_label(metric), labels, columns, rows, note))
    return blocks


def _edge_note(rows: pd.DataFrame) -> str:
    """Which methods choose the first or last lambda of their grid, and where: those of `rows`."""
    places = rows[PLACE].drop_duplicates()
    methods = [
        f"{method} ({', '.join(own['dataset'] + ' ' + own['case'])})"
        for method, own in places.groupby("method", sort=False)
    ]
    return f"Chosen at the edge of the grid: {'; '.join(methods)}." if methods else ""


def solver_blocks(table: pd.DataFrame) -> list[Block]:
    """One block per data set and case, that it fits a page: rows line and method."""
    means = table[(table["statistic"] == "mean") & (table["region"] == "whole")]
    metrics = _shown(means, SOLVER_METRICS)
    columns = [_at_lambda(metric, means) for metric in metrics]
    blocks = []
    for keys, own in means.groupby(["dataset", "case"], sort=False):
        rows = []
        for labels, group in own.groupby(["line", "method"], sort=False):
            cells = {row.metric: _cell(row) for row in _each(group)}
            rows.append((labels, [cells.get(metric, Cell(NOTHING)) for metric in metrics]))
        blocks.append(Block(", ".join(keys), ["line", "method"], columns, rows))
    return blocks


def _at_lambda(metric: str, means: pd.DataFrame) -> str:
    """A metric's label; objectives are compared at one lambda, which they name."""
    if metric != "objective":
        return metric_label(metric)
    (lam,) = means.loc[means["metric"] == metric, "lam"].unique()
    return f"objective at λ = {lam} ↓"


LAYOUTS: dict[str, Callable[[pd.DataFrame], list[Block]]] = {
    "inpainting": inpainting_blocks,
    "anomaly-detection": anomaly_blocks,
    "simulation": simulation_blocks,
    "solver": solver_blocks,
    "cost": cost_blocks,
    "lambda-sensitivity": lambda_sensitivity_blocks,
}


def metric_label(metric: str) -> str:
    """A metric's name for people, with an arrow the better way."""
    if metric in METRICS:
        return f"{METRICS[metric].label} {'↑' if METRICS[metric].higher_is_better else '↓'}"
    return {"passes": "passes ↓", "seconds": "seconds ↓"}[metric]


def write_markdown(path: Path, name: str, blocks: Iterable[Block]) -> None:
    """Write a table's blocks as Markdown, whole or not at all."""
    caption = TABLES[name]
    lines = [f"# {caption.title}", "", caption.text, ""]
    for block in blocks:
        header = [*block.labels, *block.methods]
        rules = ["---"] * len(block.labels) + ["---:"] * len(block.methods)
        rows = [[*labels, *map(str, cells)] for labels, cells in block.rows]
        lines += [f"## {_markdown(block.title)}", ""]
        lines += [f"| {' | '.join(map(_markdown, row))} |" for row in [header, rules, *rows]]
        lines += ["", _markdown(block.note), ""] if block.note else [""]
    with write_whole(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def write_tex(path: Path, name: str, blocks: Iterable[Block]) -> None:
    """Write a table's blocks as LaTeX tables (package booktabs), whole or not at all."""
    lines = ["% needs \\usepackage{booktabs}"]
    for block in blocks:
        lines += _tex_block(TABLES[name], block)
    with write_whole(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _tex_block(caption: Caption, block: Block) -> list[str]:
    columns = "l" * len(block.labels) + "r" * len(block.methods)
    body = []
    for labels, cells in block.rows:
        texts = [*map(_tex, labels), *map(_tex_cell, cells)]
        body.append(" & ".join(texts) + r" \\")
    note = [rf"\par\smallskip {_tex(block.note)}"] if block.note else []
    return [
        r"\begin{table}",
        r"\centering\footnotesize",
        rf"\caption{{{_tex(caption.title)}. {_tex(block.title)}. {_tex(caption.text)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(_tex, [*block.labels, *block.methods])) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *note,
        r"\end{table}",
    ]


def _tex_cell(cell: Cell) -> str:
    text = _tex(cell.value)
    if cell.interval:
        text += rf" {{\scriptsize {_tex(cell.interval)}}}"
    return text + (rf" {{\scriptsize (paper {_tex(cell.paper)})}}" if cell.paper else "")


def _shown(means: pd.DataFrame, preferred: Iterable[str]) -> list[str]:
    return [name for name in preferred if name in set(means["metric"])]


def _method_block(title: str, means: pd.DataFrame, keys: Sequence[str]) -> Block | None:
    """A row per key and metric, a column per method; None without rows."""
    if means.empty:
        return None
    methods = list(means["method"].unique())
    order = [name for name in [*METRICS, "seconds", "passes"] if name in set(means["metric"])]
    rows = []
    for key, group in means.groupby(list(keys), sort=False):
        for metric in order:
            own = group[group["metric"] == metric]
            cells = {row.method: _cell(row) for row in _each(own)}
            labels = [*map(str, key), metric_label(metric)]
            rows.append((labels, [cells.get(method, Cell(NOTHING)) for method in methods]))
    names = {"dataset": "data set", "level": "mean of the noise"}
    return Block(title, [*(names.get(key, key) for key in keys), "metric"], methods, rows)


def _lambda_block(whole: pd.DataFrame) -> list[Block]:
    """The lambda chosen on all images, for the metrics that choose it in the paper."""
    chosen = whole[(whole["lam"] != "none") & whole["metric"].isin(["psnr", "ssim"])]
    if chosen.empty:
        return []
    methods = list(chosen["method"].unique())
    rows = []
    for keys, group in chosen.groupby(["dataset", "case"], sort=False):
        for metric in _shown(group, METRICS):
            own = group[group["metric"] == metric]
            cells = {row.method: _lambda_cell(row) for row in _each(own)}
            labels = (*keys, METRICS[metric].label)
            rows.append((labels, [cells.get(method, Cell(NOTHING)) for method in methods]))
    labels = ["data set", "case", "chosen by"]
    return [Block("Lambda chosen on all images", labels, methods, rows)]


def _lambda_cell(row: object) -> Cell:
    """The paper's lambda compares with ours only where its value does."""
    paper = None
    if not pd.isna(row.published):
        paper = published_lambda(row.dataset, row.case, row.method, row.metric)
    return Cell(row.lam, paper="" if paper is None else f"{paper:g}")


def _each(group: pd.DataFrame) -> Iterable:
    return group.itertuples(index=False)


def _cell(row: object, mark: str = "") -> Cell:
    """The cell of one row of a tidy table."""
    if pd.isna(row.value):
        return Cell(NOTHING)
    value, low, high = (_number(row.metric, x) for x in (row.value, row.low, row.high))
    paper = "" if pd.isna(row.published) else _number(row.metric, row.published)
    no_interval = pd.isna(row.low) or low == high  # one image, or too narrow to print
    return Cell(value + mark, "" if no_interval else f"[{low}, {high}]", paper)


def _number(metric: str, value: float) -> str:
    if metric == "seconds" and value < SHORTEST:
        return f"<{SHORTEST}"
    if metric == "seconds":
        return f"{value:#.2g}".rstrip(".") if value < 10 else f"{value:.0f}"
    return f"{value:.{DECIMALS.get(metric, 3)}f}"


def _markdown(text: str) -> str:
    """Text as it is: no mark-up; a bracket of an interval is none, unless a link follows it."""
    return re.sub(r"([|*_<>`\\~]|&(?=#?\w+;)|(?<=\])[(\[:])", r"\\\1", text)


_TEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "λ": r"$\lambda$",
    "–": "--",
    # A bracket after \\ would be read as its argument.
    "[": "{[}",
    "]": "{]}",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)

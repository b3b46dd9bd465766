"""Figure of AUROC against the number of steps."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.evaluation.scoring import read_table
from rgi.reporting.detection_lines import steps_figure
from rgi.reporting.style import figure_style, save_figure
from rgi.reporting.tables import ANOMALY_COLUMNS
from rgi.settings import parse_json


def main(
    *,
    table: Annotated[Path, typer.Option(help="anomaly-detection.csv")],
    lines: Annotated[str, typer.Option(help="line -> method -> number of steps, as JSON")],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
) -> None:
    """Read the table, write the figure as PNG and PDF."""
    with figure_style():
        figure = steps_figure(read_table(table, ANOMALY_COLUMNS), parse_json(lines, "--lines"))
        save_figure(figure, output_png, output_pdf)


if __name__ == "__main__":
    run(main)

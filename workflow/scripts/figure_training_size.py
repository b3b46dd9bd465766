"""Figure of scores against the number of training images."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.data import open_images
from rgi.evaluation.scoring import read_table
from rgi.reporting.detection_lines import training_size_figure
from rgi.reporting.style import figure_style, save_figure
from rgi.reporting.tables import ANOMALY_COLUMNS


def main(
    *,
    table: Annotated[Path, typer.Option(help="anomaly-detection.csv")],
    datasets: Annotated[Path, typer.Option(help="folder of {dataset}/train.npy")],
    series: Annotated[
        list[str],
        typer.Option(help="data sets, with commas between them, that differ in it; repeated"),
    ],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
) -> None:
    """Read the table and how many training images there are, write the figure as PNG and PDF."""
    groups = [names.split(",") for names in series]
    sizes = {
        name: len(open_images(datasets / name / "train.npy", partly=True))
        for names in groups
        for name in names
    }
    with figure_style():
        figure = training_size_figure(read_table(table, ANOMALY_COLUMNS), groups, sizes)
        save_figure(figure, output_png, output_pdf)


if __name__ == "__main__":
    run(main)

"""Figure of the simulation: error against the mean of the noise."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run


def main(
    *,
    table: Annotated[Path, typer.Option(help="simulation.csv")],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
) -> None:
    """Read simulation.csv, write the figure as PNG and PDF."""
    from rgi.evaluation.scoring import read_table
    from rgi.reporting.curves import simulation_figure
    from rgi.reporting.style import figure_style, save_figure
    from rgi.reporting.tables import SIMULATION_COLUMNS

    with figure_style():
        figure = simulation_figure(read_table(table, SIMULATION_COLUMNS))
        save_figure(figure, output_png, output_pdf)


if __name__ == "__main__":
    run(main)

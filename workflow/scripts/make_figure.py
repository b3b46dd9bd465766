"""One figure with lines: error against the noise, metrics against lambda or against cost."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.evaluation.scoring import read_table
from rgi.reporting.curves import FIGURES
from rgi.reporting.style import figure_style, save_figure
from rgi.reporting.tables import COLUMNS_OF
from rgi.settings import choose


def main(
    *,
    name: Annotated[str, typer.Option(help=f"one of {', '.join(FIGURES)}")],
    table: Annotated[Path, typer.Option(help="CSV it is drawn from")],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
) -> None:
    """Read the table of a figure, write the figure as PNG and PDF.

    The table has the figure's name; solver-seconds is drawn from the table solver.
    """
    drawing = choose(FIGURES, name, "--name")
    with figure_style():
        figure = drawing.draw(read_table(table, COLUMNS_OF[drawing.table]))
        save_figure(figure, output_png, output_pdf)


if __name__ == "__main__":
    run(main)

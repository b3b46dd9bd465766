"""One figure with lines: error against the noise, or metrics against lambda."""

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
    name: Annotated[str, typer.Option(help="simulation or lambda-sensitivity")],
    table: Annotated[Path, typer.Option(help="the table of the same name, CSV")],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
) -> None:
    """Read the table of the figure's name, write the figure as PNG and PDF."""
    with figure_style():
        figure = choose(FIGURES, name, "--name")(read_table(table, COLUMNS_OF[name]))
        save_figure(figure, output_png, output_pdf)


if __name__ == "__main__":
    run(main)

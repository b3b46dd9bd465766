"""Figure of PSNR and SSIM against lambda."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run


def main(
    *,
    table: Annotated[Path, typer.Option(help="lambda-sensitivity.csv")],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
) -> None:
    """Read lambda-sensitivity.csv, write the figure as PNG and PDF."""
    from rgi.evaluation.scoring import read_table
    from rgi.reporting.curves import lambda_sensitivity_figure
    from rgi.reporting.style import figure_style, save_figure
    from rgi.reporting.tables import SENSITIVITY_COLUMNS

    with figure_style():
        figure = lambda_sensitivity_figure(read_table(table, SENSITIVITY_COLUMNS))
        save_figure(figure, output_png, output_pdf)


if __name__ == "__main__":
    run(main)

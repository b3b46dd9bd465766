"""One figure of detection's curves, or of Dice against size and contrast of the defect."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.reporting.detection_lines import FIGURES
from rgi.reporting.style import figure_style, save_figure
from rgi.reporting.tables import Request
from rgi.settings import choose, parse_json


def main(
    *,
    name: Annotated[str, typer.Option(help=f"one of {', '.join(FIGURES)}")],
    detection: Annotated[Path, typer.Option(help="folder of {dataset}/{case}/{method}/")],
    table: Annotated[str, typer.Option(help="JSON, see above")],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
) -> None:
    """Read what was detected, write the figure as PNG and PDF.

    --table is JSON: {"datasets": [...], "cases": [...], "methods": [...]}.
    """
    draw, request = choose(FIGURES, name, "--name"), Request(**parse_json(table, "--table"))
    with figure_style():
        save_figure(draw(detection, request), output_png, output_pdf)


if __name__ == "__main__":
    run(main)

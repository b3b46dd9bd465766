"""Figure of detections: restored background, score map and found mask, methods side by side."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.settings import parse_json


def main(
    *,
    results: Annotated[Path, typer.Option(help="folder of cases, restorations and detection")],
    table: Annotated[str, typer.Option(help="JSON, see above")],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
) -> None:
    """Read cases, detections and restorations below --results, write the figure as PNG and PDF.

    --table is JSON: {"datasets": [...], "cases": [...], "methods": [...]}.
    """
    from rgi.reporting.detections import detections_figure
    from rgi.reporting.style import figure_style, save_figure
    from rgi.reporting.tables import Request

    with figure_style():
        figure = detections_figure(results, Request(**parse_json(table, "--table")))
        save_figure(figure, output_png, output_pdf)


if __name__ == "__main__":
    run(main)

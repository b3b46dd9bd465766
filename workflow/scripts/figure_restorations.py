"""Figure of restorations side by side."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.settings import parse_json


def main(
    *,
    results: Annotated[Path, typer.Option(help="folder of cases, restorations and selection")],
    table: Annotated[str, typer.Option(help="JSON, see above")],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
    finds_mask: Annotated[
        list[str] | None, typer.Option(help="a method that finds a mask; repeated")
    ] = None,
) -> None:
    """Read cases, selections and restorations below --results, write the figure as PNG and PDF.

    --table is JSON: {"datasets": [...], "cases": [...], "methods": [...]}; --finds-mask is
    repeated, once for each method that finds a mask.
    """
    from rgi.reporting.restorations import restorations_figure
    from rgi.reporting.style import figure_style, save_figure
    from rgi.reporting.tables import Request

    with figure_style():
        figure = restorations_figure(
            results, Request(**parse_json(table, "--table")), finds_mask or []
        )
        save_figure(figure, output_png, output_pdf)


if __name__ == "__main__":
    run(main)

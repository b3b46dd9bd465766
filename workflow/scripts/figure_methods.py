"""Figure of the experiment's methods and what each is made of."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.reporting.family_tree import family_tree_figure
from rgi.reporting.style import figure_style, save_figure
from rgi.settings import parse_json


def main(
    *,
    methods: Annotated[str, typer.Option(help="entries of the config's `methods` as JSON")],
    output_png: Annotated[Path, typer.Option(help="figure")],
    output_pdf: Annotated[Path, typer.Option(help="the same")],
) -> None:
    """Draw the tree of the methods as PNG and PDF."""
    with figure_style():
        figure = family_tree_figure(parse_json(methods, "--methods"))
        save_figure(figure, output_png, output_pdf)


if __name__ == "__main__":
    run(main)

"""Table of restoration quality: every metric and region, held out, beside the paper."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run


def main(
    *,
    scores: Annotated[Path, typer.Option(help="folder of {dataset}/{case}/{method}.csv")],
    selection: Annotated[Path, typer.Option(help="folder of {dataset}/{case}/{method}.csv")],
    table: Annotated[str, typer.Option(help="JSON, see above")],
    folds: Annotated[int, typer.Option(help="as in the selection")],
    seed: Annotated[int, typer.Option(help="as in the selection; also of the bootstrap")],
    output_csv: Annotated[Path, typer.Option(help="tidy table")],
    output_md: Annotated[Path, typer.Option(help="Markdown")],
    output_tex: Annotated[Path, typer.Option(help="LaTeX, package booktabs")],
) -> None:
    """Read score and selection folders; write the table as CSV, Markdown and LaTeX.

    --table is JSON: {"datasets": [...], "cases": [...], "methods": [...]}. --folds and --seed are
    those of the selection.
    """
    from rgi.reporting.layout import inpainting_blocks, write_markdown, write_tex
    from rgi.reporting.tables import Request, Scored, inpainting_table, write_table

    request = Request(**json.loads(table))
    made = inpainting_table(Scored(scores, selection, folds, seed), request)
    write_table(output_csv, made)
    write_markdown(output_md, "inpainting", inpainting_blocks(made))
    write_tex(output_tex, "inpainting", inpainting_blocks(made))


if __name__ == "__main__":
    run(main)

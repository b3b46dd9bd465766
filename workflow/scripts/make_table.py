"""One table of the report: tidy, and as people read it."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from rgi.command import run
from rgi.reporting.layout import LAYOUTS, write_markdown, write_tex
from rgi.reporting.tables import MAKERS, Request, Scored, write_table
from rgi.settings import choose, parse_json


def main(
    *,
    name: Annotated[str, typer.Option(help=f"one of {', '.join(MAKERS)}")],
    table: Annotated[list[str], typer.Option(help="JSON, see above; repeated")],
    scores: Annotated[Path, typer.Option(help="folder of {dataset}/{case}/{method}.csv")],
    selection: Annotated[Path, typer.Option(help="folder of {dataset}/{case}/{method}.csv")],
    detection: Annotated[Path, typer.Option(help="folder of {dataset}/{case}/{method}/")],
    folds: Annotated[int, typer.Option(help="as in the selection")],
    seed: Annotated[int, typer.Option(help="as in the selection; also of the bootstrap")],
    output_csv: Annotated[Path, typer.Option(help="tidy table")],
    output_md: Annotated[Path, typer.Option(help="Markdown")],
    output_tex: Annotated[Path, typer.Option(help="LaTeX, package booktabs")],
    as_published: Annotated[
        list[str] | None, typer.Option(help="dataset/case set up as in a paper; repeated")
    ] = None,
) -> None:
    """Read what was scored, selected and detected; write the table as CSV, Markdown and LaTeX.

    --table is JSON: {"datasets": [...], "cases": [...], "methods": [...]}; in a simulation the
    cases are called NAME_LEVEL. For a solver table it also has "lines": [[NAME, [METHOD, ...]],
    ...] and "lam", at which objectives are compared. --table is repeated where a table is about
    several others. --folds and --seed are those of the selection.
    """
    make, scored = choose(MAKERS, name, "--name"), Scored(scores, selection, detection, folds, seed)
    requests = [
        Request(**parse_json(part, "--table"), as_published=as_published or []) for part in table
    ]
    made = pd.concat([make(scored, request) for request in requests], ignore_index=True)
    made = made.drop_duplicates()  # of rows that several tables have
    write_table(output_csv, made)
    write_markdown(output_md, name, LAYOUTS[name](made))
    write_tex(output_tex, name, LAYOUTS[name](made))


if __name__ == "__main__":
    run(main)

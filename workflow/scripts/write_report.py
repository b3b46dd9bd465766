"""Write the report: tables, figures, settings and environment on one page."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.settings import parse_json


def main(
    *,
    config: Annotated[str, typer.Option(help="the experiment's settings as JSON")],
    command: Annotated[str, typer.Option(help="what was typed to make the experiment")],
    output: Annotated[Path, typer.Option(help="report.html")],
    table: Annotated[list[Path] | None, typer.Option(help="CSV; repeated")] = None,
    figure: Annotated[list[Path] | None, typer.Option(help="PNG; repeated")] = None,
    preview: Annotated[
        list[Path] | None, typer.Option(help="datasets/{dataset}/preview.png; repeated")
    ] = None,
    samples: Annotated[
        list[Path] | None, typer.Option(help="generators/{dataset}/samples.png; repeated")
    ] = None,
    reconstructions: Annotated[
        list[Path] | None, typer.Option(help="autoencoders/{dataset}/{kind}/samples.png; repeated")
    ] = None,
) -> None:
    """Read tables and pictures, write one HTML page that needs no other file."""
    from rgi.reporting.report import Sources, write_report

    sources = Sources(
        table or [], figure or [], preview or [], samples or [], reconstructions or []
    )
    write_report(output, sources, parse_json(config, "--config"), command)


if __name__ == "__main__":
    run(main)

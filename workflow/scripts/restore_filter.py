"""Restore the images of one shard with a classical filter."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.baselines import apply_filter
from rgi.command import parse_lam, run, shard
from rgi.files import load_arrays, save_arrays
from rgi.settings import parse_json


def main(
    *,
    case: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    method: Annotated[str, typer.Option(help="median, total-variation or non-local-means")],
    first: Annotated[int, typer.Option(help="first row of the shard")],
    last: Annotated[int, typer.Option(help="row after the last one of the shard")],
    output: Annotated[Path, typer.Option(help="the restoration file")],
    lam: Annotated[str, typer.Option(help="lambda as in the config, or none")] = "none",
    settings: Annotated[str, typer.Option(help="the filter's settings, as JSON")] = "{}",
) -> None:
    """Filter rows FIRST to LAST (not included) of CASE and write the restoration to OUTPUT."""
    arrays = load_arrays(case, "corrupted", "index")
    rows = shard(first, last, len(arrays["index"]), case)
    filtered = apply_filter(arrays["corrupted"][rows], method, parse_lam(lam), parse_json(settings))
    save_arrays(
        output,
        {
            "restored": filtered.restored,
            "score": filtered.score,
            "index": arrays["index"][rows],
            "seconds": filtered.seconds,
        },
    )


if __name__ == "__main__":
    run(main)

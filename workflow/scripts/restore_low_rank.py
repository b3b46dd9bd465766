"""Restore the images of one shard by a low-rank decomposition beside clean training images."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from rgi.baselines import decompose_images, draw_references
from rgi.command import parse_lam, run, shard
from rgi.data import open_images, to_floats
from rgi.files import load_arrays, save_arrays
from rgi.settings import parse_json


def main(
    *,
    case: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    train: Annotated[Path, typer.Option(help="datasets/{dataset}/train.npy")],
    method: Annotated[str, typer.Option(help="rpca or rasl")],
    lam: Annotated[str, typer.Option(help="lambda as in the config")],
    first: Annotated[int, typer.Option(help="first row of the shard")],
    last: Annotated[int, typer.Option(help="row after the last one of the shard")],
    output: Annotated[Path, typer.Option(help="the restoration file")],
    settings: Annotated[str, typer.Option(help="the method's settings, as JSON")] = "{}",
    seed: Annotated[int, typer.Option(help="draws the references, not negative", min=0)] = 0,
) -> None:
    """Decompose rows FIRST to LAST (not included) of CASE and write the restoration to OUTPUT."""
    arrays = load_arrays(case, "corrupted", "index")
    rows = shard(first, last, len(arrays["index"]), case)
    images, options = open_images(train, partly=True), parse_json(settings)
    drawn = draw_references(len(images), method, options, seed)
    logging.info("%s: %d of %d images of %s", method, len(drawn), len(images), train)
    restored = decompose_images(
        arrays["corrupted"][rows], to_floats(images[drawn]), method, parse_lam(lam), options
    )
    save_arrays(
        output,
        {
            "restored": restored.restored,
            "score": restored.score,
            "index": arrays["index"][rows],
            "seconds": restored.seconds,
        },
    )


if __name__ == "__main__":
    run(main)

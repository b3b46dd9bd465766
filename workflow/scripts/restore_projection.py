"""Restore the images of one shard by an autoencoder: its reconstruction, or energy projection."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import parse_lam, pin_threads, run, shard
from rgi.files import load_arrays, save_arrays
from rgi.settings import parse_json


def main(
    *,
    case: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    autoencoder: Annotated[Path, typer.Option(help="autoencoder.pt")],
    method: Annotated[str, typer.Option(help="a preset in rgi.projection.METHODS")],
    lam: Annotated[str, typer.Option(help="lambda as in the config, or none")],
    first: Annotated[int, typer.Option(help="first row of the shard")],
    last: Annotated[int, typer.Option(help="row after the last one of the shard")],
    output: Annotated[Path, typer.Option(help="the restoration file")],
    settings: Annotated[str, typer.Option(help="what differs from the preset, as JSON")] = "{}",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
) -> None:
    """Project rows FIRST to LAST (not included) of CASE and write the restoration to OUTPUT."""
    import torch

    from rgi.models import choose_device, load_autoencoder
    from rgi.projection import project
    from rgi.projection.methods import configured

    pin_threads(threads)
    arrays = load_arrays(case, "corrupted", "mask", "index")
    rows = shard(first, last, len(arrays["index"]), case)
    chosen = configured(method, parse_json(settings))
    found = project(
        torch.from_numpy(arrays["corrupted"][rows]),
        load_autoencoder(autoencoder).to(choose_device(device)),
        chosen,
        parse_lam(lam),
        mask=torch.from_numpy(arrays["mask"][rows]) if chosen.needs_mask else None,
    )
    names = ("restored", "score", "seconds", "passes")
    save_arrays(
        output,
        {"index": arrays["index"][rows], **{name: getattr(found, name).numpy() for name in names}},
    )


if __name__ == "__main__":
    run(main)

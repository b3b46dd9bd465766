"""Restore the images of one shard by inverting a generator."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from rgi.command import parse_lam, pin_threads, run, shard
from rgi.files import load_arrays, save_arrays
from rgi.settings import parse_json


def main(
    *,
    case: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    generator: Annotated[Path, typer.Option(help="generator.pt")],
    discriminator: Annotated[Path, typer.Option(help="discriminator.pt; read if needed")],
    method: Annotated[str, typer.Option(help="a preset in rgi.inversion.METHODS")],
    first: Annotated[int, typer.Option(help="first row of the shard")],
    last: Annotated[int, typer.Option(help="row after the last one of the shard")],
    output: Annotated[Path, typer.Option(help="the restoration file")],
    lam: Annotated[str, typer.Option(help="lambda as in the config, or none")] = "none",
    settings: Annotated[str, typer.Option(help="what differs from the preset, as JSON")] = "{}",
    seed: Annotated[int, typer.Option(min=0, help="draws the starts")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
) -> None:
    """Invert GENERATOR for rows FIRST to LAST (not included) of CASE; write the restoration."""
    import torch

    from rgi.inversion import invert
    from rgi.inversion.methods import configured
    from rgi.models import choose_device, load_discriminator, load_generator

    pin_threads(threads)
    arrays = load_arrays(case, "corrupted", "mask", "index")
    rows = shard(first, last, len(arrays["index"]), case)
    chosen = configured(method, parse_json(settings))
    where = choose_device(device)
    network = load_generator(generator).to(where)
    critic = load_discriminator(discriminator).to(where) if chosen.needs_discriminator else None
    index = arrays["index"][rows]
    restoration = invert(
        torch.from_numpy(arrays["corrupted"][rows]),
        network,
        chosen,
        parse_lam(lam),
        mask=torch.from_numpy(arrays["mask"][rows]) if chosen.needs_mask else None,
        discriminator=critic,
        index=index,
        seed=seed,
    )
    save_arrays(
        output,
        {
            "restored": restoration.restored.numpy(),
            "score": restoration.score.numpy(),
            "index": index,
            "seconds": restoration.seconds.numpy(),
            "passes": np.full(len(index), chosen.passes),
        },
    )


if __name__ == "__main__":
    run(main)

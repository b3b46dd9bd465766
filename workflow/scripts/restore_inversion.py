"""Restore the images of one shard by inverting a generator."""

import json
from pathlib import Path

import numpy as np
import torch

from rgi.command import pin_threads, run
from rgi.files import load_arrays, save_arrays
from rgi.inversion import invert
from rgi.inversion.methods import configured
from rgi.models import choose_device, load_discriminator, load_generator


def main(
    *,
    case: Path,
    generator: Path,
    discriminator: Path,
    method: str,
    lam: str,
    first: int,
    last: int,
    output: Path,
    settings: str = "{}",
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Invert GENERATOR for rows FIRST to LAST (not included) of CASE; write the restoration."""
    pin_threads(threads)
    arrays = load_arrays(case, "corrupted", "mask", "index")
    rows = {name: array[first:last] for name, array in arrays.items()}
    chosen = configured(method, json.loads(settings))
    where = choose_device(device)
    network = load_generator(generator).to(where)
    critic = load_discriminator(discriminator).to(where) if chosen.needs_discriminator else None
    restoration = invert(
        torch.from_numpy(rows["corrupted"]),
        network,
        chosen,
        None if lam == "none" else float(lam),
        mask=torch.from_numpy(rows["mask"]) if chosen.needs_mask else None,
        discriminator=critic,
        index=rows["index"],
        seed=seed,
    )
    save_arrays(
        output,
        {
            "restored": restoration.restored.numpy(),
            "score": restoration.score.numpy(),
            "index": rows["index"],
            "seconds": restoration.seconds.numpy(),
            "passes": np.full(len(rows["index"]), chosen.passes),
        },
    )


if __name__ == "__main__":
    run(main)

"""Restore the images of one shard by inverting a generator, for one lambda or several."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from rgi.command import parse_lam, pin_threads, run, shard
from rgi.corruption import load_case
from rgi.errors import InputError
from rgi.files import save_arrays
from rgi.interruption import stop_requests
from rgi.settings import parse_json

if TYPE_CHECKING:
    from rgi.inversion import Restoration


def main(
    *,
    case: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    generator: Annotated[Path, typer.Option(help="generator.pt")],
    method: Annotated[str, typer.Option(help="a preset in rgi.inversion.METHODS")],
    first: Annotated[int, typer.Option(help="first row of the shard")],
    last: Annotated[int, typer.Option(help="row after the last one of the shard")],
    output: Annotated[list[Path], typer.Option(help="a restoration file for each --lam")],
    lam: Annotated[list[str], typer.Option(help="lambda as in the config, or none")],
    discriminator: Annotated[
        Path | None, typer.Option(help="discriminator.pt; read if needed")
    ] = None,
    encoder: Annotated[Path | None, typer.Option(help="encoder.pt; read if needed")] = None,
    settings: Annotated[str, typer.Option(help="what differs from the preset, as JSON")] = "{}",
    seed: Annotated[int, typer.Option(min=0, help="draws the starts")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
    memory: Annotated[int, typer.Option(min=1, help="MB that the passes may take")] = 1000,
    checkpoint_seconds: Annotated[float, typer.Option(min=0, help="between checkpoints")] = 60.0,
) -> None:
    """Invert GENERATOR for rows FIRST to LAST (not included) of CASE; write the restorations.

    A killed run goes on from .NAME.checkpoint.pt beside the first output, which is taken away in
    the end. Asked to end (SIGTERM, SIGUSR1, Ctrl-C), it writes that file and ends with status 75.
    """
    import torch

    from rgi.corruption.operators import observation
    from rgi.inversion import Checkpoint, invert_grid
    from rgi.inversion.methods import configured
    from rgi.models import choose_device, load_discriminator, load_encoder, load_generator

    if len(lam) != len(output):
        raise InputError(f"--output: {len(output)} files for {len(lam)} lambdas; allowed: as many")
    pin_threads(threads)
    loaded = load_case(case)
    rows = shard(first, last, len(loaded.index), case)
    chosen = configured(method, parse_json(settings))
    where = choose_device(device)
    network = load_generator(generator).to(where)
    if chosen.needs_discriminator and discriminator is None:
        raise InputError(f"--discriminator: missing; {method} needs it")
    critic = load_discriminator(discriminator).to(where) if chosen.needs_discriminator else None
    if chosen.encoded_start and encoder is None:
        raise InputError("--encoder: missing; encoded_start needs it")
    start = load_encoder(encoder) if chosen.encoded_start else None
    index = loaded.index[rows]
    images, operator = torch.from_numpy(loaded.corrupted), None
    if chosen.needs_operator:
        images, operator = observation(loaded)
        operator = operator.rows(torch.arange(len(images))[rows])
    kept = output[0].with_name(f".{output[0].stem}.checkpoint.pt")
    with stop_requests() as stop:
        checkpoint = Checkpoint(kept, checkpoint_seconds, stop)
        restorations = invert_grid(
            images[rows],
            network,
            chosen,
            [parse_lam(text) for text in lam],
            mask=torch.from_numpy(loaded.mask[rows]) if chosen.needs_mask else None,
            operator=operator,
            discriminator=critic,
            encoder=start,
            index=index,
            seed=seed,
            memory=memory * 10**6,
            checkpoint=checkpoint,
        )
        for path, restoration in zip(output, restorations, strict=True):
            save_restoration(path, restoration, index)
        checkpoint.clear()


def save_restoration(path: Path, restoration: "Restoration", index: np.ndarray) -> None:
    """Write the contract's arrays, and `passes` and `objective` for the tables."""
    names = ("restored", "score", "seconds", "passes", "objective")
    save_arrays(path, {"index": index, **{n: getattr(restoration, n).numpy() for n in names}})


if __name__ == "__main__":
    run(main)

"""Train a Progressive GAN on one data set's training images."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rgi.command import pin_threads, run
from rgi.errors import InputError
from rgi.interruption import stop_requests
from rgi.settings import parse_json


def main(
    *,
    images: Annotated[Path, typer.Option(help="train.npy of a data set")],
    directory: Annotated[Path, typer.Option(help="where everything is written")],
    settings: Annotated[str, typer.Option(help="the config's entry under `generators`, as JSON")],
    seed: Annotated[int, typer.Option(min=0, help="initial weights, batches, latents")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads of all processes together")] = 1,
) -> None:
    """Train on uint8 images N x H x W x C; a killed training goes on from its checkpoint.

    Written are generator.pt (the averaged generator), discriminator.pt, training.jsonl,
    samples.png, samples_{resolution}.png and checkpoint.pt. Asked to end (SIGTERM, SIGUSR1,
    Ctrl-C), it writes a checkpoint and ends with status 75. To train anew with the same settings,
    delete checkpoint.pt. With several GPUs: torchrun --standalone --nproc-per-node N
    train_generator.py ...; the batch of the settings is shared out among them.
    """
    from rgi.data.arrays import open_images
    from rgi.models import choose_device
    from rgi.training import join_team, launched_processes, read_training, train

    pin_threads(max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    array = open_images(images)
    _, height, _, channels = array.shape
    entry = parse_json(settings)
    architecture, training = read_training(entry, resolution=height, channels=channels)
    chosen = choose_device(device)
    if device == "auto" and chosen.type == "cpu" and launched_processes() > 1:
        raise InputError("gpus: there is no GPU here; allowed: 1, or --device cpu for processes")
    with stop_requests() as stop, join_team(chosen) as (team, own):
        train(array, architecture, training, directory, seed=seed, device=own, team=team, stop=stop)


if __name__ == "__main__":
    run(main)

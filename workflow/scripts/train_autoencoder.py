"""Train an autoencoder on one data set's training images."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import pin_threads, run
from rgi.interruption import stop_requests
from rgi.settings import parse_json


def main(
    *,
    images: Annotated[Path, typer.Option(help="train.npy of a data set")],
    kind: Annotated[str, typer.Option(help="l2-ae, dsae, vae or gamma-vae")],
    directory: Annotated[Path, typer.Option(help="where everything is written")],
    settings: Annotated[
        str, typer.Option(help="the config's entry under `autoencoders`, as JSON")
    ] = "{}",
    seed: Annotated[int, typer.Option(min=0, help="initial weights, batches, latents")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
) -> None:
    """Train on uint8 images N x H x W x C; a killed training goes on from its checkpoint.

    Written are autoencoder.pt, samples.png, training.jsonl and checkpoint.pt. Asked to end
    (SIGTERM, SIGUSR1, Ctrl-C), it writes a checkpoint and ends with status 75. To train anew with
    the same settings, delete checkpoint.pt.
    """
    from rgi.data.arrays import open_images
    from rgi.models import choose_device
    from rgi.training import read_autoencoder, train_autoencoder

    pin_threads(threads)
    array = open_images(images)
    _, height, _, channels = array.shape
    entry = parse_json(settings)
    architecture, training = read_autoencoder(kind, entry, resolution=height, channels=channels)
    where = choose_device(device)
    with stop_requests() as stop:
        train_autoencoder(
            array, architecture, training, directory, seed=seed, device=where, stop=stop
        )


if __name__ == "__main__":
    run(main)

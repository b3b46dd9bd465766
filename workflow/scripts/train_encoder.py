"""Train an encoder for a generator, of whose images it finds the latents."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import pin_threads, run
from rgi.interruption import stop_requests
from rgi.settings import parse_json, read_settings


def main(
    *,
    generator: Annotated[Path, typer.Option(help="generator.pt")],
    directory: Annotated[Path, typer.Option(help="where everything is written")],
    settings: Annotated[
        str, typer.Option(help="the config's entry under `encoders`, as JSON")
    ] = "{}",
    seed: Annotated[int, typer.Option(min=0, help="initial weights, latents")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
) -> None:
    """Train on pairs of latent and generated image; a killed training goes on from its checkpoint.

    Written are encoder.pt, samples.png, training.jsonl and checkpoint.pt. Asked to end (SIGTERM,
    SIGUSR1, Ctrl-C), it writes a checkpoint and ends with status 75. To train anew with the same
    settings, delete checkpoint.pt.
    """
    from rgi.models import choose_device, load_generator
    from rgi.training import EncoderSettings, train_encoder

    pin_threads(threads)
    training = read_settings(EncoderSettings, parse_json(settings), "encoders")
    network = load_generator(generator).to(choose_device(device))
    with stop_requests() as stop:
        train_encoder(network, training, directory, seed=seed, stop=stop)


if __name__ == "__main__":
    run(main)

"""Train a model of anomalib on one data set's training images."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.baselines.detectors import read_detector
from rgi.command import pin_threads, run
from rgi.settings import parse_json


def main(
    *,
    images: Annotated[Path, typer.Option(help="train.npy of a data set")],
    model: Annotated[str, typer.Option(help="an image model of anomalib, such as patchcore")],
    directory: Annotated[Path, typer.Option(help="where everything is written")],
    settings: Annotated[str, typer.Option(help="the method's settings, as JSON")] = "{}",
    seed: Annotated[int, typer.Option(min=0, help="weights, order, synthetic defects")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
) -> None:
    """Train on uint8 images N x H x W x C without defects; write detector.pt and training.jsonl."""
    chosen = read_detector(parse_json(settings), f"methods: {model}: settings")

    from rgi.baselines.detectors.training import train_detector
    from rgi.data.arrays import open_images
    from rgi.models import choose_device

    pin_threads(threads)
    array = open_images(images)
    train_detector(array, model, chosen, directory, seed=seed, device=choose_device(device))


if __name__ == "__main__":
    run(main)

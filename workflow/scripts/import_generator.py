"""Take a generator that was trained elsewhere in place of a training."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import pin_threads, run
from rgi.files import check_sha256


def main(
    *,
    images: Annotated[Path, typer.Option(help="train.npy of the data set")],
    directory: Annotated[Path, typer.Option(help="where everything is written")],
    generator: Annotated[Path, typer.Option(help="file of the generator, or of both networks")],
    kind: Annotated[str, typer.Option("--format", help="rgi or pytorch-gan-zoo")],
    sha256: Annotated[str | None, typer.Option(help="of the generator's file")] = None,
    discriminator: Annotated[Path | None, typer.Option(help="its file, of format rgi")] = None,
    discriminator_sha256: Annotated[str | None, typer.Option(help="of its file")] = None,
    seed: Annotated[int, typer.Option(min=0, help="draws the samples")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
) -> None:
    """Write generator.pt, discriminator.pt (if there is one) and samples.png to DIRECTORY.

    No file is read before its hash was found right.
    """
    from rgi.data import open_images
    from rgi.models import save_discriminator, save_generator
    from rgi.models.imported import import_networks
    from rgi.training import draw_samples, save_sheet

    pin_threads(threads)
    for path, known in ((generator, sha256), (discriminator, discriminator_sha256)):
        if known is not None:
            check_sha256(path, known, path)
    drawing, judging = import_networks(kind, generator, discriminator, open_images(images))
    samples = draw_samples(drawing, drawing.architecture.levels - 1, seed)
    if judging is not None:
        save_discriminator(directory / "discriminator.pt", judging)
    save_generator(directory / "generator.pt", drawing)
    save_sheet(directory / "samples.png", samples)


if __name__ == "__main__":
    run(main)

"""What an inversion's checkpoints cost: one after every step, against the same without.

Of one write: processor time, which a busy machine does not change, and wall time with the disk's.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from rgi.command import run
from rgi.inversion import Checkpoint, invert_grid, progress
from rgi.inversion.methods import configured
from rgi.models import Architecture, Discriminator, Generator

ARCHITECTURE = Architecture(resolution=16, channels=1, latent_dim=32, widths=(96, 64, 32))
METHODS = {
    "rgi": {"stages": [[1, 20]], "pool": 16},
    "rgi-profile": {
        "stages": [[20, 2], [4, 2], [1, 10]],
        "escapes": [],
        "pool": 32,
        "tolerance": 0.0,
    },
    "r-rgi": {"stages": [[1, 10]], "pool": 16, "weights_iterations": 4},
}


def main(*, images: Annotated[int, typer.Option(min=1, help="of 16 x 16 pixels")] = 16) -> None:
    """Print a write's processor and wall seconds, its size, and its share of the default minute."""
    torch.set_num_threads(1)
    generator, discriminator = Generator(ARCHITECTURE).eval(), Discriminator(ARCHITECTURE).eval()
    with torch.no_grad():
        corrupted = generator(torch.randn(images, 32, generator=torch.Generator().manual_seed(0)))
    progress.SHARE = float("inf")  # as often as it can
    save = progress.save_checkpoint
    print(f"{'method':12} {'CPU s':>7} {'wall s':>7} {'MB':>6} {'CPU per minute':>14}")
    for name, settings in METHODS.items():
        method = configured(name, settings)
        writes: list[tuple[float, float, int]] = []

        def noted(path: Path, *content: object, into: list = writes) -> None:
            begun = time.process_time(), time.perf_counter()
            save(path, *content)
            spent = time.process_time() - begun[0], time.perf_counter() - begun[1]
            into.append((*spent, path.stat().st_size))

        progress.save_checkpoint = noted
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Checkpoint(Path(folder) / "kept.pt", seconds=0)
            critic = discriminator if method.needs_discriminator else None
            options = {"discriminator": critic, "checkpoint": checkpoint}
            invert_grid(corrupted, generator, method, [0.1, 0.3], **options)
        processor, wall, size = (max(column) for column in zip(*writes, strict=True))
        share = processor / Checkpoint.seconds
        print(f"{name:12} {processor:7.3f} {wall:7.3f} {size / 1e6:6.1f} {share:14.2%}")


if __name__ == "__main__":
    run(main)

"""Make a case of generated images, x = G(z) + s, whose clean images the generator fits exactly."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from tqdm import tqdm

from rgi.command import pin_threads, run
from rgi.corruption import (
    image_generator,
    make_case,
    read_corruption,
    save_case,
    save_case_preview,
)
from rgi.errors import InputError
from rgi.models import Generator, load_generator
from rgi.settings import parse_json


def main(
    *,
    generator: Annotated[Path, typer.Option(help="generator.pt")],
    settings: Annotated[str, typer.Option(help="number of `images`, and a corruption, as JSON")],
    level: Annotated[float, typer.Option(help="mean e of the noise N(e, sd)")],
    name: Annotated[str, typer.Option(help="the case's name; its random numbers depend on it")],
    output: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    preview: Annotated[Path | None, typer.Option(help="a picture of the first images")] = None,
    seed: Annotated[int, typer.Option(min=0, help="draws latents, masks and noise")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
) -> None:
    """Write G(z), corrupted G(z) and masks to OUTPUT; the clean images are those of every level.

    Example of SETTINGS: '{"images": 20, "corruption": "block", "size": 8,
    "fill": {"kind": "noise", "sd": 1}}'; the mean of the fill is LEVEL.
    """
    pin_threads(threads)
    values = parse_json(settings)
    count = values.pop("images", None)
    if not isinstance(count, int) or count < 1:
        raise InputError(f"cases: simulation: images: {count!r}; expected a whole number above 0")
    fill = {"kind": "noise", **values.get("fill", {}), "mean": level}
    mask_settings, fill_settings = read_corruption({**values, "fill": fill})
    clean = generate(load_generator(generator), count, seed)
    case = make_case(clean, range(count), mask_settings, fill_settings, seed, name)
    save_case(output, case)
    if preview is not None:
        save_case_preview(preview, case)


@torch.no_grad()
def generate(generator: Generator, count: int, seed: int) -> np.ndarray:
    """Return G(z) for `count` latents z ~ N(0, I), each drawn and computed by itself."""
    images = []
    for index in tqdm(range(count), desc="G(z)", unit="image", disable=None):
        # Not by the case's name: all levels corrupt the same clean images.
        random = image_generator(seed, "simulation latent", index)
        latent = random.standard_normal((1, generator.latent_dim), dtype=np.float32)
        images.append(generator(torch.from_numpy(latent)).numpy())
    return np.concatenate(images)


if __name__ == "__main__":
    run(main)

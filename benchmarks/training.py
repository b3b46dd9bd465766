"""Time a training step against that of a plain Progressive GAN trainer, both in this process.

python benchmarks/training.py --json training.json
"""

import copy
import json
import statistics
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from measure import (
    Columns,
    Step,
    count_flops,
    headings,
    line,
    machine,
    product_rate,
    seconds,
    write_report,
)

from rgi.command import pin_threads, run
from rgi.errors import InputError
from rgi.models import Architecture, Discriminator, Generator, choose_device
from rgi.models.numerics import repeatable
from rgi.models.progressive import RESOLUTIONS
from rgi.settings import read_settings
from rgi.training import TrainingSettings, progressive
from rgi.training.draws import draw_step, prefetch
from rgi.training.schedule import Position
from rgi.training.statistics import peak_memory

WIDTHS = (64, 64, 48, 32, 16, 8, 4)  # of 4 x 4, 8 x 8, ...: the shape of Karras et al., narrow
IMAGES = 256
COLUMNS: Columns = {
    "resolution": lambda row: f"{row['resolution']}",
    "plain/s": lambda row: f"{row['plain']['images_per_second']:.1f}",
    "own/s": lambda row: f"{row['own']['images_per_second']:.1f}",
    "ratio": lambda row: f"{row['ratio']:.2f}",
    "GFLOP/s": lambda row: f"{row['own']['gflop_per_second']:.1f}",
    "of prod.": lambda row: f"{row['own']['of_matrix_product']:.0%}",
    "MiB": lambda row: f"{row['peak_memory_mib']:.0f}",
}


@dataclass(frozen=True)
class Work:
    """What both sides do: steps of the last level, in the middle of its fade-in."""

    architecture: Architecture
    settings: TrainingSettings
    position: Position
    images: np.ndarray
    device: torch.device


def plan(resolution: int, width: float, settings: TrainingSettings, device: torch.device) -> Work:
    """Set up the work at one resolution, on noise."""
    levels = resolution.bit_length() - 2
    widths = tuple(max(4, int(width * size)) for size in WIDTHS[:levels])
    batch = settings.batch
    random = np.random.default_rng(0)
    return Work(
        Architecture(resolution, 3, widths[0], widths),
        settings,
        Position(levels - 1, 0.5, batch, batch, False, False, False),
        random.integers(0, 256, (IMAGES, resolution, resolution, 3), dtype=np.uint8),
        device,
    )


def plain_step(work: Work) -> Step:
    """Build the step of a trainer written straight from the paper.

    Batches are made when they are needed, tensors are contiguous, reals and fakes are judged
    apart, both networks' steps make fakes of their own, and every step logs its losses.
    """
    settings, position, device = work.settings, work.position, work.device
    at = position.level, position.fade
    generator = Generator(work.architecture).to(device)
    critic = Discriminator(work.architecture).to(device)
    average = copy.deepcopy(generator)
    descend = {
        net: torch.optim.Adam(net.parameters(), settings.learning_rate, settings.betas)
        for net in (generator, critic)
    }
    decay = 0.5 ** (position.batch / settings.averaging_halflife)
    log = []

    def step() -> None:
        draw = draw_step(work.images, generator.latent_dim, position, settings, 0, len(log))
        reals, latent = draw.reals.to(device), draw.latent.to(device)
        with torch.no_grad():
            fakes = generator.grow(latent, *at)
        real, fake = critic.grow(reals, *at), critic.grow(fakes, *at)
        mixed = torch.lerp(reals, fakes, draw.mixing.to(device)[:, None, None, None])
        mixed.requires_grad_()
        (slope,) = torch.autograd.grad(critic.grow(mixed, *at).sum(), mixed, create_graph=True)
        penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss = fake.mean() - real.mean() + settings.drift * (real**2).mean()
        loss = loss + settings.gradient_penalty * penalty
        critic.zero_grad()
        loss.backward()
        descend[critic].step()

        generator_loss = -critic.grow(generator.grow(latent, *at), *at).mean()
        generator.zero_grad()
        generator_loss.backward()
        descend[generator].step()
        with torch.no_grad():
            for kept, weight in zip(average.parameters(), generator.parameters(), strict=True):
                kept.mul_(decay).add_(weight, alpha=1 - decay)
        log.append((loss.item(), generator_loss.item(), penalty.item()))

    return step


def own_step(work: Work, draws) -> Step:
    """Build this project's step; the draws come from its thread."""
    state = progressive._begin(work.architecture, work.settings, 0, work.device)

    def step() -> None:
        draw = next(draws).to(work.device)
        with repeatable():  # as in train()
            measures = progressive.train_step(state, draw, work.position, work.settings)
        state.tick.add(measures, work.position.batch)

    return step


def compare(work: Work, steps: int, repeats: int, product: float) -> dict[str, object]:
    """Time both sides, taking turns; the first turn warms up and is not counted."""

    def prepare(step: int):
        draw = draw_step(
            work.images, work.architecture.latent_dim, work.position, work.settings, 0, step
        )
        return draw.pinned() if work.device.type == "cuda" else draw

    with closing(prefetch(prepare, range(2 + (1 + repeats) * steps))) as draws:
        sides = {"plain": plain_step(work), "own": own_step(work, draws)}
        row: dict[str, object] = {"resolution": work.architecture.resolution}
        flops = {}
        for name, step in sides.items():
            flops[name] = count_flops(step)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(1 + repeats):
            for name, step in sides.items():
                times[name].append(seconds(steps, step, work.device))
    for name in sides:
        median = statistics.median(times[name][1:])
        rate = flops[name] / median / 1e9
        row[name] = {
            "images_per_second": work.position.batch / median,
            "seconds_per_step": times[name][1:],
            "gflop_per_step": flops[name] / 1e9,
            "gflop_per_second": rate,
            "of_matrix_product": rate / product,
        }
    ratios = [plain / own for plain, own in zip(*times.values(), strict=True)][1:]
    return row | {"ratio": statistics.median(ratios), "peak_memory_mib": peak_memory(work.device)}


def main(
    *,
    resolution: Annotated[list[int], typer.Option(help="may be repeated")] = [16, 32, 64, 128],  # noqa: B006
    width: Annotated[float, typer.Option(min=0.01, help="factor on the feature maps")] = 1.0,
    batch: Annotated[int, typer.Option(min=4, help="images per step, a multiple of 4")] = 16,
    precision: Annotated[str, typer.Option(help="of our step: float32 or bfloat16")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="steps in a row that give one time")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="times of each side, taken in turns")] = 7,
    json_path: Annotated[Path | None, typer.Option("--json", help="also write this file")] = None,
) -> None:
    """Time our training step against a plain trainer's at several resolutions; medians.

    images/s of both, their ratio (median over the turns), our GFLOP/s and its share of a large
    matrix product's in the same run, peak memory in MiB (of the GPU, or of this process so far).
    """
    for side in resolution:
        if side not in RESOLUTIONS:
            raise InputError(f"--resolution {side}; allowed: {RESOLUTIONS}")
    pin_threads(threads)
    chosen = choose_device(device)
    settings = read_settings(TrainingSettings, {"batch": batch, "precision": precision}, "options")
    before = machine(chosen)
    product = product_rate(chosen, getattr(torch, precision), repeats)
    print(json.dumps(before), f"matrix product: {product:.1f} GFLOP/s", sep="\n")
    print(headings(COLUMNS))
    rows = []
    for side in resolution:
        rows.append(compare(plan(side, width, settings, chosen), steps, repeats, product))
        print(line(COLUMNS, rows[-1]), flush=True)
    if json_path is not None:
        options = {"batch": batch, "precision": precision, "width": width, "device": chosen.type}
        write_report(
            json_path,
            before,
            options=options | {"steps": steps, "repeats": repeats},
            matrix_product_gflop_per_second=product,
            rows=rows,
        )


if __name__ == "__main__":
    run(main)

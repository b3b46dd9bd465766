"""Speed of inversion: rgi.inversion.invert beside the loop that a reader of the papers would write.

The loop takes one image at a time, with modules as they come and torch's default threads. Ours
takes batches, one process per core with one thread each, as the pipeline's jobs do. Both start at
the same point, take the same steps and must reach the same objective; neither counts the choice of
starts. Each side has processes of its own, so that threads and peak memory are its own; repeats
alternate between the sides. On a machine with other work the loop's threads wait for each other,
for far longer than they compute: see the load in the report, and --loop-threads 1.

    python benchmarks/inversion.py --resolution 32 --method rgi --images 16
    python benchmarks/inversion.py --resolution 32 --method rgi --images 1 --lambdas 1 --lambdas 8
    python benchmarks/inversion.py --resolution 128 --method l2 --images 4 --steps 3 --jobs 1
"""

import copy
import itertools
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Self

import torch
import typer
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from rgi.command import run
from rgi.errors import InputError
from rgi.inversion import METHODS, Method, invert
from rgi.models import Architecture, Discriminator, Generator, choose_device

ARCHITECTURES = {
    8: Architecture(8, 1, 16, (16, 16)),  # for tests
    16: Architecture(16, 1, 32, (96, 64, 32)),
    32: Architecture(32, 3, 64, (64, 64, 64, 32)),
    64: Architecture(64, 3, 128, (128, 128, 128, 64, 32)),
    128: Architecture(128, 3, 512, (512, 512, 512, 512, 256, 128)),  # the paper's
}
PRESETS = {"l2": "l2", "rgi": "rgi", "r-rgi-fine-tuning": "r-rgi", "pan": "pan-with-mask"}


@dataclass(frozen=True)
class Task:
    """What one process computes; a row is an image with a lambda."""

    resolution: int
    method: str  # a key of PRESETS
    rows: tuple[int, ...]
    lambdas: int
    steps: int
    device: str

    def preset(self) -> Method:
        """The method with one start per image; weights, if any, are learned from the first step."""
        preset = replace(METHODS[PRESETS[self.method]], iterations=self.steps, pool=0, starts=1)
        weights = self.steps if preset.learns_weights else 0
        return replace(preset, weights_iterations=weights, batch=len(self.rows))


@dataclass(frozen=True)
class Observed:
    """The rows' data, on the device."""

    images: Tensor  # N x C x H x W
    given: Tensor  # N x H x W, True = corrupted
    lam: Tensor  # N

    def first(self) -> Self:
        """The first row alone."""
        return replace(self, images=self.images[:1], given=self.given[:1], lam=self.lam[:1])


@dataclass(frozen=True)
class Outcome:
    """What one process did; times are comparable between processes."""

    began: float
    ended: float
    objective: dict[int, float]  # of each row
    flop: int
    peak_mib: float  # beyond what it had needed before


@dataclass
class Measurement:
    """One side of one case; lists have an entry per repeat."""

    rows: int
    seconds: list[float] = field(default_factory=list)
    product: list[float] = field(default_factory=list)  # GFLOP/s of a matrix product
    flop: int = 0
    peak_mib: float = 0.0

    def summary(self, steps: int) -> dict[str, Any]:
        """Medians over the repeats."""
        seconds, product = statistics.median(self.seconds), statistics.median(self.product)
        return {
            "seconds": self.seconds,
            "image_steps_per_second": self.rows * steps / seconds,
            "gflop_per_image_step": self.flop / (self.rows * steps) / 1e9,
            "gflops": self.flop / seconds / 1e9,
            "product_gflops": product,
            "fraction_of_product": self.flop / seconds / 1e9 / product,
            "peak_mib": self.peak_mib,
        }


# In the worker processes.


@cache
def networks(resolution: int, device: str) -> tuple[Generator, Discriminator]:
    """Random weights: what they are does not change what a pass costs."""
    architecture = ARCHITECTURES[resolution]
    generator, discriminator = Generator(architecture, seed=1), Discriminator(architecture, seed=2)
    return generator.eval().to(device), discriminator.eval().to(device)


def observe(task: Task) -> Observed:
    """Generated images, a quarter of whose pixels are noise; lambda is what changes fastest."""
    generator, _ = networks(task.resolution, task.device)
    images, masks = [], []
    for row in task.rows:
        source = torch.Generator().manual_seed(row // task.lambdas)
        latent = torch.randn(1, generator.latent_dim, generator=source).to(task.device)
        with torch.no_grad():
            clean = generator(latent)[0].cpu()
        mask = torch.rand(clean.shape[1:], generator=source) < 0.25
        noise = torch.rand(clean.shape, generator=source) * 2 - 1
        images.append(torch.where(mask, noise, clean))
        masks.append(mask)
    lam = torch.tensor([0.05 * 1.5 ** (row % task.lambdas) for row in task.rows])
    device = task.device
    return Observed(torch.stack(images).to(device), torch.stack(masks).to(device), lam.to(device))


def batched(task: Task, data: Observed) -> tuple[Tensor, Tensor, Tensor]:
    """Ours: restored images, masks and latents."""
    generator, discriminator = networks(task.resolution, task.device)
    preset = task.preset()
    found = invert(
        data.images,
        generator,
        preset,
        data.lam if preset.has_lambda else None,
        mask=data.given if preset.needs_mask else None,
        discriminator=discriminator if preset.needs_discriminator else None,
        index=[row // task.lambdas for row in task.rows],
    )
    return found.restored, found.score if preset.learns_mask else data.given.float(), found.latent


def looped(
    task: Task, data: Observed, latents: Tensor, masks: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """The loop: restored images and masks. Parameters require gradients, as in modules they do."""
    original, discriminator = networks(task.resolution, task.device)
    preset = task.preset()
    restored, found = [], []
    for row, image in enumerate(data.images):
        latent = latents[row].clone().requires_grad_()
        mask = masks[row].clone().requires_grad_(preset.learns_mask)
        variables = [{"params": [latent, mask] if preset.learns_mask else [latent]}]
        generator = original
        if preset.learns_weights:
            generator = copy.deepcopy(original)
            rate = preset.weights_learning_rate
            variables.append({"params": generator.parameters(), "lr": rate})
        optimiser = torch.optim.Adam(variables, lr=preset.learning_rate)
        for _ in range(task.steps):
            optimiser.zero_grad()
            output = generator(latent[None])[0]
            objective(task, discriminator, image, output, mask, data.lam[row]).backward()
            optimiser.step()
            if preset.learns_mask:
                mask.data.clamp_(0, 1)
        with torch.no_grad():
            restored.append(generator(latent[None])[0])
        found.append(mask.detach())
    return restored, found


def objective(
    task: Task,
    discriminator: Discriminator,
    image: Tensor,
    restored: Tensor,
    mask: Tensor,
    lam: Tensor,
) -> Tensor:
    """The objective of one image, written out as in the papers."""
    if task.method == "l2":
        return (image - restored).square().sum()
    fidelity = ((1 - mask) * (image - restored)).square().sum()
    if task.method == "pan":
        expected = discriminator.features(((1 - mask) * image)[None])[-1].detach()
        features = discriminator.features(((1 - mask) * restored)[None])[-1]
        return fidelity + 0.1 * (features - expected).abs().sum()
    return fidelity + lam * mask.sum() - 0.1 * discriminator(restored[None]).sum()


def measure(task: Task, side: str, count: bool) -> Outcome:
    """Run one side once; `count` also counts the operations, afterwards."""
    data = observe(task)
    _, masks, latents = batched(replace(task, steps=0), data)  # where both start

    def solve(task: Task, data: Observed) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        if side == "loop":
            return looped(task, data, latents, masks)
        return batched(task, data)[:2]

    before = peak_mib(task.device, reset=True)
    began = time.time()
    found = solve(task, data)
    if task.device == "cuda":
        torch.cuda.synchronize()
    ended = time.time()
    peak = peak_mib(task.device) - before
    _, discriminator = networks(task.resolution, task.device)
    with torch.no_grad():
        values = [
            objective(task, discriminator, *parts).item()
            for parts in zip(data.images, *found, data.lam, strict=True)
        ]
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = NoModules()
    if count:  # of one row: the counter overrates the weights' gradient in grouped convolutions
        with counter:
            solve(replace(task, rows=task.rows[:1]), data.first())
    flop = counter.get_total_flops() * len(task.rows)
    return Outcome(began, ended, dict(zip(task.rows, values, strict=True)), flop, peak)


class NoModules(ModuleTracker):
    """No tally by module: its hooks fail on a leaf that is used under no_grad."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        pass


def peak_mib(device: str, reset: bool = False) -> float:
    """The device's, or on the CPU the process's, highest memory use so far."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if reset:
        torch.cuda.reset_peak_memory_stats()
    return torch.cuda.max_memory_allocated() / 2**20


def product_gflops(device: str) -> float:
    """The rate of a large matrix product, the most that a network could hope for."""
    size = 2048 if device == "cpu" else 8192
    matrix = torch.rand(size, size, device=device)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(seconds) / 1e9


def prepare(threads: int) -> None:
    """Set up a worker; convolutions and products in the same, full precision."""
    if threads:  # else torch's default
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


# In the main process.


class Workers:
    """Processes that start a task's parts together."""

    def __init__(self, side: str, jobs: int, threads: int) -> None:
        self.side = side
        os.environ.setdefault("TQDM_DISABLE", "1")  # which the processes inherit
        context = get_context("spawn")
        self.executors = [
            ProcessPoolExecutor(1, context, initializer=prepare, initargs=(threads,))
            for _ in range(jobs)
        ]

    def run(self, task: Task, *, count: bool = False) -> list[Outcome]:
        """Share the rows out; one outcome per process that got any."""
        shares = [task.rows[first :: len(self.executors)] for first in range(len(self.executors))]
        futures = [
            executor.submit(measure, replace(task, rows=rows), self.side, count)
            for executor, rows in zip(self.executors, shares, strict=True)
            if rows
        ]
        return [future.result() for future in futures]

    def product(self, device: str) -> float:
        """GFLOP/s of matrix products in all processes at once."""
        futures = [executor.submit(product_gflops, device) for executor in self.executors]
        return sum(future.result() for future in futures)

    def close(self) -> None:
        """End the processes."""
        for executor in self.executors:
            executor.shutdown()


def compare(
    task: Task, *, loop_rows: int, loop_threads: int, repeats: int, jobs: int, threads: int
) -> dict[str, Any]:
    """Time both sides alternately. The loop takes the first rows only: each costs the same."""
    tasks = {"loop": replace(task, rows=task.rows[:loop_rows]), "ours": task}
    sides = {"loop": Workers("loop", 1, loop_threads), "ours": Workers("ours", jobs, threads)}
    found = {side: Measurement(len(part.rows)) for side, part in tasks.items()}
    reached: dict[str, dict[int, float]] = {}
    try:
        for side, workers in sides.items():  # warms up, too
            outcomes = workers.run(tasks[side], count=True)
            found[side].flop = sum(outcome.flop for outcome in outcomes)
            # Only a new process's peak says something of this task.
            found[side].peak_mib = sum(outcome.peak_mib for outcome in outcomes)
            reached[side] = {row: at for each in outcomes for row, at in each.objective.items()}
        for _, (side, workers) in itertools.product(range(repeats), sides.items()):
            outcomes = workers.run(tasks[side])
            began = min(outcome.began for outcome in outcomes)
            found[side].seconds.append(max(outcome.ended for outcome in outcomes) - began)
            found[side].product.append(workers.product(task.device))
    finally:
        for workers in sides.values():
            workers.close()
    difference = max(abs(reached["ours"][row] / at - 1) for row, at in reached["loop"].items())
    rates = {side: each.summary(task.steps) for side, each in found.items()}
    return {
        "resolution": task.resolution,
        "method": task.method,
        "images": len(task.rows) // task.lambdas,
        "lambdas": task.lambdas,
        "steps": task.steps,
        **rates,
        "speedup": rates["ours"]["image_steps_per_second"]
        / rates["loop"]["image_steps_per_second"],
        "objective_difference": difference,
    }


def environment(device: str, **choices: int) -> dict[str, Any]:
    """What a reader needs to know to compare two reports."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "default_threads": torch.get_num_threads(),
        **choices,
        "load_before": os.getloadavg()[0],
    }


COLUMNS = {  # of the table: heading -> cell
    "pixels": lambda row: f"{row['resolution']}",
    "method": lambda row: row["method"],
    "images": lambda row: f"{row['images']}",
    "lambdas": lambda row: f"{row['lambdas']}",
    "loop, ms": lambda row: f"{1000 / row['loop']['image_steps_per_second']:.2f}",
    "ours, ms": lambda row: f"{1000 / row['ours']['image_steps_per_second']:.2f}",
    "speedup": lambda row: f"{row['speedup']:.1f}",
    "GFLOP/s of the product's": lambda row: " | ".join(
        f"{row[side]['gflops']:.0f} of {row[side]['product_gflops']:.0f}"
        f" ({row[side]['fraction_of_product']:.0%})"
        for side in ("loop", "ours")
    ),
    "peak MiB": lambda row: f"{row['loop']['peak_mib']:.0f} | {row['ours']['peak_mib']:.0f}",
    "objectives differ by": lambda row: f"{row['objective_difference']:.0e}",
}


def table(rows: list[dict[str, Any]]) -> str:
    """Aligned columns; ms are per image, lambda and step; a bar parts loop from ours."""
    cells = [list(COLUMNS), *([cell(row) for cell in COLUMNS.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )


def main(
    *,
    resolution: Annotated[list[int], typer.Option(help="pixels per side")] = [16, 32, 64],  # noqa: B006
    method: Annotated[list[str], typer.Option(help=", ".join(PRESETS))] = list(PRESETS),  # noqa: B006, B008
    images: Annotated[list[int], typer.Option(help="images at once, over all jobs")] = [1, 8, 16],  # noqa: B006
    lambdas: Annotated[list[int], typer.Option(help="lambdas per image, 1 to 16")] = [1],  # noqa: B006
    steps: Annotated[int, typer.Option(min=1, help="steps of Adam")] = 20,
    repeats: Annotated[int, typer.Option(min=1, help="timed runs of each side")] = 5,
    loop_rows: Annotated[int, typer.Option(min=1, help="rows that the loop is timed on")] = 2,
    loop_threads: Annotated[int, typer.Option(min=0, help="the loop's; 0: torch's default")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "cpu",
    jobs: Annotated[int, typer.Option(min=0, help="our processes; 0: one per core or GPU")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="threads of each of our processes")] = 1,
    output: Annotated[Path | None, typer.Option("--json", help="also write a JSON file")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="tiny: only shows that it runs")] = False,
) -> None:
    """Compare the speed of rgi.inversion.invert with a plain loop's."""
    if unknown := sorted(set(method) - set(PRESETS)):
        raise InputError(f"--method {unknown[0]}: allowed: {', '.join(PRESETS)}")
    if unknown := sorted(set(resolution) - set(ARCHITECTURES)):
        raise InputError(f"--resolution {unknown[0]}: allowed: {list(ARCHITECTURES)}")
    if quick:
        resolution, images, steps, repeats, jobs = [8], [2], 3, 1, 1
    place = choose_device(device).type
    jobs = jobs or (1 if place == "cuda" else os.cpu_count() or 1)
    choices = {
        "loop_rows": loop_rows,
        "loop_threads": loop_threads,
        "repeats": repeats,
        "jobs": jobs,
        "threads": threads,
    }
    report = {"environment": environment(place, **choices), "rows": []}
    for pixels, name, count, grid in itertools.product(resolution, method, images, lambdas):
        if grid > 1 and not METHODS[PRESETS[name]].has_lambda:
            continue
        task = Task(pixels, name, tuple(range(count * grid)), grid, steps, place)
        report["rows"].append(compare(task, **choices))
        print(table(report["rows"][-1:]), flush=True)
    report["environment"]["load_after"] = os.getloadavg()[0]
    if len(report["rows"]) > 1:
        print(f"\n{table(report['rows'])}")
    if output:
        output.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    run(main)

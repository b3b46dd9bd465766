"""Speed of inversion: rgi.inversion beside the loop that a reader of the papers would write.

The loop takes one image and one lambda at a time, with modules as they come and torch's default
threads. Ours takes batches, one process per core with one thread each, as the pipeline's jobs do.
Both start at the same point, take the same steps and must reach the same objective (not
rgi-profile, which descends by L-BFGS without the mask, beside RGI's own Adam). Neither counts the
choice of starts. Every case has new processes for each side, so that threads and peak memory are
its own; repeats alternate between the sides. Ours fills its batch up: a process with fewer rows
(image times lambda) than --batch takes as long as with a full one. On a machine with other work
the loop's threads wait for each other: see the load in the report, and --loop-threads 1.

    python benchmarks/inversion.py --resolution 32 --method rgi --images 16 --images 64
    python benchmarks/inversion.py --method rgi-profile --images 2 --lambdas 1 --lambdas 8
    python benchmarks/inversion.py --resolution 128 --method l2 --images 4 --steps 3 --batch 4
"""

import copy
import itertools
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from measure import (
    Columns,
    convolution_rate,
    count_flops,
    headings,
    line,
    machine,
    product_rate,
    wait,
    write_report,
)
from processes import Processes
from torch import Tensor

from rgi.command import run
from rgi.errors import InputError
from rgi.inversion import METHODS, Method, Restoration, invert_grid
from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem
from rgi.inversion.start import start_latents
from rgi.models import Architecture, Discriminator, Generator, choose_device
from rgi.training.statistics import peak_memory

ARCHITECTURES = {
    8: Architecture(8, 1, 16, (16, 16)),  # for tests
    16: Architecture(16, 1, 32, (96, 64, 32)),
    32: Architecture(32, 3, 64, (64, 64, 64, 32)),
    64: Architecture(64, 3, 128, (128, 128, 128, 64, 32)),
    128: Architecture(128, 3, 512, (512, 512, 512, 512, 256, 128)),  # the paper's
}
PRESETS = {name: name for name in ("l2", "rgi", "rgi-profile")}
PRESETS |= {"r-rgi-fine-tuning": "r-rgi", "pan": "pan-with-mask"}
LOOPED = 2  # images that the loop is timed on; each costs the same
Found = dict[tuple[int, int], tuple[Tensor, Tensor]]  # (image, lambda) -> restored, mask
Objectives = dict[tuple[int, int], float]


@dataclass(frozen=True)
class Task:
    """What one process computes."""

    resolution: int
    method: str  # a key of PRESETS
    images: tuple[int, ...]
    lambdas: int
    steps: int
    batch: int
    device: torch.device

    @property
    def preset(self) -> Method:
        """The method with one start; weights, if any, are learned from the first step."""
        preset = METHODS[PRESETS[self.method]]
        steps = (0, self.steps) if preset.learns_weights else (self.steps, 0)
        schedule = {"pool": 0, "stages": ((1, steps[0]),), "weights_iterations": steps[1]}
        alone = {
            "tolerance": 0.0,
            "escapes": (),
            "area_masked": False,
            "explore_lam": 0.0,
            "settle": 0.0,
            "explore_critic_weight": 0.0,
        }
        return replace(preset, **schedule, **alone, batch=self.batch)

    @property
    def lams(self) -> list[float | None]:
        """The first of a geometric grid, or none for a method without lambda."""
        grid = [0.05 * 1.3**number for number in range(self.lambdas)]
        return grid if self.preset.has_lambda else [None]


@dataclass(frozen=True)
class Outcome:
    """What one process did; times are comparable between processes."""

    began: float
    ended: float
    objective: Objectives
    peak_mib: float  # beyond what it had before


# In the worker processes.


@cache
def networks(resolution: int, device: torch.device) -> tuple[Generator, Discriminator]:
    """Random weights: what they are does not change what a pass costs."""
    architecture = ARCHITECTURES[resolution]
    generator, discriminator = Generator(architecture, seed=1), Discriminator(architecture, seed=2)
    return generator.eval().to(device), discriminator.eval().to(device)


@cache
def observe(resolution: int, image: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A generated image, a quarter of whose pixels are noise, and which those are."""
    generator, _ = networks(resolution, device)
    source = torch.Generator().manual_seed(image)
    latent = torch.randn(1, generator.latent_dim, generator=source).to(device)
    with torch.no_grad():
        clean = generator(latent)[0].cpu()
    mask = torch.rand(clean.shape[1:], generator=source) < 0.25
    noise = torch.rand(clean.shape, generator=source) * 2 - 1
    return torch.where(mask, noise, clean).to(device), mask.to(device)


def restore(task: Task, method: Method) -> list[Restoration]:
    """Invert the task's images, once per lambda."""
    generator, discriminator = networks(task.resolution, task.device)
    pairs = [observe(task.resolution, image, task.device) for image in task.images]
    images, masks = map(torch.stack, zip(*pairs, strict=True))
    return invert_grid(
        images,
        generator,
        method,
        task.lams,
        mask=masks if method.needs_mask else None,
        discriminator=discriminator if method.needs_discriminator else None,
        index=task.images,
    )


def ours(task: Task) -> Found:
    """What the public face does."""
    found = restore(task, task.preset)
    return {
        (image, number): (each.restored[row], each.score[row])
        for number, each in enumerate(found)
        for row, image in enumerate(task.images)
    }


@torch.no_grad()
def start(task: Task) -> tuple[Tensor, Tensor]:
    """Latent and mask of each image at the first lambda from where ours starts."""
    generator, _ = networks(task.resolution, task.device)
    pairs = [observe(task.resolution, image, task.device) for image in task.images]
    images, masks = map(torch.stack, zip(*pairs, strict=True))
    lam = torch.full((len(images),), task.lams[0] or 0.0, device=task.device)
    problem = Problem(task.preset, None, images, lam, masks.float())
    index, alone = torch.tensor(task.images), Batch(1)
    latents = start_latents(problem, generator, generator, index, 0, alone)[:, 0]
    return latents, problem.first_mask(generator(latents))


def loop(task: Task) -> Callable[[], Found]:
    """The loop for the first lambda, ready to run from where ours starts.

    The networks' weights require gradients, as in modules they do.
    """
    latents, masks = start(task)
    original, _ = networks(task.resolution, task.device)
    preset = task.preset

    def solve(row: int, image: int) -> tuple[Tensor, Tensor]:
        latent = latents[row].clone().requires_grad_()
        mask = masks[row].clone().requires_grad_(preset.learns_mask)
        variables = [{"params": [latent, mask] if preset.learns_mask else [latent]}]
        generator = original
        if preset.learns_weights:
            generator = copy.deepcopy(original)
            rate = preset.weights_learning_rate
            variables.append({"params": generator.parameters(), "lr": rate})
        optimiser = torch.optim.Adam(variables, lr=preset.learning_rate)
        objective = objective_of(task, image, 0)
        for _ in range(task.steps):
            optimiser.zero_grad()
            objective(generator(latent[None])[0], mask).backward()
            optimiser.step()
            if preset.learns_mask:
                mask.data.clamp_(0, 1)
        with torch.no_grad():
            return generator(latent[None])[0], mask.detach()

    return lambda: {(image, 0): solve(row, image) for row, image in enumerate(task.images)}


def objective_of(task: Task, image: int, number: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The objective of one image and lambda, written out as in the papers."""
    _, discriminator = networks(task.resolution, task.device)
    observed, given = observe(task.resolution, image, task.device)

    def features(images: Tensor) -> Tensor:
        return discriminator.features((images * ~given)[None])[-1]

    expected = features(observed).detach() if task.method == "pan" else None

    def objective(restored: Tensor, mask: Tensor) -> Tensor:
        if task.method == "l2":
            return (observed - restored).square().sum()
        fidelity = ((1 - mask) * (observed - restored)).square().sum()
        if task.method == "pan":
            return fidelity + 0.1 * (features(restored) - expected).abs().sum()
        judged = discriminator(restored[None]).sum()
        return fidelity + task.lams[number] * mask.sum() - 0.1 * judged

    return objective


def prepared(task: Task, side: str) -> Callable[[], Found]:
    """One side's work, without what is not to be timed."""
    for image in task.images:
        observe(task.resolution, image, task.device)
    return loop(task) if side == "loop" else lambda: ours(task)


def measure(task: Task, side: str) -> Outcome:
    """Run one side once."""
    networks(task.resolution, task.device)
    before = peak_memory(task.device)
    solve = prepared(task, side)
    began = time.time()
    found = solve()
    wait(task.device)
    ended = time.time()
    peak = peak_memory(task.device) - before
    with torch.no_grad():
        reached = {key: objective_of(task, *key)(*pair).item() for key, pair in found.items()}
    return Outcome(began, ended, reached, peak)


def count_step(task: Task, side: str) -> int:
    """Operations of one step of one row (of several, the counter overrates weights' gradients)."""
    alone = replace(task, images=task.images[:1], lambdas=1, batch=1)
    one, two = (count_flops(prepared(replace(alone, steps=steps), side)) for steps in (1, 2))
    return two - one


def rates(device: torch.device) -> tuple[float, float]:
    """GFLOP/s of a large matrix product and of a large convolution."""
    return product_rate(device, torch.float32, 3), convolution_rate(device, torch.float32, 3)


# In the main process.


def share(processes: Processes, task: Task, side: str) -> tuple[float, float, Objectives]:
    """Share the images out; return seconds, peak MiB and objectives."""
    jobs = min(len(processes.executors), len(task.images))
    parts = [(replace(task, images=task.images[first::jobs]), side) for first in range(jobs)]
    outcomes = processes.each(measure, parts)
    spent = max(each.ended for each in outcomes) - min(each.began for each in outcomes)
    reached = {key: value for each in outcomes for key, value in each.objective.items()}
    return spent, sum(each.peak_mib for each in outcomes), reached


def compare(
    task: Task, *, loop_threads: int, repeats: int, jobs: int, threads: int
) -> dict[str, Any]:
    """Time both sides alternately."""
    row = {"resolution": task.resolution, "method": task.method}
    row |= {"images": len(task.images), "lambdas": task.lambdas}
    name = "rgi" if task.method == "rgi-profile" else task.method
    part = replace(task, method=name, images=task.images[:LOOPED], lambdas=1)
    times, best, reached = defaultdict(list), defaultdict(list), {}
    with Processes(1, loop_threads) as plain, Processes(jobs, threads) as own:
        sides = {"loop": (plain, part), "ours": (own, task)}
        for side, (processes, each) in sides.items():  # warms up, too
            # Only a new process's peak says something of this case.
            _, peak, reached[side] = share(processes, each, side)
            flop = processes.all(count_step, each, side)[0]
            row[side] = {"gflop_per_image_step": flop / 1e9, "peak_memory_mib": peak}
        for _, (side, (processes, each)) in itertools.product(range(repeats), sides.items()):
            times[side].append(share(processes, each, side)[0])
            best[side].append(
                [sum(of) for of in zip(*processes.all(rates, task.device), strict=True)]
            )
    for side, (_, each) in sides.items():
        speed = len(each.images) * each.lambdas * task.steps / statistics.median(times[side])
        rate = speed * row[side]["gflop_per_image_step"]
        product, convolution = map(statistics.median, zip(*best[side], strict=True))
        row[side] |= {"seconds": times[side], "image_steps_per_second": speed}
        row[side] |= {"gflop_per_second": rate, "of_matrix_product": rate / product}
        row[side]["of_convolution"] = rate / convolution
    ratio = row["ours"]["image_steps_per_second"] / row["loop"]["image_steps_per_second"]
    apart = [(reached["ours"][key] - at) / abs(at) for key, at in reached["loop"].items()]
    return row | {"ratio": ratio, "objective_difference": max(apart, key=abs)}


COLUMNS: Columns = {
    "pixels": lambda row: f"{row['resolution']}",
    "method": lambda row: row["method"].removesuffix("-fine-tuning"),
    "images": lambda row: f"{row['images']}",
    "lambdas": lambda row: f"{row['lambdas']}",
    "loop, ms": lambda row: f"{1000 / row['loop']['image_steps_per_second']:.2f}",
    "ours, ms": lambda row: f"{1000 / row['ours']['image_steps_per_second']:.2f}",
    "ratio": lambda row: f"{row['ratio']:.1f}",
    "GFLOP/s": lambda row: f"{row['ours']['gflop_per_second']:.0f}",
    "of prod.": lambda row: f"{row['ours']['of_matrix_product']:.0%}",
    "of conv.": lambda row: f"{row['ours']['of_convolution']:.0%}",
    "loop, MiB": lambda row: f"{row['loop']['peak_memory_mib']:.0f}",
    "ours, MiB": lambda row: f"{row['ours']['peak_memory_mib']:.0f}",
    "objective": lambda row: f"{row['objective_difference']:+.0e}",
}


def main(
    *,
    resolution: Annotated[list[int], typer.Option(help="pixels per side")] = [16, 32, 64],  # noqa: B006
    method: Annotated[list[str], typer.Option(help=", ".join(PRESETS))] = list(PRESETS),  # noqa: B006, B008
    images: Annotated[list[int], typer.Option(help="images at once, over all jobs")] = [16, 64],  # noqa: B006
    lambdas: Annotated[list[int], typer.Option(help="lambdas per image")] = [1],  # noqa: B006
    steps: Annotated[int, typer.Option(min=1, help="steps of every descent")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="rows in one of our passes")] = Method.batch,
    repeats: Annotated[int, typer.Option(min=1, help="timed runs of each side")] = 5,
    loop_threads: Annotated[int, typer.Option(min=0, help="the loop's; 0: torch's default")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "cpu",
    jobs: Annotated[int, typer.Option(min=0, help="our processes; 0: one per core or GPU")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="threads of each of our processes")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="also write this file")] = None,
) -> None:
    """Compare the speed of rgi.inversion with a plain loop's; medians.

    ms per image, lambda and step of both, their ratio, our GFLOP/s and its share of a large matrix
    product's and of a large convolution's in the same run, peak memory, and by how much of the
    loop's objective ours is higher (worst image).
    """
    if unknown := sorted(set(method) - set(PRESETS)):
        raise InputError(f"--method {unknown[0]}: allowed: {', '.join(PRESETS)}")
    if unknown := sorted(set(resolution) - set(ARCHITECTURES)):
        raise InputError(f"--resolution {unknown[0]}: allowed: {list(ARCHITECTURES)}")
    place = choose_device(device)
    jobs = jobs or (1 if place.type == "cuda" else os.cpu_count() or 1)
    choices = {"loop_threads": loop_threads, "repeats": repeats, "jobs": jobs, "threads": threads}
    before, rows = machine(place), []
    print(headings(COLUMNS))
    cases = [
        Task(pixels, name, tuple(range(count)), number, steps, batch, place)
        for pixels, name, count in itertools.product(resolution, method, images)
        for number in (lambdas if METHODS[PRESETS[name]].has_lambda else [1])
    ]
    for task in cases:
        rows.append(compare(task, **choices))
        print(line(COLUMNS, rows[-1]), flush=True)
    if json_path is not None:
        options = {"steps": steps, "batch": batch, "device": place.type} | choices
        write_report(json_path, before, options=options, rows=rows)


if __name__ == "__main__":
    run(main)

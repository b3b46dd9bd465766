"""Descents of many images, starts and lambdas, a fixed number of rows at a time.

Every generator pass has the same shape, hence runs the same kernels: what a row becomes does not
depend, to the last bit, on how many others there are. (A descent would amplify any difference in
rounding.) A row that is done makes room for the next one.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from rgi.inversion.adam import AdamRows
from rgi.inversion.lbfgs import LbfgsRows
from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem, Render
from rgi.inversion.weights import fine_tune

CHECK = 10  # passes between two looks at which rows are done; there the host waits for the device
SOLVERS = {"adam": AdamRows, "lbfgs": LbfgsRows}

logger = logging.getLogger(__name__)

AnyRows = AdamRows | LbfgsRows


@dataclass(frozen=True)
class Descents:
    """The K best descents of each of N images, and what all of the image's descents cost."""

    rows: AnyRows  # N K, an image's own beside each other, best first
    passes: Tensor  # N, on the CPU: generator passes with gradient


@dataclass(frozen=True)
class Solution:
    """Where the best descent of each image ended."""

    restored: Tensor  # N x C x H x W
    score: Tensor  # N x H x W
    latent: Tensor  # N x d
    objective: Tensor  # N, without the priors, a found M at its best
    passes: Tensor  # N, on the CPU


def search(
    problem: Problem,
    render: Render,
    latents: Tensor,
    stages: Sequence[tuple[int, int]],
    batch: Batch,
    keep: int = 1,
) -> Descents:
    """Descend from every start; after each stage the starts with the lowest objective go on.

    Args:
        problem: N images.
        render: the generator.
        latents: starts, N x K x d, with K of the first stage.
        stages: (starts, steps) of each stage.
        batch: rows in one pass.
        keep: descents of each image that are left at the end.
    """
    count, starts = latents.shape[:2]
    image = torch.arange(count, device=latents.device)
    spent = torch.zeros(count, dtype=torch.long)
    rows = begin(problem, render, latents, batch)
    following = [goes_on for goes_on, _ in stages[1:]] + [keep]
    for (_, steps), going_on in zip(stages, following, strict=True):
        repeated = image.repeat_interleave(starts)
        taken = _descend(problem, render, rows, repeated, steps, batch)
        spent += taken.view(count, starts).sum(1)
        logger.info(
            "%d x %d descents: %d of %d passes each", count, starts, taken.double().mean(), steps
        )
        if going_on < starts:
            value = _values(problem, render, rows, repeated, batch).view(count, starts)
            best = value.topk(going_on, largest=False).indices
            rows = rows.take((image[:, None] * starts + best).flatten())
            starts = going_on
    return Descents(rows, spent)


def finish(
    problem: Problem, generator: nn.Module, render: Render, descents: Descents, batch: Batch
) -> Solution:
    """Fine-tune each image's own weights, if the method has any, and read the result."""
    iterations, rows = problem.method.weights_iterations, descents.rows

    def read(chosen: Tensor, padded: Tensor) -> tuple[Tensor, ...]:
        part, some = problem.rows(padded), rows.take(padded)
        if iterations:
            if isinstance(some, LbfgsRows):  # Adam moves latent and weights together
                some = AdamRows.begin(part, render, some.latent)
            restored = fine_tune(part, generator, some)
            logger.info("%d images: %d steps of fine-tuning", len(chosen), iterations)
        else:
            with torch.no_grad():
                restored = render(some.latent)
        score, objective = part.score(restored, some.mask), part.robust_fidelity(restored)
        found = restored, score, some.latent, objective
        return tuple(tensor[: len(chosen)] for tensor in found)

    parts = batch.all(len(descents.passes), problem.images.device, read)
    columns = (torch.cat(column) for column in zip(*parts, strict=True))
    return Solution(*columns, passes=descents.passes + iterations)


def begin(problem: Problem, render: Render, latents: Tensor, batch: Batch) -> AnyRows:
    """The first state of every start: N x K x d latents become N K rows."""
    solver = SOLVERS[problem.method.solver]
    image = torch.arange(len(latents), device=latents.device).repeat_interleave(latents.shape[1])
    flat = latents.flatten(0, 1)

    def begun(chosen: Tensor, padded: Tensor) -> AnyRows:
        rows = solver.begin(problem.rows(image[padded]), render, flat[padded])
        return rows.take(torch.arange(len(chosen), device=flat.device))

    return solver.join(batch.all(len(flat), flat.device, begun))


def _descend(
    problem: Problem, render: Render, rows: AnyRows, image: Tensor, steps: int, batch: Batch
) -> Tensor:
    """Give each row up to `steps` passes, in place.

    Args:
        image: which of the problem's images each row belongs to.

    Returns:
        How many passes each row took, on the CPU.
    """
    tolerance = problem.method.tolerance
    left = torch.full((len(image),), steps)
    taken = torch.zeros_like(left)
    total = steps * len(image)
    with tqdm(total=total, desc="inversion", unit="pass", disable=None) as bar:
        while left.any():
            # Only rows that are equally far from their next look: it comes when the row's own
            # passes say so, whoever the others are.
            passes = left.clamp(max=CHECK)
            count = int(passes[left.argmax()])
            alike = (passes == count).nonzero()[:, 0].to(image.device)

            def work(chosen: Tensor, padded: Tensor, count: int = count) -> Tensor | None:
                part, some = problem.rows(image[padded]), rows.take(padded)
                before = some.value if tolerance else None
                take_passes(part, render, some, count)
                rows.put(chosen, some)
                if before is None:
                    return None
                return (before - some.value < tolerance * some.value.abs())[: len(chosen)].cpu()

            chosen, stalled = batch.first(alike, work)
            chosen = chosen.cpu()
            left[chosen] -= count
            taken[chosen] += count
            bar.update(count * len(chosen))
            if stalled is not None:
                bar.update(int(left[chosen[stalled]].sum()))
                left[chosen[stalled]] = 0
    return taken


def take_passes(problem: Problem, render: Render, rows: AnyRows, count: int) -> None:
    """Give every row `count` passes with gradient, in place."""
    method = problem.method
    for _ in range(count):
        latent, mask = rows.trial()
        variables = [latent, mask] if method.learns_mask else [latent]
        for variable in variables:
            variable.requires_grad_()
        value = problem.objective(render(latent), mask)
        gradients = torch.autograd.grad(value.sum(), variables)
        rows.update(method, value.detach(), gradients)


def _values(problem: Problem, render: Render, rows: AnyRows, image: Tensor, batch: Batch) -> Tensor:
    """The objective of every row."""

    @torch.no_grad()
    def measure(chosen: Tensor, padded: Tensor) -> Tensor:
        some = rows.take(padded)
        return problem.rows(image[padded]).objective(render(some.latent), some.mask)[: len(chosen)]

    return torch.cat(batch.all(len(image), image.device, measure))

"""Descents of many images, starts and lambdas, a fixed number of rows at a time.

Every generator pass has the same shape, hence runs the same kernels: what a row becomes does not
depend, to the last bit, on how many others there are. (A descent would amplify any difference in
rounding.) A row that is done makes room for the next one.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from tqdm import tqdm

from rgi.inversion.adam import AdamRows
from rgi.inversion.lbfgs import LbfgsRows
from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem, Render
from rgi.inversion.progress import UNKEPT, UNKEPT_PART, Part, Progress, State
from rgi.inversion.projected import ProjectedRows
from rgi.inversion.weights import fine_tune

CHECK = 10  # passes between two looks at which rows are done; there the host waits for the device
SOLVERS = {"adam": AdamRows, "projected-adam": ProjectedRows, "lbfgs": LbfgsRows}

logger = logging.getLogger(__name__)

AnyRows = AdamRows | ProjectedRows | LbfgsRows


@dataclass(frozen=True)
class Descents:
    """The K best descents of each of N images, and what all of the image's descents cost."""

    rows: AnyRows  # N K, an image's own beside each other, best first
    passes: Tensor  # N, on the CPU: generator passes with gradient


@dataclass
class Course:
    """All that changes while a search runs; a checkpoint is this."""

    rows: AnyRows
    spent: Tensor  # N, on the CPU: an image's passes in the stages before
    stage: int
    left: Tensor  # on the CPU: passes that each row may still take in this stage
    taken: Tensor  # on the CPU: passes that each row took in this stage

    @classmethod
    def begin(cls, rows: AnyRows, images: int, steps: int) -> Self:
        """Before the first pass of the first stage."""
        left = torch.full((len(rows.latent),), steps)
        return cls(rows, torch.zeros(images, dtype=torch.long), 0, left, torch.zeros_like(left))

    def enter(self, stage: int, steps: int) -> None:
        """Begin a stage in which each row may take so many passes."""
        self.stage = stage
        self.left = torch.full((len(self.rows.latent),), steps)
        self.taken = torch.zeros_like(self.left)

    def state(self) -> State:
        """Contents of a checkpoint."""
        return {**vars(self), "rows": vars(self.rows)}

    @classmethod
    def of(cls, state: State, solver: type[AnyRows]) -> Self:
        """Go on from a checkpoint."""
        counts = {name: state[name].cpu() for name in ("spent", "left", "taken")}
        return cls(solver(**state["rows"]), stage=state["stage"], **counts)


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
    part: Part = UNKEPT_PART,
    known: AnyRows | None = None,
) -> Descents:
    """Descend from every start; after each stage the starts with the lowest objective go on.

    Args:
        problem: N images.
        render: the generator.
        latents: starts, N x K x d, with K of the first stage; in a round of features N x K of them.
        stages: (starts, steps) of each stage.
        batch: rows in one pass.
        keep: descents of each image that are left at the end.
        part: keeps what is reached.
        known: N K rows that descended nearly the same objectives; what they know is used here.
    """
    count = len(latents)
    image = torch.arange(count, device=latents.device)
    saved = part.take()
    if saved is None:
        rows = begin(problem, render, latents, batch)
        if known is not None:
            rows.learn(known)
        course = Course.begin(rows, count, stages[0][1])
    else:
        course = Course.of(saved, SOLVERS[problem.method.solver])
    part.hold(course.state)
    following = [*stages[1:], (keep, 0)]
    while course.stage < len(stages):
        (starts, steps), (going_on, steps_then) = stages[course.stage], following[course.stage]
        repeated = image.repeat_interleave(starts)
        _descend(problem, render, course, repeated, batch, part)
        course.spent += course.taken.view(count, starts).sum(1)
        mean = course.taken.double().mean()
        logger.info("%d x %d descents: %d of %d passes each", count, starts, mean, steps)
        if going_on < starts:
            value = _values(problem, render, course.rows, repeated, batch).view(count, starts)
            best = value.topk(going_on, largest=False).indices
            course.rows = course.rows.take((image[:, None] * starts + best).flatten())
        course.enter(course.stage + 1, steps_then)
    return Descents(course.rows, course.spent)


def finish(
    problem: Problem,
    generator: nn.Module,
    render: Render,
    descents: Descents,
    batch: Batch,
    progress: Progress = UNKEPT,
) -> Solution:
    """Fine-tune each image's own weights, if the method has any, and read the result."""
    iterations, rows = problem.method.weights_iterations, descents.rows

    def read(chosen: Tensor, padded: Tensor) -> tuple[Tensor, ...]:
        part, latent, mask = problem.rows(padded), rows.latent[padded], rows.mask[padded]
        if iterations:
            # Adam moves latent and weights together.
            moved = isinstance(rows, AdamRows)
            some = rows.take(padded) if moved else AdamRows.begin(part, render, latent)
            restored = fine_tune(part, generator, some, progress.part("tuning"))
            latent, mask = some.latent, some.mask
            logger.info("%d images: %d steps of fine-tuning", len(chosen), iterations)
        else:
            with torch.no_grad():
                restored = render(latent)
        score, objective = part.score(restored, mask), part.robust_fidelity(restored)
        found = restored, score, latent, objective
        return tuple(tensor[: len(chosen)] for tensor in found)

    count, device = len(descents.passes), problem.images.device
    parts = batch.all(count, device, read, progress.part("results"))
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
    problem: Problem, render: Render, course: Course, image: Tensor, batch: Batch, part: Part
) -> None:
    """Give each row of the course the passes that it has left, in place.

    Args:
        image: which of the problem's images each row belongs to.
    """
    tolerance = problem.method.tolerance
    rows, left, taken, device = course.rows, course.left, course.taken, image.device
    with tqdm(total=int(left.sum()), desc="inversion", unit="pass", disable=None) as bar:
        while left.any():
            # Only rows that are equally far from their next look: it comes when the row's own
            # passes say so, whoever the others are.
            passes = left.clamp(max=CHECK)
            count = int(passes[left.argmax()])
            alike = (passes == count).nonzero()[:, 0]

            def work(chosen: Tensor, padded: Tensor, count: int = count) -> Tensor | None:
                chosen, padded = chosen.to(device), padded.to(device)
                several, some = problem.rows(image[padded]), rows.take(padded)
                before = some.value if tolerance and count == CHECK else None
                take_passes(several, render, some, count)
                stalled = None
                if before is not None:
                    with torch.no_grad():
                        misfit = several.misfit(render(some.latent), some.mask)
                    stalled = (before - some.value <= tolerance * misfit)[: len(chosen)].cpu()
                rows.put(chosen, some)  # last: where memory runs out, nothing has happened
                return stalled

            chosen, stalled = batch.first(alike, work)
            left[chosen] -= count
            taken[chosen] += count
            bar.update(count * len(chosen))
            if stalled is not None:
                bar.update(int(left[chosen[stalled]].sum()))
                left[chosen[stalled]] = 0
            part.reach()


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
        part = problem.rows(image[padded])
        return part.objective(render(rows.latent[padded]), rows.mask[padded])[: len(chosen)]

    return torch.cat(batch.all(len(image), image.device, measure))

"""Out of valleys that a mask holds closed.

A clean pixel that a descent does not fit yet looks corrupted, so it pulls no more and is never
fitted. Such pixels are strokes and edges, few of them side by side; gross corruption mostly is not.
"""

import logging

import torch
from torch import Tensor

from rgi.inversion.areas import found_mask, regular_part, widened
from rgi.inversion.descent import AnyRows, search
from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem, Render
from rgi.inversion.progress import UNKEPT, Progress

logger = logging.getLogger(__name__)


def escape(
    problem: Problem, render: Render, rows: AnyRows, batch: Batch, progress: Progress = UNKEPT
) -> tuple[AnyRows, Tensor]:
    """Do the method's escapes, one after the other.

    In each the latent descends with the regular part of its mask given, widened, then with M
    eliminated; it goes on from there if the objective is lower than it was before.

    Args:
        problem: N images; a method with escapes.
        render: the generator.
        rows: N K descents, K of each image, an image's own beside each other; they escape one by
            one.
        batch: rows in one pass.
        progress: keeps what is reached.

    Returns:
        N K descents, and an image's passes with gradient, N, on the CPU.
    """
    count, each = len(problem.images), len(rows.latent) // len(problem.images)
    if each > 1:
        image = torch.arange(count, device=problem.images.device)
        problem = problem.rows(image.repeat_interleave(each))
    rows = rows.take(torch.arange(len(rows.latent), device=rows.latent.device))
    kept, done = progress.part("escapes"), 0
    saved = kept.take()
    if saved is None:
        value = _objective(problem, render, rows.latent, batch)
        passes = torch.zeros(len(value), dtype=torch.long)
    else:
        done, state, value, passes = saved
        rows = type(rows)(**state)
    kept.hold(lambda: (done, vars(rows), value, passes))
    for steps in problem.method.escapes[done:]:
        tried, spent = _try(problem, render, rows, steps, batch, progress)
        reached = _objective(problem, render, tried.latent, batch)
        lower = (reached < value).nonzero()[:, 0]
        rows.put(lower, tried.take(lower))
        value = torch.where(reached < value, reached, value)
        done, passes = done + 1, passes.cpu() + spent
        logger.info("%d of %d descents are lower after an escape", len(lower), len(value))
    return rows, passes.cpu().view(count, each).sum(1)


def _try(
    problem: Problem,
    render: Render,
    rows: AnyRows,
    steps: tuple[int, int],
    batch: Batch,
    progress: Progress,
) -> tuple[AnyRows, Tensor]:
    parts = [progress.part(f"escape, mask {state}") for state in ("held", "free")]
    regular = regular_part(found_mask(problem, render, rows.latent[:, None], batch))
    problems = [problem.holding(widened(regular)), problem]
    latents, passes = rows.latent, torch.zeros(len(regular), dtype=torch.long)
    for each, count, part in zip(problems, steps, parts, strict=True):
        stages = ((1, count),)
        descents = search(each, render, latents[:, None], stages, batch, part=part, known=rows)
        latents, passes = descents.rows.latent, passes + descents.passes
    for part in parts:
        part.drop()  # of this escape; the next one's are others
    return descents.rows, passes


def _objective(problem: Problem, render: Render, latents: Tensor, batch: Batch) -> Tensor:
    @torch.no_grad()
    def measure(chosen: Tensor, padded: Tensor) -> Tensor:
        part = problem.rows(padded)
        return part.objective(render(latents[padded]), part.given)[: len(chosen)]

    return torch.cat(batch.all(len(latents), latents.device, measure))

"""Out of valleys that a mask holds closed.

A clean pixel that a descent does not fit yet looks corrupted, so it pulls no more and is never
fitted. Such pixels are strokes and edges, few of them side by side; gross corruption mostly is not.
"""

import logging

import torch
from torch import Tensor

from rgi.inversion.areas import found_mask, regular_part, widened
from rgi.inversion.descent import search
from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem, Render
from rgi.inversion.progress import UNKEPT, Progress

logger = logging.getLogger(__name__)


def escape(
    problem: Problem, render: Render, latents: Tensor, batch: Batch, progress: Progress = UNKEPT
) -> tuple[Tensor, Tensor]:
    """Do the method's escapes, one after the other.

    In each the latent descends with the regular part of its mask given, widened, then with M
    eliminated; it goes on from there if the objective is lower than it was before.

    Args:
        problem: N images; a method with escapes.
        render: the generator.
        latents: N x K x d, K descents of each image, which escape one by one.
        batch: rows in one pass.
        progress: keeps what is reached.

    Returns:
        Latents, N x K x d, and passes with gradient, N, on the CPU.
    """
    count, descents = latents.shape[:2]
    image = torch.arange(count, device=latents.device).repeat_interleave(descents)
    each = problem if descents == 1 else problem.rows(image)
    kept, done = progress.part("escapes"), 0
    saved = kept.take()
    if saved is None:
        flat, passes = latents.flatten(0, 1), torch.zeros(len(image), dtype=torch.long)
        value = _objective(each, render, flat, batch)
    else:
        done, flat, value, passes = saved
    kept.hold(lambda: (done, flat, value, passes))
    for steps in problem.method.escapes[done:]:
        tried, spent = _try(each, render, flat, steps, batch, progress)
        reached = _objective(each, render, tried, batch)
        lower = reached < value
        flat, value = torch.where(lower[:, None], tried, flat), reached.minimum(value)
        done, passes = done + 1, passes.cpu() + spent
        logger.info("%d of %d descents are lower after an escape", lower.sum(), len(lower))
    return flat.unflatten(0, (count, descents)), passes.cpu().view(count, descents).sum(1)


def _try(
    problem: Problem,
    render: Render,
    latents: Tensor,
    steps: tuple[int, int],
    batch: Batch,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    parts = [progress.part(f"escape, mask {state}") for state in ("held", "free")]
    regular = regular_part(found_mask(problem, render, latents[:, None], batch))
    problems = [problem.holding(widened(regular)), problem]
    passes = torch.zeros(len(latents), dtype=torch.long)
    for each, count, part in zip(problems, steps, parts, strict=True):
        descents = search(each, render, latents[:, None], ((1, count),), batch, part=part)
        latents, passes = descents.rows.latent, passes + descents.passes
    for part in parts:
        part.drop()  # of this escape; the next one's are others
    return latents, passes


def _objective(problem: Problem, render: Render, latents: Tensor, batch: Batch) -> Tensor:
    @torch.no_grad()
    def measure(chosen: Tensor, padded: Tensor) -> Tensor:
        part = problem.rows(padded)
        return part.objective(render(latents[padded]), part.given)[: len(chosen)]

    return torch.cat(batch.all(len(latents), latents.device, measure))

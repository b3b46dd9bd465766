"""Out of valleys that a mask holds closed.

A clean pixel that a descent does not fit yet looks corrupted, so it pulls no more and is never
fitted. Such pixels are strokes and edges, few of them side by side; gross corruption mostly is not.
"""

import logging

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from rgi.inversion.descent import search
from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem, Render
from rgi.inversion.progress import UNKEPT, Progress

PART = 3 / 16  # side of a neighbourhood, as a part of the image's

logger = logging.getLogger(__name__)


def escape(
    problem: Problem, render: Render, latents: Tensor, batch: Batch, progress: Progress = UNKEPT
) -> tuple[Tensor, Tensor]:
    """Try the method's escapes, one after the other: latents that are no worse, and passes.

    In each the latent descends with the regular part of its mask given, then with M eliminated; it
    goes on from there if the objective is lower.

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
    each = problem.rows(image)
    kept = progress.part("escapes")
    begun = 0, latents.flatten(0, 1), torch.zeros(len(image), dtype=torch.long)
    done, flat, passes = kept.take() or begun
    kept.hold(lambda: (done, flat, passes))
    for steps in problem.method.escapes[done:]:
        tried, spent = _try(each, render, flat, steps, batch, progress)
        lower = _objective(each, render, tried, batch) < _objective(each, render, flat, batch)
        done, flat, passes = (
            done + 1,
            torch.where(lower[:, None], tried, flat),
            passes.cpu() + spent,
        )
        logger.info("%d of %d descents left their valley", lower.sum(), len(lower))
    return flat.unflatten(0, (count, descents)), passes.cpu().view(count, descents).sum(1)


def regular_part(mask: Tensor) -> Tensor:
    """The mask without its small parts, the others widened.

    Args:
        mask: N x H x W in [0, 1].

    Returns:
        N x H x W in {0, 1}: 1 near pixels in whose neighbourhood most are masked.
    """
    reach = max(1, round((PART * mask.shape[-1] - 1) / 2))
    side = 2 * reach + 1
    marked = (mask > 0.5).to(mask.dtype)[:, None]
    around = pad(marked, (reach,) * 4, mode="replicate")
    most = (avg_pool2d(around, side, 1) > 0.5).to(mask.dtype)
    return max_pool2d(most, side, 1, reach)[:, 0]


def _try(
    problem: Problem,
    render: Render,
    latents: Tensor,
    steps: tuple[int, int],
    batch: Batch,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    parts = [progress.part(f"escape, mask {state}") for state in ("held", "free")]
    problems = [problem.holding(regular_part(_mask(problem, render, latents, batch))), problem]
    passes = torch.zeros(len(latents), dtype=torch.long)
    for each, count, part in zip(problems, steps, parts, strict=True):
        descents = search(each, render, latents[:, None], ((1, count),), batch, part=part)
        latents, passes = descents.rows.latent, passes + descents.passes
    for part in parts:
        part.drop()  # of this escape; the next one's are others
    return latents, passes


def _mask(problem: Problem, render: Render, latents: Tensor, batch: Batch) -> Tensor:
    """M at its best for the exploration's lambda: for a small one nearly all misfit is masked."""
    exploring = problem.exploring()

    @torch.no_grad()
    def find(chosen: Tensor, padded: Tensor) -> Tensor:
        return exploring.rows(padded).best_mask(render(latents[padded]))[: len(chosen)]

    return torch.cat(batch.all(len(latents), latents.device, find))


def _objective(problem: Problem, render: Render, latents: Tensor, batch: Batch) -> Tensor:
    @torch.no_grad()
    def measure(chosen: Tensor, padded: Tensor) -> Tensor:
        part = problem.rows(padded)
        return part.objective(render(latents[padded]), part.given)[: len(chosen)]

    return torch.cat(batch.all(len(latents), latents.device, measure))

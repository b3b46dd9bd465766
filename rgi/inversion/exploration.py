"""All that a grid may share: starts, their halving, escapes, the area of the mask, settling.

Where it has a lambda of its own, it is done once for a whole grid.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from rgi.inversion.areas import area, found_mask
from rgi.inversion.descent import AnyRows, begin, search
from rgi.inversion.escapes import escape
from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem
from rgi.inversion.progress import Part, Progress
from rgi.inversion.start import start_latents
from rgi.models import Generator
from rgi.models.frozen import Frozen


@dataclass(frozen=True)
class Explored:
    """From where the stages that are left begin, for each of N images or lanes."""

    latents: Tensor  # N x K x d
    given: Tensor  # N x H x W: the true mask or an area
    passes: Tensor  # N, on the CPU
    stages: tuple[tuple[int, int], ...]  # that are left
    known: AnyRows | None = None  # N K descents that came there, if any did

    def of(self, lane: Tensor) -> Self:
        """The same for lanes, each of which goes on from its image's."""
        kept = torch.arange(self.latents.shape[1], device=lane.device)
        rows = (len(kept) * lane[:, None] + kept).flatten()
        return replace(
            self,
            latents=self.latents[lane],
            given=self.given[lane],
            passes=self.passes[lane.cpu()],
            known=None if self.known is None else self.known.take(rows),
        )


def explore(
    problem: Problem,
    generator: Generator,
    render: Frozen,
    index: Tensor,
    seed: int,
    batch: Batch,
    progress: Progress,
) -> Explored:
    """Find starts and do what comes before the last stage, where that is not its mere beginning.

    Args:
        problem: N images or lanes, as all that comes before the last stage sees them.
        generator: for the starts.
        render: the same, frozen.
        index: the images' rows in their data set, N.
        seed: of the starts.
        batch: rows in one pass.
        progress: keeps what is reached.
    """
    method, stages, known = problem.method, problem.method.stages, None
    pool = progress.part("pool")
    latents = start_latents(problem, generator, render, index, seed, batch, pool)
    passes = torch.zeros(len(latents), dtype=torch.long)
    if len(stages) > 1 and (method.explore_lam or method.escapes or method.area_masked):
        part, kept = progress.part("exploration"), stages[-1][0]
        descents = search(problem, render, latents, stages[:-1], batch, kept, part)
        known, passes, stages = descents.rows, descents.passes, stages[-1:]
    if method.escapes:
        known = begin(problem, render, latents, batch) if known is None else known
        known, spent = escape(problem, render, known, batch, progress)
        passes = passes + spent
    if known is not None:
        latents = known.latent.unflatten(0, (len(latents), -1))
    given = problem.given
    if method.area_masked:
        given = _area(problem, render, latents, batch, progress.part("area"))
    return Explored(latents, given, passes, stages, known)


def settle(
    problem: Problem, render: Frozen, found: Explored, batch: Batch, progress: Progress
) -> Explored:
    """Take the last stage's first passes at the exploration's lambda, before lambdas part.

    Args:
        problem: N images.
        render: the generator, frozen.
        found: by the exploration; the last stage is left.
        batch: rows in one pass.
        progress: keeps what is reached.
    """
    ((kept, steps),), shared = found.stages, problem.method.settling_passes
    there, part = problem.settling(found.given), progress.part("settling")
    latents, known = found.latents, found.known
    settled = search(there, render, latents, ((kept, shared),), batch, kept, part, known)
    return replace(
        found,
        latents=settled.rows.latent.view_as(latents),
        passes=found.passes + settled.passes,
        stages=((kept, steps - shared),),
        known=settled.rows,
    )


def _area(problem: Problem, render: Frozen, latents: Tensor, batch: Batch, part: Part) -> Tensor:
    # Kept: by another number of rows at a time rounding could decide otherwise on a pixel.
    found = part.take()
    if found is None:
        found = area(found_mask(problem, render, latents, batch))
    part.hold(lambda: found)
    return found

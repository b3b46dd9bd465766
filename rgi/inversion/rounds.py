"""Intermediate layer optimisation: after the latent, features are what descends, layer by layer.

With G = g_n o ... o g_1, a round at layer k starts from the features that the last round's result
gives there, drops g_1 to g_k and descends through the rest. Source: Daras et al. 2021 (ILO).
"""

import torch
from torch import Tensor, nn

from rgi.inversion.descent import Descents, Solution, search
from rgi.inversion.memory import Batch, OneBatch
from rgi.inversion.problem import Problem
from rgi.inversion.progress import UNKEPT, Progress
from rgi.models.frozen import Frozen


def finish_by_rounds(
    problem: Problem,
    generator: nn.Module,
    render: Frozen,
    descents: Descents,
    batch: Batch,
    progress: Progress = UNKEPT,
) -> Solution:
    """Do the method's rounds of features from each image's best latent, and read the result.

    A batch of images at a time: features and their moments are larger than latents by far.
    """
    rows = descents.rows

    def read(chosen: Tensor, padded: Tensor) -> tuple[Tensor, ...]:
        part = problem.rows(padded)
        restored, mask, passes = _rounds(part, render, rows.latent[padded], progress)
        score, objective = part.score(restored, mask), part.robust_fidelity(restored)
        found = restored, score, rows.latent[padded], objective, passes
        return tuple(tensor[: len(chosen)] for tensor in found)

    count, device = len(descents.passes), problem.images.device
    parts = batch.all(count, device, read, progress.part("results"))
    *columns, passes = (torch.cat(column) for column in zip(*parts, strict=True))
    return Solution(*columns, passes=descents.passes + passes.cpu())


def _rounds(
    problem: Problem, render: Frozen, latent: Tensor, progress: Progress
) -> tuple[Tensor, Tensor, Tensor]:
    """Images, masks and passes of some latents N x d after all rounds."""
    kept, descent = progress.part("rounds"), progress.part("round")
    rounds, together = problem.method.rounds, OneBatch(len(latent))
    layers = 0, *(layer for layer, _ in rounds)
    nothing = torch.zeros(len(latent), dtype=torch.long)
    # Taken once: where memory then runs out, fewer rows begin anew.
    done, variable, passes = kept.take() or (0, latent, nothing)
    try:
        while done < len(rounds):
            kept.hold(lambda state=(done, variable, passes): state)
            layer, steps = rounds[done]
            with torch.no_grad():
                begun = render[layers[done] : layer](variable)
            part, rest = problem.in_round(layer, steps), render[layer:]
            descents = search(part, rest, begun[:, None], ((1, steps),), together, part=descent)
            done, variable = done + 1, descents.rows.latent
            passes = passes.cpu() + descents.passes  # a checkpoint's are on the problem's device
    finally:
        kept.drop()
        descent.drop()
    with torch.no_grad():
        # A checkpoint's come back on the problem's device, and have to be joined with these.
        return rest(variable), descents.rows.mask, passes.to(variable.device)

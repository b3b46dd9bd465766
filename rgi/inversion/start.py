"""Where the inversion starts: the best of many Gaussian latents under the method's own loss."""

import numpy as np
import torch
from torch import Tensor

from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem, Render
from rgi.inversion.progress import UNKEPT_PART, Part
from rgi.models import Generator


def start_latents(
    problem: Problem,
    generator: Generator,
    render: Render,
    index: Tensor,
    seed: int,
    batch: Batch,
    part: Part = UNKEPT_PART,
) -> Tensor:
    """The first latents of each image, N x K x d, best first, K as the first stage says.

    One pool is drawn from the seed and shared by all images. Without a pool (`pool` 0) each image's
    latents are drawn from (seed, index). What an encoder makes of the image, if the method asks for
    it, stands first: its loss, compared with a pool's, says little of what can be reached from it.
    """
    others = _gaussian_starts(problem, generator, render, index, seed, batch, part)
    if not problem.method.encoded_start:
        return others
    return torch.cat([_encoded(problem, batch)[:, None], others], 1)


def _gaussian_starts(
    problem: Problem,
    generator: Generator,
    render: Render,
    index: Tensor,
    seed: int,
    batch: Batch,
    part: Part,
) -> Tensor:
    method, device = problem.method, problem.images.device
    dimension = generator.latent_dim
    starts = method.stages[0][0] - method.encoded_start
    if method.pool == 0:
        drawn = [_gaussian(starts, dimension, [seed, int(row)]) for row in index]
        return torch.stack(drawn).to(device)
    pool = _gaussian(method.pool, dimension, [seed]).to(device)

    @torch.no_grad()
    def judged(chosen: Tensor, padded: Tensor) -> Tensor:
        return _losses(problem, render(pool[padded]))[:, : len(chosen)]

    losses = torch.cat(batch.all(len(pool), device, judged, part), 1)
    return pool[losses.topk(starts, largest=False).indices]


def _encoded(problem: Problem, batch: Batch) -> Tensor:
    """The latents that the encoder makes of the images, N x d."""

    @torch.no_grad()
    def encode(chosen: Tensor, padded: Tensor) -> Tensor:
        return problem.encoder(problem.rows(padded).pictures())[: len(chosen)]

    return torch.cat(batch.all(len(problem.images), problem.images.device, encode))


def _losses(problem: Problem, candidates: Tensor) -> Tensor:
    """Loss of every image (N) with every candidate (P): N x P; a loop bounds the memory."""
    everyone = range(len(problem.images))
    rows = [torch.full((len(candidates),), row, device=candidates.device) for row in everyone]
    return torch.stack([problem.rows(row).robust_fidelity(candidates) for row in rows])


def _gaussian(count: int, latent_dim: int, seed: list[int]) -> Tensor:
    # Drawn on the CPU: the same numbers whatever the device.
    drawn = np.random.default_rng(seed).standard_normal((count, latent_dim), dtype=np.float32)
    return torch.from_numpy(drawn)

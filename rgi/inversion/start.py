"""Where the inversion starts: the best of many Gaussian latents under the method's own loss."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rgi.inversion.methods import Method
from rgi.inversion.objective import masked_fidelity, pixel_error, profile_fidelity

# Fixed, so that the pool's images do not depend on how many images are inverted together.
_CHUNK = 64


def start_latents(
    images: Tensor,
    render: Callable[[Tensor], Tensor],
    latent_dim: int,
    method: Method,
    lam: Tensor,
    given: Tensor | None,
    index: Tensor,
    seed: int,
) -> Tensor:
    """The first latent of each image, N x d.

    One pool is drawn from the seed and shared; the robust loss (eq. 6) judges it for methods with
    a learned mask, so that gross corruption does not choose the start. Without a pool (`pool` 0)
    each image's latent is drawn from (seed, index).
    """
    if method.pool == 0:
        drawn = [_gaussian(1, latent_dim, [seed, int(row)]) for row in index]
        return torch.cat(drawn).to(images.device)
    pool = _gaussian(method.pool, latent_dim, [seed]).to(images.device)
    with torch.no_grad():
        losses = torch.cat(
            [_losses(images, render(part), method, lam, given) for part in pool.split(_CHUNK)], 1
        )
    return pool[losses.argmin(1)].clone()


def _losses(
    images: Tensor, candidates: Tensor, method: Method, lam: Tensor, given: Tensor | None
) -> Tensor:
    """Loss of every image (N) with every candidate (P): N x P; a loop bounds the memory."""
    rows = []
    for row, image in enumerate(images):
        error = pixel_error(image - candidates, method.fidelity)
        if method.learns_mask:
            rows.append(profile_fidelity(error, lam[row].expand(len(error)), method.fidelity))
        else:
            mask = given[row] if method.needs_mask else torch.zeros_like(error[0])
            rows.append(masked_fidelity(error, mask, method.fidelity))
    return torch.stack(rows)


def _gaussian(count: int, latent_dim: int, seed: list[int]) -> Tensor:
    # Drawn on the CPU: the same numbers whatever the device.
    drawn = np.random.default_rng(seed).standard_normal((count, latent_dim), dtype=np.float32)
    return torch.from_numpy(drawn)

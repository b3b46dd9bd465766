"""The terms of the objective, one value per image; sums over pixels, means over nothing."""

from typing import Literal

import torch
from torch import Tensor

Fidelity = Literal["l2", "l1"]


def pixel_error(residual: Tensor, fidelity: Fidelity) -> Tensor:
    """Error of each pixel, channels summed: r^2 (l2) or |r| (l1).

    Args:
        residual: ... x C x H x W.

    Returns:
        ... x H x W, since the mask is shared by the channels of a pixel.
    """
    return (residual.square() if fidelity == "l2" else residual.abs()).sum(-3)


def masked_fidelity(error: Tensor, mask: Tensor, fidelity: Fidelity) -> Tensor:
    """||(1 - M) r||^2 or ||(1 - M) r||_1 of each image (RGI, eq. 3).

    Args:
        error: pixel errors, N x H x W.
        mask: M in [0, 1], N x H x W, 1 = ignored.

    Returns:
        N values.
    """
    kept = (1 - mask).square() if fidelity == "l2" else 1 - mask
    return (kept * error).sum((-2, -1))


def closed_form_mask(error: Tensor, lam: Tensor, fidelity: Fidelity) -> Tensor:
    """The mask that minimises eq. 3 for fixed G(z) (RGI, appendix B).

    l2: M = max(0, 1 - lam / (2 r^2)). l1: M = 1 where |r| > lam, else 0.

    Args:
        error: pixel errors, N x H x W.
        lam: sparsity weight > 0, one per image (N).
    """
    threshold = lam[:, None, None]
    if fidelity == "l2":
        return (1 - threshold / (2 * error).clamp_min(torch.finfo(error.dtype).tiny)).clamp_min(0)
    return (error > threshold).to(error.dtype)


def profile_fidelity(error: Tensor, lam: Tensor, fidelity: Fidelity) -> Tensor:
    """min over M of eq. 3, pixel by pixel: eq. 6 for l2, min(|r|, lam) for l1.

    Args:
        error: pixel errors, N x H x W.
        lam: sparsity weight > 0, one per image (N).

    Returns:
        N values.
    """
    threshold = lam[:, None, None]
    if fidelity == "l1":
        return error.minimum(threshold).sum((-2, -1))
    # The clamp keeps the branch that `where` drops finite, and with it the gradient.
    beyond = threshold - threshold.square() / (4 * error.maximum(threshold / 2))
    return torch.where(2 * error < threshold, error, beyond).sum((-2, -1))

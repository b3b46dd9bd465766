"""LPIPS: the distance of two images as a network sees it."""

import numpy as np
import torch
from numpy.typing import ArrayLike

from rgi.errors import InputError
from rgi.models.perceptual import perceptual_network

BATCH = 32


def perceptual_distance(restored: ArrayLike, clean: ArrayLike) -> np.ndarray:
    """N values of LPIPS; see `rgi.evaluation.lpips`."""
    restored, clean = (torch.as_tensor(x).detach().cpu().float() for x in (restored, clean))
    if restored.shape != clean.shape or restored.ndim != 4 or restored.shape[1] not in (1, 3):
        raise InputError(
            f"lpips: images have shapes {tuple(restored.shape)} and {tuple(clean.shape)}; "
            "expected the same N x C x H x W with C = 1 or 3"
        )
    network = perceptual_network()
    with torch.no_grad():
        values = [
            network(a, b).double()
            for a, b in zip(restored.split(BATCH), clean.split(BATCH), strict=True)
            if len(a)
        ]
    return torch.cat(values).numpy() if values else np.zeros(0)

"""What every training is guarded against: images that do not fit, divergence."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from rgi.errors import InputError


def check_images(images: np.ndarray, side: int, channels: int) -> None:
    """Check that images are uint8 N x side x side x channels, N at least 1.

    Raises:
        InputError: they are not.
    """
    if images.dtype != np.uint8 or images.shape[1:] != (side, side, channels) or not len(images):
        raise InputError(
            f"images: {images.dtype} {images.shape}; allowed: uint8 N x {side} x {side} x "
            f"{channels} with N at least 1"
        )


def check_finite(
    measures: Mapping[str, float],
    networks: Mapping[str, nn.Module],
    steps: int,
    learning_rate: float,
) -> None:
    """Refuse a state from which nothing good can follow.

    Raises:
        InputError: a measure or a weight is not finite.
    """
    bad = [name for name, mean in measures.items() if not math.isfinite(mean)]
    for name, network in networks.items():
        weights = network.state_dict().values()
        if not torch.stack([weight.isfinite().all() for weight in weights]).all():
            bad.append(f"a weight of the {name}")
    if bad:
        raise InputError(
            f"training diverged: {bad[0]} is not finite after {steps} steps; lower "
            f"learning_rate (now {learning_rate:g}) or change the seed"
        )

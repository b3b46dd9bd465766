"""More images out of few, as an autoencoder is trained on: crops, mirror images, turns, shifts."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rgi.data.arrays import to_tensor
from rgi.training.autoencoder_settings import AutoencoderSettings


def augment(
    images: np.ndarray, side: int, settings: AutoencoderSettings, random: torch.Generator
) -> Tensor:
    """Draw one variant of each image.

    Args:
        images: uint8 N x H x W x C.
        side: of the crops in pixels, at most H and W.
        settings: how far images are turned and moved, and whether they are mirrored.
        random: draws everything; the same state gives the same variants.

    Returns:
        N x C x side x side in [0, 1].
    """
    seen = to_brightness(_cropped(images, side, random))
    if settings.mirror:
        flip = torch.rand(len(seen), generator=random) < 0.5
        seen = torch.where(flip[:, None, None, None], seen.flip(-1), seen)
    if settings.rotation or settings.translation:
        seen = _moved(seen, settings, random)
    return seen


def to_brightness(images: np.ndarray) -> Tensor:
    """uint8 N x H x W x C to N x C x H x W in [0, 1]."""
    return (to_tensor(images) + 1) / 2


def _cropped(images: np.ndarray, side: int, random: torch.Generator) -> np.ndarray:
    count, height, width, _ = images.shape
    tops = torch.randint(height - side + 1, (count,), generator=random).tolist()
    lefts = torch.randint(width - side + 1, (count,), generator=random).tolist()
    places = zip(images, tops, lefts, strict=True)
    return np.stack([image[y : y + side, x : x + side] for image, y, x in places])


def _moved(images: Tensor, settings: AutoencoderSettings, random: torch.Generator) -> Tensor:
    """Turn and shift bilinearly; what comes in from outside is the image mirrored at its border."""
    angle, right, down = 2 * torch.rand(3, len(images), generator=random) - 1
    angle = angle * math.radians(settings.rotation)
    # grid_sample's image is 2 wide, from -1 to 1.
    right, down = 2 * settings.translation * right, 2 * settings.translation * down
    first = torch.stack([angle.cos(), -angle.sin(), right], dim=1)
    second = torch.stack([angle.sin(), angle.cos(), down], dim=1)
    grid = F.affine_grid(
        torch.stack([first, second], dim=1), list(images.shape), align_corners=False
    )
    moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    return moved.clamp(0, 1)  # rounding

"""Structural dissimilarity as a map: a loss that has a gradient, and a map of what is anomalous."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Of images in [0, 1] (Wang et al. 2004).
LUMINANCE = 0.01**2
CONTRAST = 0.03**2


def dssim(images: Tensor, others: Tensor, window: int) -> Tensor:
    """(1 - SSIM) / 2 around each pixel and channel, differentiable; 0 where both are equal.

    1 - 2 dssim is the full map of scikit-image's structural_similarity in its default form: uniform
    window, sample covariance, borders mirrored.

    Args:
        images: N x C x H x W in [0, 1].
        others: the same shape.
        window: side of the square around a pixel, odd, at most H and W; 11 in Bergmann et al. 2018.

    Returns:
        N x C x H x W in [0, 1].
    """
    mean, other_mean = _local_mean(images, window), _local_mean(others, window)
    unbiased = window**2 / (window**2 - 1)
    variance = unbiased * (_local_mean(images.square(), window) - mean.square())
    other_variance = unbiased * (_local_mean(others.square(), window) - other_mean.square())
    covariance = unbiased * (_local_mean(images * others, window) - mean * other_mean)
    luminance = (2 * mean * other_mean + LUMINANCE) / (
        mean.square() + other_mean.square() + LUMINANCE
    )
    contrast = (2 * covariance + CONTRAST) / (variance + other_variance + CONTRAST)
    return (1 - luminance * contrast) / 2


def _local_mean(images: Tensor, window: int) -> Tensor:
    return F.avg_pool2d(_mirrored(images, window // 2), window, stride=1)


def _mirrored(images: Tensor, margin: int) -> Tensor:
    """Mirror images at their borders, the outermost pixels twice (F.pad: once)."""
    for dimension in (-2, -1):
        side = images.shape[dimension]
        places = torch.arange(-margin, side + margin, device=images.device)
        places = torch.where(places < 0, -1 - places, places)
        places = torch.where(places >= side, 2 * side - 1 - places, places)
        images = images.index_select(dimension, places)
    return images

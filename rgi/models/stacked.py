"""A generator many times over, each with weights of its own, as one differentiable function."""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from rgi.models.frozen import leaky_norm
from rgi.models.progressive import (
    EqualisedConv,
    EqualisedDense,
    Generator,
    clamped,
    pixel_norm,
)


@dataclass(frozen=True)
class StackedLayer:
    """One layer of N generators; all N convolutions are one grouped convolution."""

    weight: Tensor  # N x outputs x inputs x k x k, scaled by the layer's constant
    bias: Tensor  # N x outputs
    constant: float  # He's, see EqualisedConv

    @classmethod
    def of(cls, layer: EqualisedConv | EqualisedDense, count: int) -> Self:
        """So many equal copies of a layer, as leaves that require gradients."""
        weight = layer.weight.detach() * layer.constant
        # A stacked product would round a row by its place for some latent sizes.
        kernel = weight if weight.ndim == 4 else weight[..., None, None]
        # Not cloned: a copy with the strides of channels last is not what fused Adam takes it for.
        weight, bias = (
            tensor.repeat(count, *[1] * tensor.ndim).requires_grad_()
            for tensor in (kernel, layer.bias.detach())
        )
        return cls(weight, bias, layer.constant)

    def __call__(self, features: Tensor) -> Tensor:
        """N x inputs x H x W -> N x outputs x H x W, row by row."""
        count, kernel = len(self.weight), self.weight.shape[-1]
        made = F.conv2d(
            features.reshape(1, -1, *features.shape[2:]),
            self.weight.flatten(0, 1),
            self.bias.flatten(),
            padding=kernel // 2,
            groups=count,
        )
        return made.view(count, -1, *made.shape[2:])


def _upsampled(features: Tensor) -> Tensor:
    """As progressive.upsample; forward and back in half to a third of its time on one thread."""
    wide = torch.stack([features, features], -1).flatten(-2)
    return torch.stack([wide, wide], -2).flatten(-3, -2)


@dataclass(frozen=True)
class Stacked:
    """N generators: N latents, N x d, become an image of each, N x C x H x W."""

    layers: tuple[StackedLayer, ...]  # dense, convolution, two for each doubling, toRGB

    def __call__(self, latent: Tensor) -> Tensor:
        """As `Generator.forward`, each row by its own weights."""
        dense, first, *doubling, to_rgb = self.layers
        features = dense(pixel_norm(latent)[..., None, None])
        features = leaky_norm(features.reshape(len(latent), -1, 4, 4))
        features = leaky_norm(first(features))
        for enlarged, second in zip(doubling[::2], doubling[1::2], strict=True):
            features = leaky_norm(enlarged(_upsampled(features)))
            features = leaky_norm(second(features))
        return clamped(to_rgb(features))


def stacked(generator: Generator, count: int) -> Stacked:
    """So many copies of a generator; layers that take no part in an image are left out."""
    layers = [generator.dense, generator.conv]
    for block in generator.blocks:
        layers += [block.first, block.second]
    layers.append(generator.to_rgb[-1])
    return Stacked(tuple(StackedLayer.of(layer, count) for layer in layers))

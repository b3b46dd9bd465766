"""Trained networks as fixed functions, for inversion: values and input gradients, only faster.

Nothing is approximated; a result differs from the network's own by rounding alone.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from rgi.errors import InputError
from rgi.models.progressive import (
    SLOPE,
    Discriminator,
    EqualisedConv,
    EqualisedDense,
    Generator,
    GeneratorBlock,
    clamped,
    pixel_norm,
)

Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Frozen:
    """A generator G = g_n o ... o g_1 as the functions g_1 to g_n, one after the other.

    g_1 makes features of 4 x 4 pixels of the latent, each further one doubles them, and g_n paints
    the image. Slices are functions, too: [k:] makes images of the features that [:k] makes.
    """

    layers: tuple[Layer, ...]

    def __call__(self, variable: Tensor) -> Tensor:
        """What the layers make of a latent N x d or features N x K x H x W."""
        for layer in self.layers:
            variable = layer(variable)
        return variable

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, some: slice) -> Self:
        return replace(self, layers=self.layers[some])


def frozen(generator: Generator) -> Frozen:
    """The generator as a function of the latent; later changes of its weights have no effect.

    Weights are scaled once, not at every pass, and have no gradient; upsampling and the convolution
    after it become one transposed convolution; activation and pixel norm store one tensor.

    Raises:
        InputError: a generator that computes something of its own.

    Returns:
        latent N x d -> images N x C x H x W, as `generator(latent)`.
    """
    if type(generator).forward is not Generator.forward:
        raise InputError(f"generator: {type(generator).__name__}; allowed: rgi.models.Generator")
    layers = [_start(generator)]
    layers += [_doubled(block) for block in generator.blocks]
    layers.append(_painted(generator.to_rgb[-1]))
    return Frozen(tuple(layers))


def _start(generator: Generator) -> Layer:
    # A 1 x 1 convolution: MKL's product for F.linear rounds a row by its place in the batch for
    # some small latents (5 to 7, 9 to 11).
    weight, bias = _scaled(generator.dense)
    dense = weight[..., None, None], bias
    first = _scaled(generator.conv)
    layout = _layout(weight)

    def start(latent: Tensor) -> Tensor:
        features = F.conv2d(pixel_norm(latent)[..., None, None], *dense)
        features = features.reshape(len(latent), -1, 4, 4).contiguous(memory_format=layout)
        features = leaky_norm(features)
        return leaky_norm(F.conv2d(features, *first, padding=1))

    return start


def _doubled(block: GeneratorBlock) -> Layer:
    doubling, second = _doubling(*_scaled(block.first)), _scaled(block.second)
    layout = _layout(second[0])

    def double(features: Tensor) -> Tensor:
        features = features.contiguous(memory_format=layout)
        features = F.conv_transpose2d(features, *doubling, stride=2, padding=1)
        features = leaky_norm(features)
        return leaky_norm(F.conv2d(features, *second, padding=1))

    return double


def _painted(to_rgb: EqualisedConv) -> Layer:
    last = _scaled(to_rgb)
    layout = _layout(last[0])

    def paint(features: Tensor) -> Tensor:
        return clamped(F.conv2d(features.contiguous(memory_format=layout), *last).contiguous())

    return paint


def frozen_critic(discriminator: Discriminator, device: torch.device) -> Discriminator:
    """A copy of the discriminator on a device, in eval mode, whose weights have no gradient."""
    fixed = copy.deepcopy(discriminator).to(device).eval().requires_grad_(False)
    return fixed.to(memory_format=_layout(fixed.conv.weight))


def _layout(weight: Tensor) -> torch.memory_format:
    """Channels last on the CPU, where it saves every convolution two reorderings."""
    return torch.channels_last if weight.device.type == "cpu" else torch.contiguous_format


@torch.no_grad()
def _scaled(layer: EqualisedConv | EqualisedDense) -> tuple[Tensor, Tensor]:
    weight = layer.weight * layer.constant
    if weight.ndim == 4:
        weight = weight.contiguous(memory_format=_layout(weight))
    return weight, layer.bias.detach().clone()


def _doubling(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Upsampling, then 3 x 3 convolution: one transposed 4 x 4 convolution with stride 2.

    Of the nine pixels under a kernel only four differ; the weights of equal ones are summed.
    """
    pairs = weight.new_ones(1, 1, 2, 2)
    summed = F.conv2d(weight.flatten(0, 1)[:, None], pairs, padding=1)
    kernel = summed.view(*weight.shape[:2], 4, 4).flip(2, 3).transpose(0, 1)
    return kernel.contiguous(memory_format=_layout(kernel)), bias


def leaky_norm(features: Tensor) -> Tensor:
    """Leaky ReLU, then pixel norm: N x K x H x W, as progressive.GeneratorBlock has them."""
    return _LeakyNorm.apply(features)


class _LeakyNorm(torch.autograd.Function):
    """Leaky ReLU, then pixel norm; the output alone is kept for the way back.

    With y = a r, r = (mean a^2 + eps)^(-1/2): da = r (dy - y mean(y dy)), exact with the eps. The
    sign of y is the sign of the input.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        features = F.leaky_relu(features, SLOPE)
        scale = features.square().mean(1, keepdim=True).add_(1e-8).rsqrt_()
        features.mul_(scale)
        ctx.save_for_backward(features, scale)
        return features

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        features, scale = ctx.saved_tensors
        along = (gradient * features).mean(1, keepdim=True)
        inner = torch.addcmul(gradient, features, along, value=-1).mul_(scale)
        return torch.ops.aten.leaky_relu_backward(inner, features, SLOPE, True)  # no such in F

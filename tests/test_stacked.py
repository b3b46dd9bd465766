"""Generators stacked into one function: each row is the generator that has its weights."""

import pytest
import torch

from rgi.models import Architecture, Generator
from rgi.models.stacked import stacked

ARCHITECTURES = {
    8: Architecture(8, 1, 6, (12, 7)),
    16: Architecture(16, 3, 5, (48, 32, 16)),
    32: Architecture(32, 3, 33, (64, 64, 64, 32)),
}
SIZES = pytest.mark.parametrize("resolution", ARCHITECTURES)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def differing(resolution, count):
    """A stack of generators, no two alike."""
    render = stacked(Generator(ARCHITECTURES[resolution], seed=1).double().eval(), count)
    with torch.no_grad():
        for number, layer in enumerate(render.layers):
            layer.weight.add_(0.02 * normal(*layer.weight.shape, seed=number))
            layer.bias.add_(0.3 * normal(*layer.bias.shape, seed=number))
    return render


def alone(render, row, resolution):
    """The generator of one row, by the names of its own weights."""
    generator = Generator(ARCHITECTURES[resolution]).double().eval()
    used = [generator.dense, generator.conv]
    used += [layer for block in generator.blocks for layer in (block.first, block.second)]
    used.append(generator.to_rgb[-1])
    with torch.no_grad():
        for layer, own in zip(used, render.layers, strict=True):
            layer.weight.copy_(own.weight[row].view_as(layer.weight) / layer.constant)
            layer.bias.copy_(own.bias[row])
    return generator, used


@SIZES
def test_each_row_is_the_generator_with_its_weights(resolution):
    render, latent = differing(resolution, 3), normal(3, ARCHITECTURES[resolution].latent_dim)
    latent = latent.double()
    for row, image in enumerate(render(latent)):
        generator, _ = alone(render, row, resolution)
        torch.testing.assert_close(image, generator(latent[row : row + 1])[0])


@SIZES
def test_gradients_are_those_of_each_generator(resolution):
    """Of the latent and, by the chain rule for what scales them, of all weights."""
    render = differing(resolution, 2)
    latent = normal(2, ARCHITECTURES[resolution].latent_dim).double().requires_grad_()
    tensors = [tensor for layer in render.layers for tensor in (layer.weight, layer.bias)]
    of_latent, *found = torch.autograd.grad(render(latent).square().sum(), [latent, *tensors])
    for row in range(2):
        generator, used = alone(render, row, resolution)
        own = latent.detach()[row : row + 1].requires_grad_()
        weights = [tensor for layer in used for tensor in (layer.weight, layer.bias)]
        expected, *each = torch.autograd.grad(generator(own).square().sum(), [own, *weights])
        torch.testing.assert_close(of_latent[row], expected[0])
        scales = [scale for layer in used for scale in (layer.constant, 1.0)]
        for gradient, known, scale in zip(found, each, scales, strict=True):
            torch.testing.assert_close(gradient[row].view_as(known), known / scale)


@SIZES
def test_a_row_does_not_depend_on_its_place_or_on_the_others(resolution):
    render = stacked(Generator(ARCHITECTURES[resolution], seed=1).eval(), 4)
    first, other = normal(2, ARCHITECTURES[resolution].latent_dim)
    images = [
        render(torch.stack(latents))
        for latents in ([first] * 4, [first, other, other, other], [other, other, other, first])
    ]
    assert torch.equal(images[0][0], images[1][0])
    assert torch.equal(images[0][3], images[2][3])
    assert torch.equal(images[0][0], images[0][3])

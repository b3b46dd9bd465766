"""The frozen networks are the trained ones: same values, same input gradients."""

import pytest
import torch

from rgi.models import Architecture, Discriminator, Generator
from rgi.models.frozen import frozen, frozen_critic

ARCHITECTURES = {
    8: Architecture(8, 1, 6, (12, 7)),
    16: Architecture(16, 3, 5, (48, 32, 16)),
    32: Architecture(32, 3, 33, (64, 64, 64, 32)),
    64: Architecture(64, 1, 9, (24, 16, 9, 16, 8)),
}
CPU = torch.device("cpu")
SIZES = pytest.mark.parametrize("resolution", ARCHITECTURES)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(kind, resolution):
    """A network whose biases, zero at the start of training, are not."""
    module = kind(ARCHITECTURES[resolution], seed=1).eval()
    with torch.no_grad():
        for name, value in module.named_parameters():
            if name.endswith("bias"):
                value.copy_(0.3 * normal(*value.shape, seed=len(name)))
    return module


def value_and_gradient(function, argument):
    argument = argument.clone().requires_grad_()
    value = function(argument)
    (gradient,) = torch.autograd.grad(value.square().sum(), argument)
    return value.detach(), gradient


def assert_equal_up_to(relative, function, reference, argument):
    """Value and gradient, each relative to its largest number."""
    pairs = zip(
        value_and_gradient(function, argument),
        value_and_gradient(reference, argument),
        strict=True,
    )
    for found, expected in pairs:
        assert (found - expected).abs().max() <= relative * expected.abs().max()


# Gradients are compared in double precision: in single, rounding now and then moves an activation
# across the kink of the leaky ReLU, in any two implementations.
@SIZES
def test_frozen_generator_equals_the_generator(resolution):
    generator = network(Generator, resolution).double()
    latents = normal(5, generator.latent_dim).double()
    assert (generator(latents).abs() == 1).any()  # clamped pixels are among them
    assert_equal_up_to(1e-11, frozen(generator), generator, latents)


@SIZES
def test_frozen_generator_in_single_precision(resolution):
    generator = network(Generator, resolution)
    latents = normal(5, generator.latent_dim)
    images = frozen(generator)(latents)
    assert images.is_contiguous()
    torch.testing.assert_close(images, generator(latents), rtol=0, atol=2e-5)


@SIZES
def test_a_frozen_generator_may_be_split_at_every_layer(resolution):
    generator = network(Generator, resolution)
    render, latents = frozen(generator), normal(5, generator.latent_dim)
    images = render(latents)
    assert len(render) == generator.architecture.levels + 1
    for layer in range(1, len(render)):
        features = render[:layer](latents)
        width = generator.architecture.widths[layer - 1]
        assert features.shape == (5, width, *2 * (4 * 2 ** (layer - 1),))
        assert torch.equal(render[layer:](features), images)
        assert torch.equal(render[layer:](features.contiguous()), images)


def test_frozen_critic_is_where_the_computation_is():
    """And the discriminator stays where it was."""
    discriminator = network(Discriminator, 8)
    assert frozen_critic(discriminator, torch.device("meta")).conv.weight.is_meta
    assert not discriminator.conv.weight.is_meta


@SIZES
def test_frozen_critic_equals_the_discriminator(resolution):
    discriminator = network(Discriminator, resolution).double()
    images = normal(5, discriminator.channels, resolution, resolution).double()
    critic = frozen_critic(discriminator, CPU)
    assert_equal_up_to(1e-11, critic, discriminator, images)
    assert_equal_up_to(
        1e-11,
        lambda images: critic.features(images)[-1],
        lambda images: discriminator.features(images)[-1],
        images,
    )


@SIZES
@pytest.mark.parametrize("batch", [4, 16])
def test_a_row_has_the_same_bits_wherever_it_is_and_whoever_its_mates_are(resolution, batch):
    render = frozen(network(Generator, resolution))
    critic = frozen_critic(network(Discriminator, resolution), CPU)

    def gradient(latents):
        return value_and_gradient(lambda latents: critic(render(latents)), latents)[1]

    latents = normal(batch, ARCHITECTURES[resolution].latent_dim)
    expected = gradient(latents)
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(2))
    assert torch.equal(gradient(latents[order]), expected[order])
    alone = latents[-1:].expand(batch, -1)
    assert torch.equal(gradient(alone)[0], expected[-1])


def test_freezing_leaves_the_networks_as_they_are():
    generator, discriminator = network(Generator, 8), network(Discriminator, 8).train()
    render, critic = frozen(generator), frozen_critic(discriminator, CPU)
    latents = normal(2, generator.latent_dim)
    before = render(latents)
    assert all(value.requires_grad for value in generator.parameters())
    assert discriminator.training and not critic.training
    with torch.no_grad():
        for value in generator.parameters():
            value.zero_()
    assert torch.equal(render(latents), before)

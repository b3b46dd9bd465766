"""The autoencoder of Bergmann et al. 2018 in four kinds, DSSIM, and its file."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import nn

from rgi.errors import InputError
from rgi.models import (
    Autoencoder,
    AutoencoderArchitecture,
    Generator,
    load_autoencoder,
    load_generator,
    save_autoencoder,
    save_generator,
)
from rgi.models.autoencoder import KINDS, VARIATIONAL, evidence_loss, latent_divergence
from rgi.models.dssim import dssim
from rgi.models.progressive import Architecture

# Table 1 of Bergmann et al. 2018: output side, feature maps, kernel, stride of each layer.
PUBLISHED = [
    (64, 32, 4, 2),
    (32, 32, 4, 2),
    (32, 32, 3, 1),
    (16, 64, 4, 2),
    (16, 64, 3, 1),
    (8, 128, 4, 2),
    (8, 64, 3, 1),
    (8, 32, 3, 1),
    (1, 100, 8, 1),
]


def small(kind, **changes):
    shape = {"resolution": 16, "channels": 1, "latent_dim": 5, "widths": (8, 8), "window": 7}
    return Autoencoder(AutoencoderArchitecture(kind, **{**shape, **changes}), seed=1)


def uniform(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# DSSIM


@pytest.mark.parametrize("window", [3, 7, 11])
@pytest.mark.parametrize("channels", [1, 3])
def test_dssim_is_that_of_scikit_image_borders_included(window, channels):
    images, others = uniform(2, channels, 16, 12), uniform(2, channels, 16, 12, seed=1)
    found = dssim(images, others, window).numpy()
    for a, b, own in zip(images.numpy(), others.numpy(), found, strict=True):
        _, full = structural_similarity(
            a, b, win_size=window, data_range=1, channel_axis=0, full=True
        )
        np.testing.assert_allclose(1 - 2 * own, full, atol=2e-5)


def test_dssim_of_equal_images_is_zero():
    images = uniform(2, 1, 16, 16)
    torch.testing.assert_close(dssim(images, images, 7), torch.zeros(2, 1, 16, 16))


def test_dssim_has_the_gradient_of_finite_differences():
    images, others = (uniform(1, 1, 5, 5, seed=n).double().requires_grad_() for n in (0, 1))
    assert torch.autograd.gradcheck(lambda a, b: dssim(a, b, 3), (images, others))


# Architecture


def test_the_encoder_is_table_1_of_the_paper_and_the_decoder_its_reverse():
    autoencoder = Autoencoder(AutoencoderArchitecture("l2-ae", resolution=128, channels=1))
    features, found = uniform(1, 1, 128, 128), []
    for layer in autoencoder.encoder:
        features = layer(features)
        if isinstance(layer, nn.Conv2d):
            shape = (features.shape[-1], features.shape[1])
            found.append((*shape, layer.kernel_size[0], layer.stride[0]))
    assert found == PUBLISHED
    back = [x for x in autoencoder.decoder if isinstance(x, nn.Conv2d | nn.ConvTranspose2d)]
    there = [x for x in autoencoder.encoder if isinstance(x, nn.Conv2d)]
    for layer, mirrored in zip(back, reversed(there), strict=True):
        assert layer.in_channels == mirrored.out_channels
        assert layer.out_channels == mirrored.in_channels
        assert layer.kernel_size == mirrored.kernel_size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("widths", [(8,), (8, 8), (4, 8)])
def test_every_kind_reconstructs_images_of_its_size(kind, widths):
    autoencoder = small(kind, widths=widths, channels=3)
    assert autoencoder(uniform(2, 3, 16, 16)).shape == (2, 3, 16, 16)
    assert autoencoder.encode(uniform(2, 3, 16, 16))[0].shape == (2, 5)


def test_initial_weights_keep_the_size_of_features():
    autoencoder = Autoencoder(AutoencoderArchitecture("l2-ae", resolution=64, channels=1))
    with torch.no_grad():
        latent = autoencoder.encode(uniform(8, 1, 64, 64) - 0.5)[0]
        images = autoencoder.decode(torch.randn(8, 100))
    assert 0.1 < latent.std() < 1
    assert 1 / 3 < images.std() < 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gan"}, "kind: 'gan'; allowed: l2-ae, dsae, vae, gamma-vae"),
        ({"channels": 2}, "channels: 2"),
        ({"latent_dim": 0}, "latent_dim: 0"),
        ({"widths": ()}, r"widths: \[\]"),
        ({"widths": (2, 8)}, "widths: .*at least 4"),
        ({"widths": (8, 8, 8)}, "widths: .*as many as the resolution 16 can be halved"),
        ({"window": 8}, "window: 8; allowed: odd"),
        ({"window": 17}, "window: 17"),
        ({"deviation": 0.0}, "deviation: 0.0; allowed: above 0"),
        ({"kind": "gamma-vae", "deviation": 0.25}, "deviation: 0.25; allowed for kind vae alone"),
    ],
)
def test_an_impossible_architecture_is_refused(change, message):
    shape = {"kind": "vae", "resolution": 16, "channels": 1, "widths": (8, 8)}
    with pytest.raises(InputError, match=message):
        AutoencoderArchitecture(**{**shape, **change})


# Losses


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_s_loss_is_a_sum_over_its_own_pixels(kind):
    autoencoder, images = small(kind), uniform(3, 1, 16, 16)
    reconstructed = autoencoder(images)
    loss = autoencoder.reconstruction_loss(images, reconstructed)
    alone = autoencoder.reconstruction_loss(images[1:2], reconstructed[1:2])
    torch.testing.assert_close(loss[1:2], alone)
    squared = (images - reconstructed).square().sum((1, 2, 3))
    expected = {
        "l2-ae": squared,
        "dsae": dssim(images, reconstructed, 7).sum((1, 2, 3)),
        "vae": squared / 2,
        "gamma-vae": squared / 2,  # gamma is 1 before it learns
    }
    torch.testing.assert_close(loss, expected[kind])


def test_the_divergence_and_the_evidence_are_those_of_torch_s_distributions():
    autoencoder, images, noise = small("gamma-vae"), uniform(3, 1, 16, 16), torch.randn(3, 5)
    with torch.no_grad():
        autoencoder.log_gamma.fill_(-0.7)
    mean, log_variance = autoencoder.encode(images)
    latent = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(0, 1)
    divergence = torch.distributions.kl_divergence(latent, prior).sum(1)
    torch.testing.assert_close(latent_divergence(mean, log_variance), divergence)
    decoded = autoencoder.decode(mean + latent.stddev * noise)
    pixels = torch.distributions.Normal(decoded, math.exp(-0.7))
    expected = divergence - pixels.log_prob(images).sum((1, 2, 3))
    torch.testing.assert_close(evidence_loss(autoencoder, images, noise)[0], expected)


def test_a_fixed_deviation_is_that_of_the_decoder_s_pixels():
    autoencoder, images, noise = (
        small("vae", deviation=0.25),
        uniform(3, 1, 16, 16),
        torch.zeros(3, 5),
    )
    pixels = torch.distributions.Normal(autoencoder(images), 0.25)
    loss, _, divergence = evidence_loss(autoencoder, images, noise)
    expected = divergence - pixels.log_prob(images).sum((1, 2, 3))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in VARIATIONAL])
def test_a_deterministic_autoencoder_minimises_its_reconstruction_alone(kind):
    autoencoder, images = small(kind), uniform(3, 1, 16, 16)
    loss, reconstruction, divergence = evidence_loss(autoencoder, images, torch.randn(3, 5))
    expected = autoencoder.reconstruction_loss(images, autoencoder(images))
    assert torch.equal(loss, expected)
    assert torch.equal(reconstruction, expected)
    assert not divergence.any()


# Files


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_holds_the_same_autoencoder(kind, tmp_path):
    autoencoder = small(kind)
    autoencoder.training_losses.copy_(torch.linspace(1, 2, 101))
    save_autoencoder(tmp_path / "autoencoder.pt", autoencoder)
    loaded = load_autoencoder(tmp_path / "autoencoder.pt")
    assert loaded.architecture == autoencoder.architecture
    assert not loaded.training
    for name, weight in autoencoder.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name


def test_a_file_of_another_network_is_refused(tmp_path):
    save_generator(tmp_path / "generator.pt", Generator(Architecture(8, 1, 4, (4, 4))))
    with pytest.raises(InputError, match="holds the network Generator; expected Autoencoder"):
        load_autoencoder(tmp_path / "generator.pt")
    save_autoencoder(tmp_path / "autoencoder.pt", small("vae"))
    with pytest.raises(InputError, match="holds the network Autoencoder; expected Generator"):
        load_generator(tmp_path / "autoencoder.pt")

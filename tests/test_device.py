"""Inversion on a GPU; skipped where there is none."""

from dataclasses import replace

import pytest
import torch
from small_inversion import short_rounds, shown

from rgi.inversion import METHODS, invert
from rgi.inversion.descent import CHECK, begin, take_passes
from rgi.inversion.memory import Batch
from rgi.inversion.problem import Problem
from rgi.models import Architecture, Discriminator, Generator
from rgi.models.frozen import frozen, frozen_critic

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

ARCHITECTURE = Architecture(resolution=16, channels=3, latent_dim=16, widths=(16, 16, 8))
# Convolutions may round differently on a GPU, and a descent amplifies that.
PSNR_TOLERANCE = 0.5


@pytest.fixture(scope="module")
def networks():
    return Generator(ARCHITECTURE, seed=1).eval(), Discriminator(ARCHITECTURE, seed=2).eval()


@pytest.fixture(scope="module")
def images(networks):
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        clean = networks[0](torch.randn(6, 16, generator=source))
    mask = torch.rand(6, 1, 16, 16, generator=source) < 0.2
    return torch.where(mask, torch.rand(clean.shape, generator=source) * 2 - 1, clean)


def short(name):
    method = METHODS[name]
    stages = ((4, 10), (1, 60)) if method.profile else ((1, 60),)
    weights, rounds = 10 * method.learns_weights, short_rounds(method, 20)
    return replace(method, pool=64, stages=stages, rounds=rounds, weights_iterations=weights)


@pytest.mark.usefixtures("needed_backbone")
@pytest.mark.parametrize("name", METHODS)
def test_a_gpu_restores_as_a_cpu_does(name, networks, images):
    method = short(name)
    found = {}
    for device in ("cpu", "cuda"):
        generator, discriminator = (network.to(device) for network in networks)
        seen = shown(method, images, torch.zeros(6, 16, 16, dtype=torch.bool))
        restoration = invert(
            seen.pop("images"),
            generator,
            method,
            0.1 if method.has_lambda else None,
            **seen,
            discriminator=discriminator if method.needs_discriminator else None,
        )
        error = (restoration.restored - images).square().mean((1, 2, 3))
        found[device] = (10 * torch.log10(4 / error)).mean()
    assert abs(found["cpu"] - found["cuda"]) < PSNR_TOLERANCE


@pytest.mark.parametrize("name", ["rgi", "rgi-profile", "r-rgi-profile", "robust-ilo"])
def test_an_image_alone_is_the_same_as_among_others_to_the_last_bit(name, networks, images):
    generator, discriminator = (network.to("cuda") for network in networks)
    method = replace(short(name), batch=4)
    critic = discriminator if method.needs_discriminator else None
    found = invert(images, generator, method, 0.1, discriminator=critic)
    for row in (0, 5):
        alone = invert(
            images[[row]], generator, method, 0.1, discriminator=critic, index=torch.tensor([row])
        )
        assert torch.equal(alone.restored[0], found.restored[row])
        assert torch.equal(alone.score[0], found.score[row])


@pytest.mark.parametrize("name", ["rgi", "rgi-profile"])
def test_the_host_does_not_wait_for_the_device_between_passes(name, networks, images):
    generator, discriminator = (network.to("cuda") for network in networks)
    method, data = short(name), images.to("cuda")
    lam, given = torch.full((6,), 0.1, device="cuda"), torch.zeros_like(data[:, 0])
    problem = Problem(method, frozen_critic(discriminator, data.device), data, lam, given)
    latents = torch.randn(6, 1, 16, device="cuda")
    rows = begin(problem, frozen(generator), latents, Batch(6))
    take_passes(problem, frozen(generator), rows, 1)
    render = frozen(generator)
    before = rows.latent.clone()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        take_passes(problem, render, rows, CHECK)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not torch.equal(rows.latent, before)

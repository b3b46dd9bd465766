"""A generator of 8 x 8 pixels, and images to invert; used by several test files."""

import torch

from rgi.corruption.operators import Inpainting
from rgi.inversion.problem import Problem
from rgi.models import Architecture

ARCHITECTURE = Architecture(resolution=8, channels=1, latent_dim=8, widths=(16, 12))


def corrupt(generator):
    """Generated images with a quarter of their pixels replaced: images, true mask, clean."""
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        clean = generator(torch.randn(5, 8, generator=source))
    mask = torch.rand(5, 8, 8, generator=source) < 0.25
    noise = torch.rand(clean.shape, generator=source) * 2 - 1
    return torch.where(mask[:, None], noise, clean), mask, clean


def shown(method, images, mask):
    """What a method looks at, by the names of `invert`: images, or what is not under the mask."""
    if method.needs_operator:
        operator = Inpainting(mask)
        return {"images": operator.forward(images), "operator": operator}
    return {"images": images, "mask": mask if method.needs_mask else None}


def short_rounds(method, steps):
    """The method with so many steps in each of its rounds, if it has any."""
    return tuple((layer, steps) for layer, _ in method.rounds)


def stated(images, method, lam, discriminator=None):
    """The problem of images without a given mask, one lambda for all."""
    lams = torch.full((len(images),), lam)
    return Problem(method, discriminator, images, lams, torch.zeros_like(images[:, 0]))

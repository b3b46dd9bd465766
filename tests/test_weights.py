"""Fine-tuning beside a plain loop: one image, one generator, torch's plain Adam."""

import copy
from dataclasses import replace

import torch

from rgi.inversion import METHODS
from rgi.inversion.adam import AdamRows
from rgi.inversion.problem import Problem
from rgi.inversion.weights import fine_tune
from rgi.models import Architecture, Generator
from rgi.models.frozen import frozen


def test_fine_tuning_equals_a_loop_over_images():
    """In double precision, since Adam blows differences in rounding up."""
    generator = Generator(Architecture(8, 1, 6, (8, 5)), seed=1).double()
    steps, rate = 5, 1e-2
    own = {"variables": ("latent", "weights"), "weights_iterations": steps}
    method = replace(METHODS["l2"], **own, weights_learning_rate=rate)
    random = torch.Generator().manual_seed(0)
    images = torch.rand(3, 1, 8, 8, generator=random).double() * 2 - 1
    latents = torch.randn(3, 6, generator=random).double()
    problem = Problem(method, None, images, torch.zeros(3), torch.zeros(3, 8, 8))
    rows = AdamRows.begin(problem, frozen(generator), latents)
    found = fine_tune(problem, generator, rows)
    for image, start, restored in zip(images, latents, found, strict=True):
        own, latent = copy.deepcopy(generator), start[None].clone().requires_grad_()
        weights = {"params": own.parameters(), "lr": rate}
        optimiser = torch.optim.Adam([{"params": [latent]}, weights], lr=method.learning_rate)
        for _ in range(steps):
            optimiser.zero_grad()
            (own(latent)[0] - image).square().sum().backward()
            optimiser.step()
        torch.testing.assert_close(restored, own(latent)[0].detach(), rtol=0, atol=1e-8)

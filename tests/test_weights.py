"""Fine-tuning beside a plain loop: one image, one generator, torch's plain Adam."""

import copy
from dataclasses import replace

import pytest
import torch

from rgi.inversion import METHODS
from rgi.inversion.adam import AdamRows
from rgi.inversion.problem import Problem
from rgi.inversion.weights import fine_tune
from rgi.models import Architecture, Generator
from rgi.models.frozen import frozen


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fine_tuning_equals_a_loop_over_images(layout):
    """In double precision, since Adam blows differences in rounding up."""
    generator = Generator(Architecture(8, 1, 6, (8, 5)), seed=1).double()
    generator = generator.to(memory_format=layout)
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


@pytest.mark.parametrize("count", [1, 3, 5, 16])
def test_a_row_does_not_depend_on_its_place(count):
    """To the last bit, also where the numbers of all rows do not fill the processor's vectors."""
    generator = Generator(Architecture(8, 1, 6, (7, 5)), seed=1)
    own = {"variables": ("latent", "weights"), "weights_iterations": 20}
    method = replace(METHODS["l2"], **own, weights_learning_rate=1e-2)
    random = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, 8, 8, generator=random).expand(count, -1, -1, -1) * 2 - 1
    latent = torch.randn(1, 6, generator=random).expand(count, -1)
    problem = Problem(method, None, image, torch.zeros(count), torch.zeros(count, 8, 8))
    rows = AdamRows.begin(problem, frozen(generator), latent)
    found = fine_tune(problem, generator, rows)
    assert torch.equal(found, found[:1].expand_as(found))
    assert torch.equal(rows.latent, rows.latent[:1].expand_as(rows.latent))

"""How much a job computes: passes through the networks, and their operations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Literal

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rgi.inversion import Method
from rgi.inversion.lbfgs import MEMORY, inverse_hessian_product
from rgi.models import Architecture, Discriminator, Generator
from rgi.models.frozen import frozen, frozen_critic
from rgi.models.perceptual import untrained_network
from rgi.training import TrainingSettings
from rgi.training.schedule import Schedule

Kind = Literal["descent", "fine-tuning", "training"]

# Forward passes that cost as much: the way back to the inputs of a layer is one more, the way back
# to its weights another.
FIXED, LEARNING = 2, 3
# Of one image in a step of training. The generator draws for the critic's step without gradient
# (1), then learns (3). The critic judges a real and a fake and learns (6), judges for the
# generator's step (2), and its slope on a mixed image is taken (2) and differentiated (3: no
# further back than the weights, as leaky ReLU has no second derivative).
DRAWING, JUDGING = 4, 13


@dataclass(frozen=True)
class Work:
    """Passes of one kind at one resolution.

    A pass is one row (image, start and lambda) forward and back; in training, one image of a step.
    """

    kind: Kind
    resolution: int
    passes: int
    gflop: float  # of all of them: products of convolutions, dense layers and L-BFGS's pairs


def inversion_work(
    method: Method, architecture: Architecture, images: int, lambdas: int
) -> list[Work]:
    """What one job of rgi.inversion.invert_grid computes, at most.

    At most: a descent may stop before its budget is spent. Batches that are not full count as full,
    as they are filled up. Products of a known operator (random projections) are not counted.

    Args:
        method: how it is inverted.
        architecture: of generator and discriminator.
        images: of the job.
        lambdas: 1 for a method without lambda.
    """
    cost = _forward(architecture)
    passes, gflop = 0, method.pool * cost.frozen[0]  # one pool for all images
    for rows, steps, part in _searches(method, images, lambdas):
        count = _filled(rows, method.batch) * steps
        passes += count
        stepping = cost.lbfgs if method.solver == "lbfgs" else 0.0
        gflop += count * (FIXED * (cost.frozen[0] + _priors(part, cost)) + stepping)
    for layer, steps in method.rounds:
        count = _filled(images * lambdas, method.batch) * steps
        passes += count
        gflop += count * FIXED * (cost.frozen[layer] + _priors(method, cost))
    found = [Work("descent", architecture.resolution, passes, gflop)]
    if method.learns_weights:
        count = _filled(images * lambdas, method.batch) * method.weights_iterations
        each = LEARNING * cost.generator + FIXED * _priors(method, cost)
        found.append(Work("fine-tuning", architecture.resolution, count, count * each))
    return found


def training_work(architecture: Architecture, settings: TrainingSettings) -> list[Work]:
    """What a training of both networks computes, level by level."""
    schedule = Schedule(settings, architecture.levels)
    return [
        Work("training", 4 * 2**level, images, images * _step(architecture, level))
        for level, images in enumerate(map(schedule.images_of, range(architecture.levels)))
    ]


@dataclass(frozen=True)
class _Forward:
    """GFLOP of one image forward."""

    generator: float
    frozen: tuple[float, ...]  # from each layer on; 0 is the whole generator
    critic: float
    features: float
    perceptual: float
    lbfgs: float  # a new step of one descent


def _searches(method: Method, images: int, lambdas: int) -> Iterator[tuple[int, int, Method]]:
    """Rows, steps and objective of each stage (rgi.inversion.exploration, then the last one)."""
    exploring = replace(method, critic_weight=method.explore_critic_weight)
    first = (images, exploring) if method.explore_lam else (images * lambdas, method)
    *explored, (kept, steps) = method.stages
    for starts, before in explored:
        yield first[0] * starts, before, first[1]
    for held, free in method.escapes:
        yield first[0] * kept, held + free, first[1]
    yield images * kept, method.settling_passes, method
    yield images * lambdas * kept, steps - method.settling_passes, method


def _filled(rows: int, batch: int) -> int:
    return ceil(rows / batch) * batch


def _priors(method: Method, cost: _Forward) -> float:
    critic = cost.critic if method.critic_weight else 0.0
    perceptual = cost.perceptual if method.perceptual_weight else 0.0
    return critic + perceptual + (cost.features if method.feature_weight else 0.0)


@cache
def _forward(architecture: Architecture) -> _Forward:
    generator, discriminator = _networks(architecture)
    latent, image = _latent(architecture), _image(architecture, architecture.levels - 1)
    render, critic = frozen(generator), frozen_critic(discriminator, latent.device)
    perceptual = untrained_network().to("meta")
    pairs = latent[:, None].expand(-1, MEMORY, -1)
    variables = [latent, *(render[:layer](latent) for layer in range(1, len(render)))]
    return _Forward(
        generator=_count(lambda: generator(latent)),
        frozen=tuple(_count(lambda k=k, v=v: render[k:](v)) for k, v in enumerate(variables)),
        critic=_count(lambda: critic(image)),
        features=_count(lambda: critic.features(image)),
        perceptual=_count(lambda: perceptual(image, image)),
        lbfgs=_count(lambda: inverse_hessian_product(pairs, pairs, latent[:, 0], latent)),
    )


@cache
def _step(architecture: Architecture, level: int) -> float:
    """GFLOP of one image in a step of training."""
    generator, discriminator = _networks(architecture)
    latent, image = _latent(architecture), _image(architecture, level)
    drawing = _count(lambda: generator.grow(latent, level, 1.0))
    judging = _count(lambda: discriminator.eval().grow(image, level, 1.0))
    return DRAWING * drawing + JUDGING * judging


def _networks(architecture: Architecture) -> tuple[Generator, Discriminator]:
    """On no device: shapes alone say what a pass computes."""
    return Generator(architecture).to("meta"), Discriminator(architecture).to("meta")


def _latent(architecture: Architecture) -> Tensor:
    return torch.empty(1, architecture.latent_dim, device="meta")


def _image(architecture: Architecture, level: int) -> Tensor:
    side = 4 * 2**level
    return torch.empty(1, architecture.channels, side, side, device="meta")


@torch.no_grad()
def _count(step: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9

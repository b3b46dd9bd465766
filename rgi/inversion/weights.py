"""Generator weights of an image's own (R-RGI, RGI eq. 4; DGP)."""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, vmap
from torch.optim import Adam
from tqdm import tqdm

from rgi.inversion.adam import AdamRows, ramp
from rgi.inversion.problem import Problem, Render
from rgi.inversion.progress import UNKEPT_PART, Part, State
from rgi.models import Generator
from rgi.models.progressive import EqualisedDense


def fine_tune(
    problem: Problem, generator: Generator, rows: AdamRows, part: Part = UNKEPT_PART
) -> Tensor:
    """Let every row's own weights learn beside latent and mask, in place.

    Returns:
        The images of the weights and latents at the end, N x C x H x W.
    """
    saved = part.take()  # once: where memory then runs out, fewer rows begin anew
    render, weights = own_weights(generator, len(rows.latent))
    optimiser = Adam(weights, lr=problem.method.weights_learning_rate, fused=True)
    tuning = Tuning(rows, weights, optimiser)
    if saved is not None:
        tuning.load_state(saved)
        saved = None  # a second copy of all weights
    part.hold(tuning.state)
    count = problem.method.weights_iterations
    steps = range(tuning.step, count)
    show = {"desc": "fine-tuning", "unit": "step", "disable": None}
    try:
        for _ in tqdm(steps, initial=tuning.step, total=count, **show):
            _learn(problem, render, tuning)
            part.reach()
    finally:
        part.drop()
    with torch.no_grad():
        return render(rows.latent)


@dataclass
class Tuning:
    """All that changes while weights learn; a checkpoint is this."""

    rows: AdamRows
    weights: list[Tensor]
    optimiser: Adam  # of the weights; rows have their own
    step: int = 0

    def state(self) -> State:
        """Contents of a checkpoint."""
        weights = [weight.detach() for weight in self.weights]
        return self.step, vars(self.rows), weights, self.optimiser.state_dict()

    def load_state(self, state: State) -> None:
        """Go on from a checkpoint."""
        self.step, rows, weights, moments = state
        for name, value in rows.items():
            setattr(self.rows, name, value)
        with torch.no_grad():
            for weight, value in zip(self.weights, weights, strict=True):
                weight.copy_(value)
        self.optimiser.load_state_dict(moments)


def _learn(problem: Problem, render: Render, tuning: Tuning) -> None:
    """One step of latent, mask and weights."""
    method, rows, weights = problem.method, tuning.rows, tuning.weights
    variables = [rows.latent, rows.mask] if method.learns_mask else [rows.latent]
    variables = [variable.detach().requires_grad_() for variable in variables]
    mask = variables[1] if method.learns_mask else rows.mask
    total = problem.objective(render(variables[0]), mask).sum()
    gradients = torch.autograd.grad(total, [*variables, *weights])
    # All rows are at the same step here.
    rate = method.weights_learning_rate * ramp(rows.steps, method)[0]
    tuning.optimiser.param_groups[0]["lr"] = rate
    for weight, gradient in zip(weights, gradients[len(variables) :], strict=True):
        # vmap transposes some; fused Adam on the CPU does not look at strides.
        weight.grad = gradient.contiguous()
    tuning.optimiser.step()
    tuning.optimiser.zero_grad()  # or these gradients would live beside the next ones
    rows.update(method, total, gradients[: len(variables)])
    tuning.step += 1


def own_weights(generator: Generator, count: int) -> tuple[Render, list[Tensor]]:
    """A generator with weights of its own for every image: one grouped convolution a layer.

    Weights that take no part in an image (toRGB of lower levels) stay shared.
    """
    used = _used(generator)
    network = copy.deepcopy(generator)
    network.dense.__class__ = _DenseByConvolution
    own = {
        name: value.detach().expand(count, *value.shape).clone().requires_grad_()
        for name, value in generator.named_parameters()
        if name in used
    }
    shared = {n: v.detach() for n, v in generator.named_parameters() if n not in used}

    def one(weights: dict[str, Tensor], latent: Tensor) -> Tensor:
        return functional_call(network, {**shared, **weights}, (latent[None],))[0]

    return lambda latent: vmap(one)(own, latent), list(own.values())


class _DenseByConvolution(EqualisedDense):
    """The same layer; a stacked product would round a row by its place for some latent sizes."""

    def forward(self, features: Tensor) -> Tensor:
        weight = (self.weight * self.constant)[..., None, None]
        return F.conv2d(features[..., None, None], weight, self.bias).flatten(1)


def _used(generator: Generator) -> set[str]:
    """Names of the parameters that an image depends on."""
    named = dict(generator.named_parameters())
    weights = {name: value.detach().requires_grad_() for name, value in named.items()}
    latent = next(iter(weights.values())).new_ones(1, generator.latent_dim)
    total = functional_call(generator, weights, (latent,)).sum()
    gradients = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    return {name for name, part in zip(weights, gradients, strict=True) if part is not None}

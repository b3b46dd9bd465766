"""Generator weights of an image's own (R-RGI, RGI eq. 4; DGP)."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam
from tqdm import tqdm

from rgi.inversion.adam import EPSILON, AdamRows, ramp
from rgi.inversion.problem import Problem
from rgi.inversion.progress import UNKEPT_PART, Part, State
from rgi.models import Generator
from rgi.models.stacked import Stacked, stacked

VECTOR = 16  # numbers in the CPU's longest vector


def fine_tune(
    problem: Problem, generator: Generator, rows: AdamRows, part: Part = UNKEPT_PART
) -> Tensor:
    """Let every row's own weights learn beside latent and mask, in place.

    Returns:
        The images of the weights and latents at the end, N x C x H x W.
    """
    saved = part.take()  # once: where memory then runs out, fewer rows begin anew
    render = stacked(generator, len(rows.latent))
    tuning = Tuning(rows, Adam(_groups(render)))
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
    optimiser: Adam  # of the weights; rows have their own
    step: int = 0

    @property
    def weights(self) -> list[Tensor]:
        """All that the optimiser moves."""
        return [weight for group in self.optimiser.param_groups for weight in group["params"]]

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


def _groups(render: Stacked) -> list[dict[str, Any]]:
    """All weights by how Adam moves them, each as it would unscaled.

    Of c w instead of w the gradient is g / c, so the first moment m is divided by c, the second one
    v by c^2: c rate m / (sqrt(v) + epsilon / c) is c times the step of w.
    """
    groups: dict[tuple[float, bool], list[Tensor]] = defaultdict(list)
    for layer in render.layers:
        for scale, stack in ((layer.constant, layer.weight), (1.0, layer.bias)):
            # On the CPU it rounds the rest of a vector otherwise, which must be no row's.
            fused = stack.is_cuda or stack[0].numel() % VECTOR == 0
            groups[scale, fused].append(stack)
    return [
        {"params": stacks, "scale": scale, "eps": EPSILON / scale, "fused": fused}
        for (scale, fused), stacks in groups.items()
    ]


def _learn(problem: Problem, render: Stacked, tuning: Tuning) -> None:
    """One step of latent, mask and weights."""
    method, rows, weights = problem.method, tuning.rows, tuning.weights
    variables = [rows.latent, rows.mask] if method.learns_mask else [rows.latent]
    variables = [variable.detach().requires_grad_() for variable in variables]
    mask = variables[1] if method.learns_mask else rows.mask
    total = problem.objective(render(variables[0]), mask).sum()
    gradients = torch.autograd.grad(total, [*variables, *weights])
    # All rows are at the same step here.
    rate = method.weights_learning_rate * ramp(rows.steps, method)[0]
    for group in tuning.optimiser.param_groups:
        group["lr"] = rate * group["scale"]
    for weight, gradient in zip(weights, gradients[len(variables) :], strict=True):
        weight.grad = gradient.contiguous()  # fused Adam on the CPU does not look at strides
    tuning.optimiser.step()
    tuning.optimiser.zero_grad()  # or these gradients would live beside the next ones
    rows.update(method, total, gradients[: len(variables)])
    tuning.step += 1

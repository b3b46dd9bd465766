"""Joint Adam over latent, mask and weights, as in the paper; many images and starts at once.

Adam is elementwise, so variables stacked over images are so many independent runs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.optim import Adam
from tqdm import tqdm

from rgi.inversion.problem import Problem

Render = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Solution:
    """The last iterate of the best start of each image."""

    restored: Tensor  # N x C x H x W
    score: Tensor  # N x H x W
    latent: Tensor  # N x d


def minimise(problem: Problem, generator: nn.Module, latents: Tensor) -> Solution:
    """Minimise every image's objective from each of its starts; the lowest objective wins.

    Weights join only after that choice, since each image has its own set of them.

    Args:
        problem: N images.
        generator: stays as it is.
        latents: starts, N x K x d.
    """
    problem = problem.with_features()
    method = problem.method
    images, starts = latents.shape[:2]
    rows = torch.arange(images, device=latents.device)
    render = shared_weights(generator)
    repeated = problem.rows(rows.repeat_interleave(starts))
    optimiser = _first_variables(repeated, render, latents.flatten(0, 1))
    _descend(repeated, render, optimiser, method.iterations - method.weights_iterations)
    if starts > 1:
        value = _value(repeated, render, optimiser).view(images, starts)
        _keep(optimiser, rows * starts + value.argmin(1))
    if method.weights_iterations:
        render, weights = own_weights(generator, images)
        optimiser.add_param_group({"params": weights, "lr": method.weights_learning_rate})
        _descend(problem, render, optimiser, method.weights_iterations)
    latent, mask = _latent_and_mask(problem, optimiser)
    with torch.no_grad():
        restored = render(latent)
    return Solution(restored, problem.score(restored, mask.detach()), latent.detach())


def shared_weights(generator: nn.Module) -> Render:
    """The generator with frozen weights: no gradient is computed for them."""
    frozen = {name: value.detach() for name, value in generator.state_dict().items()}
    return lambda latent: functional_call(generator, frozen, (latent,))


def own_weights(generator: nn.Module, count: int) -> tuple[Render, list[Tensor]]:
    """A generator with weights of its own for every image: one grouped convolution a layer."""
    own = {
        name: value.detach().expand(count, *value.shape).clone().requires_grad_()
        for name, value in generator.named_parameters()
    }

    def one(weights: dict[str, Tensor], latent: Tensor) -> Tensor:
        return functional_call(generator, weights, (latent[None],))[0]

    return lambda latent: vmap(one)(own, latent), list(own.values())


def _first_variables(problem: Problem, render: Render, latent: Tensor) -> Adam:
    variables = [latent.clone().requires_grad_()]
    if problem.method.learns_mask:
        with torch.no_grad():
            variables.append(problem.first_mask(render(latent)).requires_grad_())
    return Adam(variables, lr=problem.method.learning_rate)


def _latent_and_mask(problem: Problem, optimiser: Adam) -> tuple[Tensor, Tensor]:
    latent, *learned = optimiser.param_groups[0]["params"]
    return latent, learned[0] if learned else problem.given


def _descend(problem: Problem, render: Render, optimiser: Adam, steps: int) -> None:
    """Take steps of Adam; a learned mask is projected onto [0, 1] after each."""
    latent, mask = _latent_and_mask(problem, optimiser)
    variables = [variable for group in optimiser.param_groups for variable in group["params"]]
    for _ in tqdm(range(steps), desc="inversion", mininterval=2):
        total = problem.objective(render(latent), mask).sum()
        # allow_unused: the toRGB layers of lower levels take no part in an image.
        gradients = torch.autograd.grad(total, variables, allow_unused=True)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.grad = gradient
        optimiser.step()
        if problem.method.learns_mask:
            with torch.no_grad():
                mask.clamp_(0, 1)


def _value(problem: Problem, render: Render, optimiser: Adam) -> Tensor:
    latent, mask = _latent_and_mask(problem, optimiser)
    with torch.no_grad():
        return problem.objective(render(latent), mask)


def _keep(optimiser: Adam, rows: Tensor) -> None:
    """Go on with some rows only: variables and Adam's moments alike."""
    for group in optimiser.param_groups:
        for place, variable in enumerate(group["params"]):
            kept = variable.detach()[rows].clone().requires_grad_()
            moments = optimiser.state.pop(variable, {})
            optimiser.state[kept] = {
                name: value[rows] if value.shape == variable.shape else value
                for name, value in moments.items()
            }
            group["params"][place] = kept

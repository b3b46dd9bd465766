"""Adam over latent and mask (Kingma & Ba 2015), every row at a step of its own."""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from rgi.inversion.methods import Method
from rgi.inversion.problem import Problem, Render
from rgi.inversion.rows import Rows

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass
class AdamRows(Rows):
    """State of N descents. Adam is elementwise, so stacked variables are independent runs."""

    latent: Tensor  # N x d
    latent_mean: Tensor
    latent_square: Tensor
    mask: Tensor  # N x H x W; a variable if the method learns it, else as given
    mask_mean: Tensor
    mask_square: Tensor
    steps: Tensor  # N: steps taken

    @classmethod
    def begin(cls, problem: Problem, render: Render, latent: Tensor) -> Self:
        """Descents from latents N x d, one per row of the problem."""
        with torch.no_grad():
            mask = problem.first_mask(render(latent))
        zeros = torch.zeros_like
        return cls(
            latent=latent.clone(),
            latent_mean=zeros(latent),
            latent_square=zeros(latent),
            mask=mask,
            mask_mean=zeros(mask),
            mask_square=zeros(mask),
            steps=latent.new_zeros(len(latent)),
        )

    def trial(self) -> tuple[Tensor, Tensor]:
        """Where the objective and its gradient are wanted: latent and mask."""
        return self.latent.detach(), self.mask.detach()

    def update(self, method: Method, value: Tensor, gradients: tuple[Tensor, ...]) -> None:
        """Take a step against the gradients of latent and, if it is learned, mask."""
        rate = method.learning_rate * ramp(self.steps, method)
        self.steps += 1
        for name, gradient in zip(("latent", "mask"), gradients, strict=False):
            state = (getattr(self, f"{name}{part}") for part in ("", "_mean", "_square"))
            adam_step(*state, gradient, self.steps, rate)
        if method.learns_mask:
            self.mask.clamp_(0, 1)


def adam_step(
    variable: Tensor, mean: Tensor, square: Tensor, gradient: Tensor, steps: Tensor, rate: Tensor
) -> None:
    """Move a stacked variable, N x ..., and its two moments, in place.

    Args:
        variable: what descends.
        mean: moving average of the gradient.
        square: moving average of the gradient's square.
        gradient: of each row's own objective.
        steps: N, counted with this one.
        rate: N.
    """
    each = (-1,) + (1,) * (variable.ndim - 1)
    mean.lerp_(gradient, 1 - BETAS[0])
    square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    corrected = (1 - BETAS[1] ** steps).sqrt().view(each)
    step = (rate / (1 - BETAS[0] ** steps)).view(each)
    variable.sub_(step * mean / (square.sqrt() / corrected + EPSILON))


def ramp(steps: Tensor, method: Method) -> Tensor:
    """What the learning rate is multiplied by: 1, then a cosine down to 0 over `ramp_down`."""
    if not method.ramp_down:
        return torch.ones_like(steps)
    total = sum(count for _, count in method.stages) + method.weights_iterations
    left = 1 - steps / total
    return (1 - torch.cos(math.pi * (left / method.ramp_down).clamp(0, 1))) / 2

"""Adam whose every step is projected back onto a set, and whose lowest point is kept.

Latents may keep to a sphere (PULSE, Menon et al. 2020), features to a ball around where their round
began (ILO, Daras et al. 2021).
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from rgi.inversion.adam import adam_step, ramp
from rgi.inversion.methods import Method
from rgi.inversion.problem import Problem, Render
from rgi.inversion.rows import Rows


@dataclass
class ProjectedRows(Rows):
    """State of N descents of a latent, N x d, or of features, N x K x H x W."""

    latent: Tensor  # where the objective was lowest so far; features in a round of features
    value: Tensor  # N, the objective there; infinite before the first pass
    point: Tensor  # where the descent is
    point_mean: Tensor
    point_square: Tensor
    centre: Tensor  # of the ball; N x 0 without one
    steps: Tensor  # N: steps taken
    mask: Tensor  # N x h x w, given or unused

    @classmethod
    def begin(cls, problem: Problem, render: Render, latent: Tensor) -> Self:
        """Descents from latents or features, one per row of the problem."""
        bounded = latent.ndim == 4 and problem.method.radius
        centre = latent.clone() if bounded else latent.new_zeros(len(latent), 0)
        point = projected(latent, centre, problem.method)
        return cls(
            latent=point.clone(),
            value=latent.new_full((len(latent),), torch.inf),
            point=point.clone(),
            point_mean=torch.zeros_like(point),
            point_square=torch.zeros_like(point),
            centre=centre,
            steps=latent.new_zeros(len(latent)),
            mask=problem.given.clone(),
        )

    def trial(self) -> tuple[Tensor, Tensor]:
        """Where the objective and its gradient are wanted: latent or features, and mask."""
        return self.point.detach(), self.mask

    def update(self, method: Method, value: Tensor, gradients: tuple[Tensor, ...]) -> None:
        """Keep the trial points that are the lowest so far; take a step."""
        lower = value < self.value
        self.value = torch.where(lower, value, self.value)
        each = lower.view(-1, *(1,) * (self.point.ndim - 1))
        self.latent = torch.where(each, self.point, self.latent)
        rate = method.learning_rate * ramp(self.steps, method)
        self.steps += 1
        moments = self.point_mean, self.point_square
        adam_step(self.point, *moments, gradients[0], self.steps, rate)
        self.point = projected(self.point, self.centre, method)


def projected(point: Tensor, centre: Tensor, method: Method) -> Tensor:
    """The nearest point of the method's set: of a sphere, of a ball, or anywhere."""
    if point.ndim == 2:
        return onto_sphere(point) if method.sphere else point
    if not method.radius:
        return point
    away, size = (point - centre).flatten(1), point[0].numel()
    if method.ball == "l1":
        inside = onto_l1_ball(away, method.radius * size)
    else:
        inside = onto_l2_ball(away, method.radius * math.sqrt(size))
    return centre + inside.view_as(point)


def onto_sphere(points: Tensor) -> Tensor:
    """The nearest points, N x d, of the sphere of radius sqrt(d) around 0.

    There nearly all of N(0, I_d) lies (PULSE, Menon et al. 2020, section 3.2).
    """
    size = points.norm(dim=1, keepdim=True).clamp_min(torch.finfo(points.dtype).tiny)
    return points * (math.sqrt(points.shape[1]) / size)


def onto_l2_ball(points: Tensor, radius: float) -> Tensor:
    """The nearest points, N x d, with ||p||_2 <= radius."""
    size = points.norm(dim=1, keepdim=True).clamp_min(torch.finfo(points.dtype).tiny)
    return points * (radius / size).clamp_max(1)


def onto_l1_ball(points: Tensor, radius: float) -> Tensor:
    """The nearest points, N x d, with ||p||_1 <= radius.

    Source: Duchi et al. 2008, figure 1: all sizes shrink by one threshold, found by sorting.
    """
    sizes = points.abs()
    ordered = sizes.sort(dim=1, descending=True).values
    excess = ordered.cumsum(1, dtype=torch.float64) - radius
    count = torch.arange(1, points.shape[1] + 1, device=points.device)
    last = (ordered * count > excess).sum(1, keepdim=True).clamp_min(1)
    threshold = (excess.gather(1, last - 1) / last).clamp_min(0).to(points.dtype)
    return points.sign() * (sizes - threshold).clamp_min(0)

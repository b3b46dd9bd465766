"""L-BFGS for many rows at once, each with its own memory and line search.

Every pass gives every row one value and gradient. A row whose trial point lowers its objective
enough (Armijo) moves there; any other row tries a shorter step next. What the gradient says of the
curvature is kept either way, and every step's direction is new. Nothing waits for the device.
Source: Nocedal & Wright, Numerical Optimization, algorithms 7.4 and 7.5; the product with the
inverse Hessian in the compact form of Byrd, Nocedal & Schnabel (1994), eq. 2.22.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from rgi.inversion.methods import Method
from rgi.inversion.problem import Problem, Render
from rgi.inversion.rows import Rows

MEMORY = 64  # pairs of steps and gradient changes; in a narrow valley 20 go far slower
ENOUGH = 1e-4  # part of the decrease promised by the slope that Armijo's rule asks for
FIRST_STEP = 0.04  # as a part of the latent's norm, before anything is known of the curvature
SHORTEST_STEP = 3e-5  # from which to learn: of a shorter one the gradient's change is rounding
LONGEST_STEP = 0.5  # as a part of the latent's norm; the objective is not convex


@dataclass
class LbfgsRows(Rows):
    """State of N descents."""

    latent: Tensor  # N x d, the last accepted point
    value: Tensor  # N, the objective there; infinite before the first pass
    gradient: Tensor  # N x d
    step: Tensor  # N x d, on trial
    steps: Tensor  # N x MEMORY x d, newest last, scaled such that step . change = 1; 0: none yet
    changes: Tensor  # N x MEMORY x d, of the gradient
    mask: Tensor  # N x H x W, given or unused

    @classmethod
    def begin(cls, problem: Problem, render: Render, latent: Tensor) -> Self:
        """Descents from latents N x d, one per row of the problem."""
        rows, size = latent.shape
        return cls(
            latent=latent.clone(),
            value=latent.new_full((rows,), torch.inf),
            gradient=torch.zeros_like(latent),
            step=torch.zeros_like(latent),
            steps=latent.new_zeros(rows, MEMORY, size),
            changes=latent.new_zeros(rows, MEMORY, size),
            mask=problem.given.clone(),
        )

    def learn(self, other: Self) -> None:
        """See Rows: the pairs; value and gradient are another objective's."""
        self.steps, self.changes = other.steps.clone(), other.changes.clone()

    def trial(self) -> tuple[Tensor, Tensor]:
        """Where the objective and its gradient are wanted: latent and mask."""
        return self.latent + self.step, self.mask

    def update(self, method: Method, value: Tensor, gradients: tuple[Tensor, ...]) -> None:
        """Accept the trial points that are low enough and choose the next ones."""
        gradient, slope = gradients[0], _dot(self.gradient, self.step)
        sound = value.isfinite() & gradient.isfinite().all(1)
        accepted = sound & (value <= self.value + ENOUGH * slope)
        shorter = _shorter(self.value, value, slope) * self.step.norm(dim=1)
        self._remember(gradient - self.gradient, sound)
        self.latent = torch.where(accepted[:, None], self.latent + self.step, self.latent)
        self.gradient = torch.where(accepted[:, None], gradient, self.gradient)
        self.value = torch.where(accepted, value, self.value)
        norm = self.latent.norm(dim=1)
        self.step = self._new_step(norm, torch.where(accepted, LONGEST_STEP * norm, shorter))

    def _remember(self, change: Tensor, sound: Tensor) -> None:
        """Keep the pair where curvature is positive, or the direction would not descend."""
        curvature = _dot(self.step, change)
        felt = self.step.norm(dim=1) > SHORTEST_STEP * self.latent.norm(dim=1)
        kept = (sound & felt & (curvature > 1e-8 * _dot(change, change)))[:, None, None]
        scale = curvature.clamp_min(torch.finfo(change.dtype).tiny).rsqrt()[:, None]
        for name, newest in (("steps", self.step * scale), ("changes", change * scale)):
            memory = getattr(self, name)
            shifted = torch.cat([memory[:, 1:], newest[:, None]], 1)
            setattr(self, name, torch.where(kept, shifted, memory))

    def _new_step(self, norm: Tensor, longest: Tensor) -> Tensor:
        """Minus inverse Hessian times gradient, of bounded length."""
        newest = _dot(self.changes[:, -1], self.changes[:, -1])
        first = FIRST_STEP * norm / self.gradient.norm(dim=1).clamp_min(1e-20)
        scale = torch.where(newest > 0, 1 / newest.clamp_min(1e-20), first)
        step = -inverse_hessian_product(self.steps, self.changes, scale, self.gradient)
        # Rounding may spoil a direction; then the steepest descent, which always descends.
        steepest = -first[:, None] * self.gradient
        descends = (_dot(step, self.gradient) < 0) & step.isfinite().all(1)
        step = torch.where(descends[:, None], step, steepest)
        return step * (longest / step.norm(dim=1).clamp_min(1e-20)).clamp_max(1)[:, None]


def inverse_hessian_product(
    steps: Tensor, changes: Tensor, scale: Tensor, vector: Tensor
) -> Tensor:
    """H v for the BFGS matrix H made from scale * identity by the pairs, oldest first.

    Args:
        steps: s, N x m x d, with s . y = 1 or s = y = 0 for each pair.
        changes: y, N x m x d.
        scale: N, > 0.
        vector: v, N x d.

    Returns:
        N x d.
    """
    scale, column = scale[:, None, None], vector[..., None]
    upper = (steps @ changes.mT).triu(1)  # its diagonal is 1 and is never read
    inner = torch.linalg.solve_triangular(upper, steps @ column, upper=True, unitriangular=True)
    rest = inner + scale * (changes @ (changes.mT @ inner - column))
    outer = torch.linalg.solve_triangular(upper.mT, rest, upper=False, unitriangular=True)
    product = scale * column + steps.mT @ outer - scale * (changes.mT @ inner)
    return product[..., 0]


def _shorter(before: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """Where the parabola through both values and the slope is lowest, as a part of the step."""
    lowest = -slope / (2 * (value - before - slope))
    return lowest.nan_to_num(nan=0.1).clamp(0.1, 0.5)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(1)

"""What is minimised for a batch of images: one objective each, no term that couples two."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from rgi.inversion.methods import Method
from rgi.inversion.objective import (
    closed_form_mask,
    masked_fidelity,
    pixel_error,
    profile_fidelity,
)
from rgi.models import Discriminator

Render = Callable[[Tensor], Tensor]  # latent N x d -> images N x C x H x W in [-1, 1]


@dataclass(frozen=True)
class Problem:
    """Images with everything that their objectives need, on one device."""

    method: Method
    discriminator: Discriminator | None
    images: Tensor  # N x C x H x W, corrupted
    lam: Tensor  # N; 0 for a method without lambda
    given: Tensor  # N x H x W in {0, 1}; 0 unless the method needs the true mask
    features: Tensor | None = None  # of the observed images, for feature matching (AnoGAN, DGP)

    def rows(self, rows: Tensor, lam: Tensor | None = None) -> Self:
        """The problem of some images, in any order and any number of times.

        Args:
            rows: indices of images.
            lam: other lambdas for these rows.
        """
        features = None if self.features is None else self.features[rows]
        return replace(
            self,
            images=self.images[rows],
            lam=self.lam[rows] if lam is None else lam,
            given=self.given[rows],
            features=features,
        )

    def exploring(self) -> Self:
        """The problem of all stages but the last, where lambda and the critic's weight differ."""
        method = self.method
        return replace(
            self,
            method=replace(method, critic_weight=method.explore_critic_weight),
            lam=torch.full_like(self.lam, method.explore_lam),
        )

    def observed_features(self, images: Tensor) -> Tensor:
        """The discriminator's last features of the images without what lies under a given mask."""
        return self.discriminator.features(images * (1 - self.given[:, None]))[-1]

    def first_mask(self, images: Tensor) -> Tensor:
        """The mask before the first step: given (or zero), or the support of the closed form.

        Gross corruption then never pulls. (At the closed form itself the gradient would be
        rounding noise, which Adam blows up to full steps.)
        """
        if not self.method.learns_mask:
            return self.given.clone()
        return (self.best_mask(images) > 0).to(images.dtype)

    def best_mask(self, images: Tensor) -> Tensor:
        """The mask that minimises the objective for these images (appendix B), N x H x W."""
        error = pixel_error(self.images - images, self.method.fidelity)
        return closed_form_mask(error, self.lam, self.method.fidelity)

    def robust_fidelity(self, images: Tensor) -> Tensor:
        """The fidelity with a found M at its best (eq. 6), N values.

        What starts are judged by: gross corruption must not choose them.
        """
        error = pixel_error(self.images - images, self.method.fidelity)
        if self.method.finds_mask:
            return profile_fidelity(error, self.lam, self.method.fidelity)
        return masked_fidelity(error, self.given, self.method.fidelity)

    def objective(self, images: Tensor, mask: Tensor) -> Tensor:
        """Eq. 3, 4 or 6 and the priors, N values; `mask` is not looked at where M is eliminated."""
        method = self.method
        error = pixel_error(self.images - images, method.fidelity)
        if method.profile:
            value = profile_fidelity(error, self.lam, method.fidelity)
        else:
            value = masked_fidelity(error, mask, method.fidelity)
        if method.learns_mask:
            value = value + self.lam * mask.sum((-2, -1))
        if method.critic_weight:
            value = value - method.critic_weight * self.discriminator(images)
        if method.feature_weight:
            distance = (self.observed_features(images) - self.features).abs().flatten(1).sum(1)
            value = value + method.feature_weight * distance
        return value

    def score(self, restored: Tensor, mask: Tensor) -> Tensor:
        """N x H x W, higher = more surely corrupted: the mask, or the residual without one."""
        if self.method.profile:
            return self.best_mask(restored)
        if self.method.learns_mask or self.method.needs_mask:
            return mask
        return (self.images - restored).square().sum(1).sqrt()

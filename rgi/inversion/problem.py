"""What is minimised for a batch of images: one objective each, no term that couples two."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from rgi.inversion.methods import Method
from rgi.inversion.objective import (
    closed_form_mask,
    masked_fidelity,
    pixel_error,
    profile_fidelity,
)


@dataclass(frozen=True)
class Problem:
    """Images with everything that their objectives need, on one device."""

    method: Method
    discriminator: nn.Module | None
    images: Tensor  # N x C x H x W, corrupted
    lam: Tensor  # N; 0 for a method without lambda
    given: Tensor  # N x H x W in {0, 1}; 0 unless the method needs the true mask
    features: Tensor | None = None  # of the observed images, for feature matching (AnoGAN, DGP)

    def rows(self, rows: Tensor) -> Self:
        """The problem of some images, in any order and any number of times."""
        features = None if self.features is None else self.features[rows]
        return replace(
            self,
            images=self.images[rows],
            lam=self.lam[rows],
            given=self.given[rows],
            features=features,
        )

    def with_features(self) -> Self:
        """The problem with the features that matching needs, computed once for all steps."""
        if not self.method.feature_weight:
            return self
        with torch.no_grad():
            return replace(self, features=self._observed_features(self.images))

    def _observed_features(self, images: Tensor) -> Tensor:
        """The discriminator's last features of the images without what lies under a given mask."""
        return self.discriminator.features(images * (1 - self.given[:, None]))[-1]

    def first_mask(self, images: Tensor) -> Tensor:
        """The mask before the first step: given (or zero), or the support of the closed form.

        Gross corruption then never pulls. (At the closed form itself the gradient would be
        rounding noise, which Adam blows up to full steps.)
        """
        if not self.method.learns_mask:
            return self.given.clone()
        error = pixel_error(self.images - images, self.method.fidelity)
        return (closed_form_mask(error, self.lam, self.method.fidelity) > 0).to(error.dtype)

    def start_fidelity(self, images: Tensor) -> Tensor:
        """What a start is judged by: the fidelity, with a learned M at its best (eq. 6); N values.

        Robust, so that gross corruption does not choose the start.
        """
        error = pixel_error(self.images - images, self.method.fidelity)
        if self.method.learns_mask:
            return profile_fidelity(error, self.lam, self.method.fidelity)
        return masked_fidelity(error, self.given, self.method.fidelity)

    def objective(self, images: Tensor, mask: Tensor) -> Tensor:
        """Eq. 3 or 4 and the priors, N values."""
        method = self.method
        error = pixel_error(self.images - images, method.fidelity)
        value = masked_fidelity(error, mask, method.fidelity)
        if method.learns_mask:
            value = value + self.lam * mask.sum((-2, -1))
        if method.critic_weight:
            value = value - method.critic_weight * self.discriminator(images)
        if method.feature_weight:
            distance = (self._observed_features(images) - self.features).abs().flatten(1).sum(1)
            value = value + method.feature_weight * distance
        return value

    def score(self, restored: Tensor, mask: Tensor) -> Tensor:
        """N x H x W, higher = more surely corrupted: the mask, or the residual without one."""
        if self.method.learns_mask or self.method.needs_mask:
            return mask
        return (self.images - restored).square().sum(1).sqrt()

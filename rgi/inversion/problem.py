"""What is minimised for a batch of images: one objective each, no term that couples two."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from rgi.corruption.operators import Operator
from rgi.inversion.methods import Method
from rgi.inversion.objective import (
    closed_form_mask,
    masked_fidelity,
    pixel_error,
    profile_fidelity,
)
from rgi.models import Discriminator, Encoder
from rgi.models.perceptual import PerceptualDistance

Render = Callable[[Tensor], Tensor]  # latent N x d -> images N x C x H x W in [-1, 1]


@dataclass(frozen=True)
class Problem:
    """Images with everything that their objectives need, on one device."""

    method: Method
    discriminator: Discriminator | None
    images: Tensor  # N x C x H x W, corrupted; what is observed where there is an operator
    lam: Tensor  # N; 0 for a method without lambda
    # N x H x W in {0, 1}: the true mask of a method that needs it; where M is eliminated, the area
    # found so far, which costs nothing; else 0.
    given: Tensor
    features: Tensor | None = None  # of the observed images, for feature matching (AnoGAN, DGP)
    operator: Operator | None = None  # by which images are observed; None: they are seen
    perceptual: PerceptualDistance | None = None  # for a perceptual term
    encoder: Encoder | None = None  # for an encoded start

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
            operator=None if self.operator is None else self.operator.rows(rows),
        )

    def exploring(self) -> Self:
        """The problem of all before the last stage, where lambda and the critic's weight differ."""
        method = self.method
        return replace(
            self,
            method=replace(method, critic_weight=method.explore_critic_weight),
            lam=torch.full_like(self.lam, method.explore_lam),
        )

    def settling(self, given: Tensor) -> Self:
        """The last stage's problem at the exploration's lambda, with the area found, N x H x W.

        Never stops early: lambdas part where it ends, and from elsewhere one may come to another
        minimum.
        """
        lam = torch.full_like(self.lam, self.method.explore_lam)
        return replace(self, method=replace(self.method, tolerance=0.0), lam=lam, given=given)

    def holding(self, mask: Tensor) -> Self:
        """The problem with a mask given, N x H x W, in place of one that is eliminated."""
        return replace(self, method=self.method.holding_a_mask(), given=mask)

    def in_round(self, layer: int, steps: int) -> Self:
        """The problem of a round of features."""
        return replace(self, method=self.method.in_round(layer, steps))

    def residual(self, images: Tensor) -> Tensor:
        """What is observed less what would be of these images: y - A x."""
        seen = images if self.operator is None else self.operator.forward(images)
        return self.images - seen

    def pictures(self) -> Tensor:
        """What is observed as images, N x C x H x W in [-1, 1], for an encoder."""
        if self.operator is None:
            return self.images
        return self.operator.picture(self.images).clamp(-1, 1)

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
        error = pixel_error(self.residual(images), self.method.fidelity)
        mask = closed_form_mask(error, self.lam, self.method.fidelity)
        return mask.maximum(self.given) if self.method.profile else mask

    def robust_fidelity(self, images: Tensor) -> Tensor:
        """The fidelity with a found M at its best (eq. 6), N values.

        What starts are judged by: gross corruption must not choose them.
        """
        error = pixel_error(self.residual(images), self.method.fidelity)
        if self.method.finds_mask:
            return profile_fidelity(error, self.lam, self.method.fidelity)
        return masked_fidelity(error, self.given, self.method.fidelity)

    def objective(self, images: Tensor, mask: Tensor) -> Tensor:
        """Eq. 3, 4 or 6 and the priors, N values; `mask` is not looked at where M is eliminated."""
        method = self.method
        residual = self.residual(images)
        error = pixel_error(residual, method.fidelity)
        if method.profile:
            value = profile_fidelity(error * (1 - self.given), self.lam, method.fidelity)
        else:
            value = masked_fidelity(error, mask, method.fidelity)
        if method.perceptual_weight:
            value = method.fidelity_weight * value + self._perceptual_term(images, residual)
        if method.learns_mask:
            value = value + self.lam * mask.sum((-2, -1))
        if method.critic_weight:
            value = value - method.critic_weight * self.discriminator(images)
        if method.feature_weight:
            distance = (self.observed_features(images) - self.features).abs().flatten(1).sum(1)
            value = value + method.feature_weight * distance
        return value

    def misfit(self, images: Tensor, mask: Tensor) -> Tensor:
        """What the objective has of pixels that count as clean, N values; by it progress counts.

        By the whole objective, of which a small lambda's price of M can be nearly all, the last
        tenth of the way would count as none.
        """
        residual = self.residual(images)
        error = pixel_error(residual, self.method.fidelity)
        if self.method.profile:
            mask = self.best_mask(images)
        value = masked_fidelity(error, mask, self.method.fidelity)
        if self.method.perceptual_weight:
            fidelity = self.method.fidelity_weight * value
            value = fidelity + self._perceptual_term(images, residual)
        return value

    def _perceptual_term(self, images: Tensor, residual: Tensor) -> Tensor:
        """LPIPS of the images and the same made to agree with what is observed.

        Under a mask that is ILO's LPIPS((1 - M) y + M G, G), of a noisy image LPIPS(y, G). Counted
        once for each number observed: its ratio to the mean error does not depend on sizes.
        """
        agreeing = images + self.operator.picture(residual)
        weight = self.method.perceptual_weight * residual[0].numel()
        return weight * self.perceptual(agreeing, images)

    def score(self, restored: Tensor, mask: Tensor) -> Tensor:
        """N x H x W, higher = more surely corrupted: the mask, or the residual without one."""
        if self.operator is not None:
            return self.operator.degraded(restored)
        if self.method.profile:
            return self.best_mask(restored)
        if self.method.learns_mask or self.method.needs_mask:
            return mask
        return (self.images - restored).square().sum(1).sqrt()

"""The energy of images in [0, 1] and of each one's steps; no term couples two images."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from rgi.models import Autoencoder
from rgi.projection.methods import Method

BETAS = (0.9, 0.999)  # Adam's (Kingma & Ba 2015)
EPSILON = 1e-8
CHECK = 10  # steps between two looks at whether an energy still falls


@dataclass
class Rows:
    """Projections side by side: every tensor has one entry per row."""

    image: Tensor  # x_t, N x C x H x W
    start: Tensor  # x_0
    free: Tensor  # N x 1 x H x W: 1 where x may move, 0 elsewhere (Omega of eq. 7)
    mean: Tensor  # Adam's moments, like image
    square: Tensor
    steps: Tensor  # N: taken so far
    passes: Tensor  # N: gradients that were computed for them; one more where the last said stop
    first: Tensor  # N: energy at x_0
    energy: Tensor  # N: at the last look
    done: Tensor  # bool N

    @classmethod
    def begin(cls, images: Tensor, free: Tensor) -> Self:
        """Stand at x_0 = images."""
        count = images.new_zeros(len(images))
        return cls(
            image=images.clone(),
            start=images,
            free=free[:, None],
            mean=torch.zeros_like(images),
            square=torch.zeros_like(images),
            steps=count.clone(),
            passes=count.clone(),
            first=count.clone(),
            energy=torch.full_like(count, torch.inf),
            done=count.bool(),
        )

    def take(self, rows: Tensor) -> Self:
        """A copy of some rows, in any order and any number of times."""
        return replace(self, **{name: tensor[rows] for name, tensor in vars(self).items()})

    def put(self, rows: Tensor, others: Self) -> None:
        """Overwrite some rows by the first of `others`."""
        for name, tensor in vars(self).items():
            tensor[rows] = getattr(others, name)[: len(rows)]


def energy(
    autoencoder: Autoencoder, image: Tensor, start: Tensor, lam: float
) -> tuple[Tensor, Tensor, Tensor]:
    """E(x) = L_r(x) + lam ||x - x_0||_1 (eq. 4), with f(x) inside L_r: x moves, and f(x) with it.

    A VAE's E_q log p(x | z) is taken at the mean of q: what descends is then a function of the
    image alone, so that it can settle, compare with the training images' losses, and needs no
    random numbers. A drawn z would add noise of the size of tr(J Sigma J') at every step.

    Args:
        autoencoder: in eval mode.
        image: x, N x C x H x W in [0, 1].
        start: x_0.
        lam: how much it costs to change a pixel.

    Returns:
        E and L_r, N values each, and f(x).
    """
    reconstructed = autoencoder(image)
    loss = autoencoder.reconstruction_loss(image, reconstructed)
    distance = (image - start).abs().flatten(1).sum(1)
    return loss + lam * distance, loss, reconstructed


def take_steps(
    autoencoder: Autoencoder, method: Method, lam: float, rows: Rows, count: int
) -> None:
    """Give every row that is not done up to `count` steps, in place."""
    threshold = (
        -torch.inf
        if method.quantile is None
        else autoencoder.training_losses.quantile(method.quantile)
    )
    for _ in range(count):
        rows.passes += ~rows.done
        image = rows.image.detach().requires_grad_()
        value, loss, reconstructed = energy(autoencoder, image, rows.start, lam)
        (gradient,) = torch.autograd.grad(value.sum(), image)
        value, loss = value.detach(), loss.detach()
        looks = rows.steps % CHECK == 0
        settled = looks & (rows.energy - value < method.tolerance * value.abs())
        rows.first = torch.where(rows.steps == 0, value, rows.first)
        last = rows.steps == method.steps - 1  # where what follows is the last step
        rows.energy = torch.where(looks | last, value, rows.energy)
        rows.done |= (loss <= threshold) | (settled if method.tolerance else False)
        weight = rows.free
        if method.update == "tuned":
            weight = (image - reconstructed).detach().square()  # eq. 8
        moved = _moved(rows, method, gradient * weight, autoencoder.variance)
        rows.image = torch.where(rows.done[:, None, None, None], rows.image, moved)
        rows.steps += ~rows.done
        rows.done |= rows.steps >= method.steps


def _moved(rows: Rows, method: Method, gradient: Tensor, variance: Tensor) -> Tensor:
    """Where a step against the gradient leads."""
    if method.solver == "gradient":
        return rows.image - method.learning_rate * variance * gradient
    rows.mean.lerp_(gradient, 1 - BETAS[0])
    rows.square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    first, second = (
        (1 - beta ** (rows.steps + 1)).view(-1, 1, 1, 1) for beta in BETAS
    )  # bias corrections
    return rows.image - method.learning_rate * (rows.mean / first) / (
        (rows.square / second).sqrt() + EPSILON
    )

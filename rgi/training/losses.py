"""WGAN-GP with drift, the losses of Karras et al. 2018 (appendix A.1)."""

from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


def gradient_penalty(critic: Critic, reals: Tensor, fakes: Tensor, mixing: Tensor) -> Tensor:
    """Mean of (||grad D(x)||_2 - 1)^2 at x = real + mixing (fake - real), differentiable.

    Args:
        critic: images N x C x H x W -> N values.
        reals: N x C x H x W.
        fakes: N x C x H x W.
        mixing: N numbers in [0, 1].

    Source: Gulrajani et al. 2017, equation 3.
    """
    mixed = torch.lerp(reals, fakes.detach(), mixing.view(-1, 1, 1, 1)).requires_grad_()
    # One image's value depends on that image alone (up to the group's spread), so that the
    # gradient of the sum holds every image's own gradient.
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def judge_both(critic: Critic, reals: Tensor, fakes: Tensor) -> tuple[Tensor, Tensor]:
    """Critic values of reals and fakes, in one pass.

    N must be a multiple of the spread's group, or reals and fakes would share a group.
    """
    return critic(torch.cat([reals, fakes.detach()])).chunk(2)


def critic_loss(real: Tensor, fake: Tensor, drift: float) -> Tensor:
    """Wasserstein loss of the critic plus drift x mean D(real)^2, without gradient penalty."""
    return fake.mean() - real.mean() + drift * real.square().mean()

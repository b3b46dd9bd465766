"""What says of each pixel how anomalous it is."""

import torch
from torch import Tensor

from rgi.models import Autoencoder
from rgi.models.autoencoder import latent_divergence


def gradient_score(autoencoder: Autoencoder, images: Tensor, score: str) -> tuple[Tensor, Tensor]:
    """A VAE's gradient scores (Zimmerer et al. 2019; appendix A of Dehaene et al. 2020).

    `loss` is a pixel's part of L_r, `gradient` |d(L_r + KL)/dx|, `divergence` |dKL/dx|, each summed
    over channels, `NAME-loss` its product with `loss`. One backward pass; nothing is smoothed.

    Args:
        autoencoder: a VAE in eval mode.
        images: N x C x H x W in [0, 1].
        score: one of rgi.projection.methods.GRADIENT_SCORES.

    Returns:
        The reconstructions, N x C x H x W, and the scores, N x H x W.
    """
    images = images.detach().requires_grad_()
    mean, log_variance = autoencoder.encode(images)
    reconstructed = autoencoder.decode(mean)
    error = autoencoder.error(images, reconstructed)
    divergence = latent_divergence(mean, log_variance).sum()
    of, _, product = score.partition("-")
    if of == "loss":
        return reconstructed.detach(), error.detach().sum(1)
    value = divergence if of == "divergence" else error.sum() + divergence
    (gradient,) = torch.autograd.grad(value, images)
    found = gradient.abs().sum(1)
    return reconstructed.detach(), found * error.detach().sum(1) if product else found

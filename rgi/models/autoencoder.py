"""The convolutional autoencoder of Bergmann et al. 2018 (arXiv 1807.02011), in four kinds.

One architecture for all: strided convolutions down to a latent vector, and the same way back. The
kinds differ in what the reconstruction is judged by, and in whether the latent is a distribution:

| kind | latent | reconstruction term L_r of an image, up to constants |
|---|---|---|
| l2-ae | vector | ||x - f(x)||^2 |
| dsae | vector | sum of DSSIM(x, f(x)) (Bergmann et al. 2018) |
| vae | N(mean, diag) | ||x - f(x)||^2 / (2 deviation^2): decoder covariance fixed |
| gamma-vae | N(mean, diag) | ||x - f(x)||^2 / (2 gamma^2), gamma learned (Dai & Wipf 2019) |

Images are in [0, 1] here, unlike elsewhere: a unit variance is one of something.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rgi.errors import InputError
from rgi.models.dssim import dssim

Kind = Literal["l2-ae", "dsae", "vae", "gamma-vae"]
KINDS: tuple[Kind, ...] = ("l2-ae", "dsae", "vae", "gamma-vae")
VARIATIONAL = ("vae", "gamma-vae")
SLOPE = 0.2
SMALLEST = 4  # side of the smallest feature maps in pixels; 8 in the paper
QUANTILES = 101  # of the training images' losses that are kept: 0%, 1%, ..., 100%


@dataclass(frozen=True)
class AutoencoderArchitecture:
    """Arguments from which an autoencoder is built; the defaults are those of the paper.

    Raises:
        InputError: a value out of its range, or more widths than the resolution can be halved.
    """

    kind: Kind
    resolution: int  # pixels per side
    channels: int  # 1 (grey) or 3 (colour)
    latent_dim: int = 100
    widths: tuple[int, ...] = (32, 32, 64, 128)  # feature maps after each halving of the side
    window: int = 11  # side of DSSIM's window in pixels, odd
    # Of a pixel in the vae's decoder: 1 is the paper's identity at 128 x 128. Smaller images have
    # fewer pixels to outweigh the KL, so that the latent may collapse; resolution / 128 keeps the
    # balance.
    deviation: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if self.kind not in KINDS:
            raise InputError(f"kind: {self.kind!r}; allowed: {', '.join(KINDS)}")
        if self.channels not in (1, 3):
            raise InputError(f"channels: {self.channels}; allowed: 1 or 3")
        if self.latent_dim < 1:
            raise InputError(f"latent_dim: {self.latent_dim}; allowed: at least 1")
        if not self.widths or min(self.widths) < 4:
            raise InputError(f"widths: {list(self.widths)}; allowed: integers of at least 4")
        if self.resolution % 2 ** len(self.widths) or self.side < SMALLEST:
            raise InputError(
                f"widths: {list(self.widths)}; allowed: as many as the resolution "
                f"{self.resolution} can be halved without getting below {SMALLEST}"
            )
        if self.window % 2 == 0 or not 3 <= self.window <= self.resolution:
            raise InputError(
                f"window: {self.window}; allowed: odd, from 3 to the resolution {self.resolution}"
            )
        if not 0 < self.deviation < math.inf:
            raise InputError(f"deviation: {self.deviation}; allowed: above 0")
        if self.deviation != 1 and self.kind != "vae":
            raise InputError(f"deviation: {self.deviation}; allowed for kind vae alone")

    @property
    def side(self) -> int:
        """Side of the smallest feature maps in pixels."""
        return self.resolution // 2 ** len(self.widths)

    @property
    def variational(self) -> bool:
        """Whether the latent is a distribution."""
        return self.kind in VARIATIONAL


class Autoencoder(nn.Module):
    """Encoder and decoder; `seed` fixes the initial weights.

    `training_losses` are the quantiles of L_r over the training images, NaN before the end of a
    training: what is normal.
    """

    def __init__(self, architecture: AutoencoderArchitecture, *, seed: int = 0) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = _encoder(architecture)
        self.decoder = _decoder(architecture)
        if architecture.kind == "gamma-vae":
            self.log_gamma = nn.Parameter(torch.zeros(()))
        self.register_buffer("training_losses", torch.full((QUANTILES,), torch.nan))
        _draw_weights(self, seed)

    @property
    def resolution(self) -> int:
        """Side of its images in pixels."""
        return self.architecture.resolution

    @property
    def channels(self) -> int:
        """Channels of its images."""
        return self.architecture.channels

    @property
    def variance(self) -> Tensor:
        """The decoder's variance of a pixel: fixed or learned; 1 where there is none."""
        if self.architecture.kind == "gamma-vae":
            return (2 * self.log_gamma).exp()
        fixed = self.architecture.deviation**2 if self.architecture.kind == "vae" else 1.0
        return self.training_losses.new_full((), fixed)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """N x C x H x W in [0, 1] -> mean and log variance of the latent, N x d; None without."""
        found = self.encoder(images)[..., 0, 0]
        return found.chunk(2, dim=1) if self.architecture.variational else (found, None)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent N x d -> N x C x H x W, not confined to [0, 1]."""
        return self.decoder(latent[..., None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images, N x C x H x W in [0, 1]; of a VAE at the latent's mean."""
        return self.decode(self.encode(images)[0])

    def error(self, images: Tensor, reconstructed: Tensor) -> Tensor:
        """What each pixel adds to L_r, N x C x H x W; up to constants of the pixels' values."""
        if self.architecture.kind == "dsae":
            return dssim(images, reconstructed, self.architecture.window)
        squared = (images - reconstructed).square()
        return squared / (2 * self.variance) if self.architecture.variational else squared

    def reconstruction_loss(self, images: Tensor, reconstructed: Tensor) -> Tensor:
        """L_r of each image, N values: sums over pixels and channels."""
        return self.error(images, reconstructed).flatten(1).sum(1)


def latent_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) of each image, N values, from N x d each."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2


def evidence_loss(
    autoencoder: Autoencoder, images: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What training minimises, of each image: L_r, and for a VAE its constants and the KL.

    Args:
        autoencoder: in train mode or not.
        images: N x C x H x W in [0, 1].
        noise: N(0, 1), N x d, by which a VAE's latent is drawn.

    Returns:
        Loss, L_r and KL (0 without a distribution), N values each.
    """
    mean, log_variance = autoencoder.encode(images)
    if log_variance is None:
        loss = autoencoder.reconstruction_loss(images, autoencoder.decode(mean))
        return loss, loss, torch.zeros_like(loss)
    latent = mean + (log_variance / 2).exp() * noise
    reconstruction = autoencoder.reconstruction_loss(images, autoencoder.decode(latent))
    divergence = latent_divergence(mean, log_variance)
    # -log p(x | z) has a normaliser, by which gamma does not grow without end.
    normaliser = images[0].numel() * torch.log(2 * math.pi * autoencoder.variance) / 2
    return reconstruction + normaliser + divergence, reconstruction, divergence


def _encoder(architecture: AutoencoderArchitecture) -> nn.Sequential:
    """Table 1 of Bergmann et al. 2018: 4 x 4 convolutions halve, 3 x 3 ones follow."""
    widths, last = architecture.widths, architecture.widths[-1]
    layers: list[nn.Module] = []
    inputs = architecture.channels
    for number, width in enumerate(widths):
        layers += [nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        if 0 < number < len(widths) - 1:
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE)]
        inputs = width
    for narrow, wide in ((last // 2, last), (last // 4, last // 2)):
        layers += [nn.Conv2d(wide, narrow, 3, padding=1), nn.LeakyReLU(SLOPE)]
    outputs = architecture.latent_dim * (2 if architecture.variational else 1)
    return nn.Sequential(*layers, nn.Conv2d(last // 4, outputs, architecture.side))


def _decoder(architecture: AutoencoderArchitecture) -> nn.Sequential:
    """The encoder's layers in reverse; the last one is linear, as the encoder's is."""
    widths, last = architecture.widths, architecture.widths[-1]
    first = nn.ConvTranspose2d(architecture.latent_dim, last // 4, architecture.side)
    layers: list[nn.Module] = [first, nn.LeakyReLU(SLOPE)]
    for narrow, wide in ((last // 4, last // 2), (last // 2, last)):
        layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.LeakyReLU(SLOPE)]
    below = (architecture.channels, *widths[:-1])
    for number in reversed(range(len(widths))):
        width = widths[number]
        if 0 < number < len(widths) - 1:
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE)]
        layers += [nn.ConvTranspose2d(width, below[number], 4, stride=2, padding=1)]
        layers += [nn.LeakyReLU(SLOPE)] if number else []
    return nn.Sequential(*layers)


@torch.no_grad()
def _draw_weights(network: nn.Module, seed: int) -> None:
    """He's initial weights from a random generator of their own; biases are 0."""
    random = torch.Generator().manual_seed(seed)
    gain = nn.init.calculate_gain("leaky_relu", SLOPE)
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            continue
        seen = layer.in_channels * layer.kernel_size[0] ** 2
        if isinstance(layer, nn.ConvTranspose2d):
            # Of a transposed kernel each output pixel sees a part; from 1 x 1 pixel, one entry.
            is_first = layer.stride[0] == 1
            seen //= layer.kernel_size[0] ** 2 if is_first else layer.stride[0] ** 2
        layer.weight.normal_(0, gain / math.sqrt(seen), generator=random)
        layer.bias.zero_()

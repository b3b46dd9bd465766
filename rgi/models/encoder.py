"""An encoder for a generator: images to the latents that would make them (f-AnoGAN)."""

import torch.nn.functional as F
from torch import Tensor, nn

from rgi.models.progressive import (
    SLOPE,
    Architecture,
    DiscriminatorBlock,
    EqualisedConv,
    downsample,
    draw_weights,
    pixel_norm,
)


class Encoder(nn.Module):
    """The discriminator's layers with a latent at their end: N x C x H x W in [-1, 1] -> N x d.

    Latents have length sqrt(d), to which a generator scales its own. No term couples two images.
    `seed` fixes the initial weights. Source: Schlegl et al. 2019 (f-AnoGAN), section 3.2.
    """

    def __init__(self, architecture: Architecture, *, seed: int = 0) -> None:
        super().__init__()
        widths = architecture.widths
        self.architecture = architecture
        self.from_rgb = EqualisedConv(architecture.channels, widths[-1], 1)
        pairs = zip(widths[::-1], widths[-2::-1], strict=False)
        self.blocks = nn.ModuleList(DiscriminatorBlock(*pair) for pair in pairs)
        self.conv = EqualisedConv(widths[0], widths[0], 3)
        # 1 x 1 convolutions: a matrix product may round a row by its place in the batch.
        self.dense = EqualisedConv(16 * widths[0], widths[0], 1)
        self.last = EqualisedConv(widths[0], architecture.latent_dim, 1, gain=1)
        draw_weights(self, seed)

    @property
    def resolution(self) -> int:
        """Pixels per side of the images."""
        return self.architecture.resolution

    def forward(self, images: Tensor) -> Tensor:
        """Return latents of the images."""
        features = F.leaky_relu(self.from_rgb(images), SLOPE)
        for block in self.blocks:
            features = downsample(block(features))
        features = F.leaky_relu(self.conv(features), SLOPE)
        features = F.leaky_relu(self.dense(features.flatten(1)[..., None, None]), SLOPE)
        return pixel_norm(self.last(features)[..., 0, 0])

"""Progressive GAN's two networks (Karras et al. 2018, arXiv 1710.10196), at any size.

Level 0 works at 4 x 4 pixels and each further level at twice the resolution of the one before.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgi.errors import InputError

RESOLUTIONS = (8, 16, 32, 64, 128, 256)
RELU_GAIN = math.sqrt(2)
SLOPE = 0.2
GROUP = 4  # images that share one minibatch standard deviation
SPREAD_MOMENTUM = 0.01


@dataclass(frozen=True)
class Architecture:
    """Arguments from which generator and discriminator are built.

    Raises:
        InputError: a value out of its range, or not one width per level.
    """

    resolution: int  # pixels per side, a power of two from 8 to 256
    channels: int  # 1 (grey) or 3 (colour)
    latent_dim: int
    widths: tuple[int, ...]  # feature maps at 4 x 4, 8 x 8, ... up to the resolution

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if self.resolution not in RESOLUTIONS:
            raise InputError(f"resolution: {self.resolution}; allowed: {RESOLUTIONS}")
        if self.channels not in (1, 3):
            raise InputError(f"channels: {self.channels}; allowed: 1 or 3")
        if not _is_count(self.latent_dim):
            raise InputError(f"latent_dim: {self.latent_dim!r}; allowed: an integer of at least 1")
        if len(self.widths) != self.levels or not all(map(_is_count, self.widths)):
            raise InputError(
                f"widths: {list(self.widths)}; allowed: {self.levels} integers of at least 1, "
                f"for 4 x 4 up to {self.resolution} x {self.resolution} pixels"
            )

    @property
    def levels(self) -> int:
        """How many levels there are; the last works at the full resolution."""
        return int(math.log2(self.resolution)) - 1


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def pixel_norm(features: Tensor) -> Tensor:
    """Scale the vector of channels (dimension 1) at each pixel to root mean square 1.

    Source: Karras et al. 2018, section 4.2. A latent, N x d, is normalised the same way.
    """
    mean_square = _precise(features).square().mean(dim=1, keepdim=True)
    return features * torch.rsqrt(mean_square + 1e-8).to(features.dtype)


def _precise(features: Tensor) -> Tensor:
    """Statistics of features in bfloat16 (autocast) are taken in float32."""
    return features.float() if features.dtype == torch.bfloat16 else features


def clamped(raw: Tensor) -> Tensor:
    """Clamp images to [-1, 1]; the gradient ignores it: a saturated pixel still pulls."""
    fixed = raw.detach()
    return fixed.clamp(-1, 1) + (raw - fixed)


def upsample(images: Tensor) -> Tensor:
    """Double the resolution; every pixel becomes 2 x 2 equal ones."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


def downsample(images: Tensor) -> Tensor:
    """Halve the resolution by the mean of 2 x 2 pixels."""
    return F.avg_pool2d(images, 2)


def cross_fade(old: Tensor, new: Tensor, fade: float) -> Tensor:
    """Blend from `old` (fade 0) to `new` (fade 1)."""
    return torch.lerp(old, new, fade)


class EqualisedDense(nn.Module):
    """Dense layer whose weights are N(0, 1) and scaled by He's constant at run time.

    Adam then moves all layers at the same relative speed (Karras et al. 2018, section 4.1).
    """

    def __init__(self, inputs: int, outputs: int, gain: float = RELU_GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.constant = gain / math.sqrt(inputs)

    def forward(self, features: Tensor) -> Tensor:
        """N x inputs -> N x outputs."""
        return F.linear(features, self.weight * self.constant, self.bias)


class EqualisedConv(nn.Module):
    """Convolution that keeps the resolution; weights as in EqualisedDense."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = RELU_GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.constant = gain / math.sqrt(inputs * kernel**2)
        self.padding = kernel // 2

    def forward(self, features: Tensor) -> Tensor:
        """N x inputs x H x W -> N x outputs x H x W."""
        return F.conv2d(features, self.weight * self.constant, self.bias, padding=self.padding)


def draw_weights(network: nn.Module, seed: int) -> None:
    """Draw N(0, 1) weights from a generator of their own; biases stay 0."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, EqualisedDense | EqualisedConv):
                module.weight.normal_(generator=random)


class GeneratorBlock(nn.Module):
    """Two 3 x 3 convolutions, each with leaky ReLU and pixel norm, after doubling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualisedConv(inputs, outputs, 3)
        self.second = EqualisedConv(outputs, outputs, 3)

    def forward(self, features: Tensor) -> Tensor:
        """N x inputs x H x W -> N x outputs x 2H x 2W."""
        features = pixel_norm(F.leaky_relu(self.first(upsample(features)), SLOPE))
        return pixel_norm(F.leaky_relu(self.second(features), SLOPE))


class Generator(nn.Module):
    """Karras et al. 2018's generator: latent N x d -> images N x C x H x W in [-1, 1].

    Use the latent N(0, I); it is normalised to length sqrt(d) inside. `seed` fixes the initial
    weights.
    """

    def __init__(self, architecture: Architecture, *, seed: int = 0) -> None:
        super().__init__()
        widths = architecture.widths
        self.architecture = architecture
        # sqrt(2) / 4 is the published gain of this layer, not He's.
        self.dense = EqualisedDense(architecture.latent_dim, 16 * widths[0], RELU_GAIN / 4)
        self.conv = EqualisedConv(widths[0], widths[0], 3)
        self.blocks = nn.ModuleList(
            GeneratorBlock(*pair) for pair in zip(widths, widths[1:], strict=False)
        )
        self.to_rgb = nn.ModuleList(
            EqualisedConv(width, architecture.channels, 1, gain=1) for width in widths
        )
        draw_weights(self, seed)

    @property
    def latent_dim(self) -> int:
        """Length d of a latent."""
        return self.architecture.latent_dim

    @property
    def resolution(self) -> int:
        """Pixels per side of the images."""
        return self.architecture.resolution

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (colour)."""
        return self.architecture.channels

    def forward(self, latent: Tensor) -> Tensor:
        """Generate images of the full resolution, clamped to [-1, 1]."""
        return clamped(self.grow(latent, self.architecture.levels - 1, 1.0))

    def grow(self, latent: Tensor, level: int, fade: float) -> Tensor:
        """Generate unclamped images of one level's own resolution, for training.

        With fade < 1 they are blended with the enlarged images of the level below (figure 2).
        """
        below = features = self._start(latent)
        for block in self.blocks[:level]:
            below, features = features, block(features)
        images = self.to_rgb[level](features)
        if level == 0 or fade == 1:
            return images
        return cross_fade(upsample(self.to_rgb[level - 1](below)), images, fade)

    def _start(self, latent: Tensor) -> Tensor:
        features = self.dense(pixel_norm(latent)).unflatten(1, (-1, 4, 4))
        features = pixel_norm(F.leaky_relu(features, SLOPE))
        return pixel_norm(F.leaky_relu(self.conv(features), SLOPE))


class DiscriminatorBlock(nn.Module):
    """Two 3 x 3 convolutions, each with leaky ReLU; halving follows outside."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualisedConv(inputs, inputs, 3)
        self.second = EqualisedConv(inputs, outputs, 3)

    def forward(self, features: Tensor) -> Tensor:
        """N x inputs x H x W -> N x outputs x H x W."""
        features = F.leaky_relu(self.first(features), SLOPE)
        return F.leaky_relu(self.second(features), SLOPE)


class MinibatchSpread(nn.Module):
    """Append one channel: the features' mean standard deviation over a group of images.

    Source: Karras et al. 2018, section 3 ("minibatch standard deviation"). Groups are GROUP
    consecutive images. In eval() mode the channel holds the running average of training, as in
    batch norm, so that an image's value does not depend on its batch mates. `learns` says whether
    the average follows what is seen in train() mode.
    """

    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.learns = True
        self.register_buffer("average", torch.tensor(1.0))

    def forward(self, features: Tensor) -> Tensor:
        """N x K x H x W -> N x (K + 1) x H x W."""
        images, _, height, width = features.shape
        if self.training:
            spread = self._measure(features).view(-1, 1, 1, 1)
        else:
            spread = self.average.expand(images, 1, 1, 1)
        return torch.cat([features, spread.expand(images, 1, height, width)], dim=1)

    def _measure(self, features: Tensor) -> Tensor:
        images = len(features)
        group = max(size for size in range(1, GROUP + 1) if images % size == 0)
        variance = _precise(features).unflatten(0, (-1, group)).var(dim=1, correction=0)
        spread = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
        if self.learns:
            with torch.no_grad():
                self.average.lerp_(spread.mean(), SPREAD_MOMENTUM)
        return spread.repeat_interleave(group)


class Discriminator(nn.Module):
    """Karras et al. 2018's discriminator: images N x C x H x W in [-1, 1] -> N critic values.

    Higher values mean more like the training images; there is no fixed scale. `seed` fixes the
    initial weights. Call eval() before judging single images (see MinibatchSpread).
    """

    def __init__(self, architecture: Architecture, *, seed: int = 0) -> None:
        super().__init__()
        widths = architecture.widths
        self.architecture = architecture
        self.from_rgb = nn.ModuleList(
            EqualisedConv(architecture.channels, width, 1) for width in widths
        )
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(*pair) for pair in zip(widths[1:], widths, strict=False)
        )
        self.spread = MinibatchSpread()
        self.conv = EqualisedConv(widths[0] + 1, widths[0], 3)
        self.dense = EqualisedDense(16 * widths[0], widths[0])
        self.last = EqualisedDense(widths[0], 1, gain=1)
        draw_weights(self, seed)

    @property
    def resolution(self) -> int:
        """Pixels per side of the images."""
        return self.architecture.resolution

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (colour)."""
        return self.architecture.channels

    def forward(self, images: Tensor) -> Tensor:
        """Judge images of the full resolution."""
        return self.grow(images, self.architecture.levels - 1, 1.0)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return each level's last feature map before halving, finest first; 4 x 4 comes last."""
        return list(self._maps(images, self.architecture.levels - 1, 1.0))

    def grow(self, images: Tensor, level: int, fade: float) -> Tensor:
        """Judge images of one level's own resolution, for training.

        With fade < 1 the level's features are blended with those of the halved images.
        """
        *_, features = self._maps(images, level, fade)
        features = F.leaky_relu(self.dense(features.flatten(1)), SLOPE)
        return self.last(features).flatten()

    def _maps(self, images: Tensor, level: int, fade: float) -> Iterator[Tensor]:
        features = self._enter(images, level)
        for current in range(level, 0, -1):
            features = self.blocks[current - 1](features)
            yield features
            features = downsample(features)
            if current == level and fade != 1:
                features = cross_fade(self._enter(downsample(images), level - 1), features, fade)
        yield F.leaky_relu(self.conv(self.spread(features)), SLOPE)

    def _enter(self, images: Tensor, level: int) -> Tensor:
        return F.leaky_relu(self.from_rgb[level](images), SLOPE)

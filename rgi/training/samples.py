"""What the generator shows: reals at a level's resolution, sample sheets, and collapse."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rgi.data.arrays import to_tensor, to_uint8
from rgi.data.preview import save_preview
from rgi.errors import InputError
from rgi.models import Generator
from rgi.models.progressive import cross_fade, downsample, upsample
from rgi.training.seeds import Purpose, derive_seed

SAMPLES = 64
CHUNK = 16  # images generated at once, to bound memory
COLLAPSED = 0.1  # of the reals' spread


def at_level(images: Tensor, level: int, fade: float) -> Tensor:
    """Shrink images to a level's resolution and fade them as the networks fade.

    Reals lose the detail that the fading level cannot show yet (Karras et al. 2018, appendix A.1).
    """
    images = F.avg_pool2d(images, images.shape[-1] // (4 * 2**level))
    if level == 0 or fade == 1:
        return images
    return cross_fade(upsample(downsample(images)), images, fade)


@torch.no_grad()
def draw_samples(generator: Generator, level: int, seed: int) -> Tensor:
    """Generate SAMPLES images of a level's resolution, from latents fixed by the seed."""
    random = torch.Generator().manual_seed(derive_seed(seed, Purpose.SAMPLES))
    latent = torch.randn(SAMPLES, generator.latent_dim, generator=random)
    latent = latent.to(generator.dense.weight.device)
    return torch.cat([generator.grow(part, level, 1.0) for part in latent.split(CHUNK)])


def check_spread(images: np.ndarray, samples: Tensor, level: int) -> None:
    """Refuse a generator that makes nearly one image for all latents.

    Raises:
        InputError: the samples' spread is far below that of the training images.
    """
    rows = np.linspace(0, len(images) - 1, min(len(images), 256)).astype(int)
    reals = at_level(to_tensor(images[rows]), level, 1.0)
    found, expected = spread(samples), spread(reals)
    if not found >= COLLAPSED * expected:  # NaN too
        raise InputError(
            f"training collapsed to nearly one image at level {level} ({4 * 2**level} pixels): "
            f"the samples' spread is {found:.3g}, the training images' {expected:.3g}; "
            "raise images_stable or lower learning_rate"
        )


def spread(images: Tensor) -> float:
    """Standard deviation over the images N x C x H x W, mean over pixels and channels."""
    return images.clamp(-1, 1).std(dim=0, correction=0).mean().item()


def save_sheet(path: Path, samples: Tensor) -> None:
    """Write samples as one picture."""
    size = f"{samples.shape[-2]} x {samples.shape[-1]}"
    save_preview(path, {f"samples of the averaged generator, {size}": to_uint8(samples)})

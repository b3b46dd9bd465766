"""Train an autoencoder (Bergmann et al. 2018, Dehaene et al. 2020), resumable as the GAN is."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rgi.data import save_preview, to_uint8
from rgi.interruption import NEVER, StopRequest
from rgi.models import Autoencoder, AutoencoderArchitecture, save_autoencoder
from rgi.models.autoencoder import QUANTILES, evidence_loss
from rgi.models.numerics import repeatable
from rgi.models.tiles import to_tiles
from rgi.training.augmentation import augment, to_brightness
from rgi.training.autoencoder_settings import AutoencoderSettings
from rgi.training.checkpoint import identify
from rgi.training.guards import check_images
from rgi.training.seeds import Purpose, derive_seed
from rgi.training.single import Record, State, learn

logger = logging.getLogger(__name__)

MEASURES = ("loss", "reconstruction", "divergence", "variance")
SHOWN = 16  # images of a row of samples.png
CHUNK = 64  # images reconstructed at once, to bound memory


@dataclass(frozen=True)
class Draw:
    """The random part of one step."""

    images: Tensor  # N x C x H x W in [0, 1], augmented
    noise: Tensor  # N x d, by which a VAE's latents are drawn


def train_autoencoder(
    images: np.ndarray,
    architecture: AutoencoderArchitecture,
    settings: AutoencoderSettings,
    directory: Path,
    *,
    seed: int,
    device: torch.device,
    stop: StopRequest = NEVER,
) -> None:
    """Train on uint8 images N x H x W x C and write everything into `directory`.

    Where H is larger than the autoencoder's side, it sees random crops (textures). Written:
    autoencoder.pt (with the quantiles of the training images' losses), samples.png, training.jsonl
    (a line per tick) and checkpoint.pt. A training that was interrupted goes on from its checkpoint
    and ends with the weights that it would have had: every random number depends on `seed` and the
    step alone.

    Raises:
        InputError: the images do not fit the architecture, or a loss or weight is no longer finite.
        Interrupted: this process was asked to `stop`; the checkpoint holds its last step.
    """
    # Whole tiles: the losses that are kept are those of tiles, as a projection's.
    tiled = max(images.shape[1] // architecture.resolution, 1) * architecture.resolution
    check_images(images, tiled, architecture.channels)
    directory.mkdir(parents=True, exist_ok=True)
    identity = identify(architecture, settings, seed, device, images=images)
    state = _begin(architecture, settings, seed, device)
    trained = state.network
    parts = {"encoder": trained.encoder, "decoder": trained.decoder}

    def prepare(step: int) -> Draw:
        return draw_step(images, architecture, settings, seed, step)

    steps = math.ceil(settings.images_shown / settings.batch)
    learn(state, prepare, train_step, steps, Record(settings, directory, identity, parts), stop)
    trained.eval()
    with repeatable():
        losses = training_losses(trained, images)
    levels = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    trained.training_losses.copy_(losses.double().quantile(levels))
    _warn_of_variance(trained, losses)
    save_samples(directory / "samples.png", trained, images, seed)
    save_autoencoder(directory / "autoencoder.pt", trained)


def draw_step(
    images: np.ndarray,
    architecture: AutoencoderArchitecture,
    settings: AutoencoderSettings,
    seed: int,
    step: int,
) -> Draw:
    """Draw a step's batch from a random generator of its own, so that a restart repeats it."""
    random = torch.Generator().manual_seed(derive_seed(seed, Purpose.STEP, step))
    rows = torch.randint(len(images), (settings.batch,), generator=random).numpy()
    return Draw(
        images=augment(images[rows], architecture.resolution, settings, random),
        noise=torch.randn(settings.batch, architecture.latent_dim, generator=random),
    )


def train_step(state: State[Autoencoder], draw: Draw) -> Tensor:
    """Move the weights by one step; return the step's MEASURES."""
    autoencoder, device = state.network, state.tick.sums.device
    terms = evidence_loss(autoencoder, draw.images.to(device), draw.noise.to(device))
    loss, reconstruction, divergence = (term.mean() for term in terms)
    state.adam.zero_grad()
    loss.backward()
    measures = torch.stack([loss, reconstruction, divergence, autoencoder.variance]).detach()
    state.adam.step()
    return measures


@torch.no_grad()
def training_losses(autoencoder: Autoencoder, images: np.ndarray) -> Tensor:
    """L_r of every training image, or of every tile of it, as it is without augmentation.

    Args:
        autoencoder: in eval mode.
        images: uint8 N x H x W x C.

    Returns:
        N T values, on the CPU.
    """
    device, side = autoencoder.training_losses.device, autoencoder.resolution
    found = []
    for start in range(0, len(images), CHUNK):
        seen = to_tiles(to_brightness(images[start : start + CHUNK]), side).to(device)
        found.append(autoencoder.reconstruction_loss(seen, autoencoder(seen)).cpu())
    return torch.cat(found)


def _warn_of_variance(autoencoder: Autoencoder, losses: Tensor) -> None:
    """Say so where the variance of a gamma-VAE is still far above the residual's, its optimum.

    It begins at 1, and Adam's steps change the logarithm of gamma by about the learning rate.
    """
    pixels = autoencoder.channels * autoencoder.resolution**2
    variance = autoencoder.variance.item()
    residual = 2 * variance * losses.double().mean().item() / pixels  # L_r is ||r||^2 / (2 gamma^2)
    if autoencoder.architecture.kind == "gamma-vae" and residual < variance / 2:
        logger.warning(
            "the decoder's variance, %.3g, is still far above the residual's, %.3g: it needs more "
            "images_shown or a larger learning_rate",
            variance,
            residual,
        )


def _begin(
    architecture: AutoencoderArchitecture,
    settings: AutoencoderSettings,
    seed: int,
    device: torch.device,
) -> State[Autoencoder]:
    autoencoder = Autoencoder(architecture, seed=derive_seed(seed, Purpose.AUTOENCODER)).to(device)
    return State.begin(autoencoder, MEASURES, settings.learning_rate)


@torch.no_grad()
def save_samples(path: Path, autoencoder: Autoencoder, images: np.ndarray, seed: int) -> None:
    """Draw training images above their reconstructions, and of a VAE what latents N(0, I) show."""
    device, side = autoencoder.training_losses.device, autoencoder.resolution
    rows = np.linspace(0, len(images) - 1, min(len(images), SHOWN)).astype(int)
    seen = to_tiles(to_brightness(images[rows]), side)[:SHOWN].to(device)
    shown = {"training images": seen, "reconstructed": autoencoder(seen)}
    if autoencoder.architecture.variational:
        random = torch.Generator().manual_seed(derive_seed(seed, Purpose.SAMPLES))
        latent = torch.randn(SHOWN, autoencoder.architecture.latent_dim, generator=random)
        shown["decoded from latents N(0, I)"] = autoencoder.decode(latent.to(device))
    save_preview(path, {label: to_uint8(2 * group - 1) for label, group in shown.items()})

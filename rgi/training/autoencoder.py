"""Train an autoencoder (Bergmann et al. 2018, Dehaene et al. 2020), resumable as the GAN is."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam
from tqdm import tqdm

from rgi.checkpoint import Identity, save_checkpoint
from rgi.data import save_preview, to_uint8
from rgi.interruption import NEVER, Interrupted, StopRequest
from rgi.models import Autoencoder, AutoencoderArchitecture, save_autoencoder
from rgi.models.autoencoder import QUANTILES, evidence_loss
from rgi.models.tiles import to_tiles
from rgi.training.augmentation import augment, to_brightness
from rgi.training.autoencoder_settings import AutoencoderSettings
from rgi.training.checkpoint import identify, load_checkpoint
from rgi.training.draws import prefetch
from rgi.training.guards import check_finite, check_images, repeatable
from rgi.training.seeds import Purpose, derive_seed
from rgi.training.statistics import Tick, append_line, drop_lines_after

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
LOG = "training.jsonl"
MEASURES = ("loss", "reconstruction", "divergence", "variance")
SHOWN = 16  # images of a row of samples.png
CHUNK = 64  # images reconstructed at once, to bound memory


@dataclass
class State:
    """All that changes while training; a checkpoint is this, and nothing else."""

    autoencoder: Autoencoder
    adam: Adam
    tick: Tick
    step: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Contents of a checkpoint."""
        parts = ("autoencoder", "adam", "tick")
        return {"step": self.step, **{name: getattr(self, name).state_dict() for name in parts}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.autoencoder.load_state_dict(state["autoencoder"])
        self.adam.load_state_dict(state["adam"])
        self.tick = self.tick.resumed(state["tick"])
        self.step = state["step"]


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
    identity = identify(images, architecture, settings, seed, device)
    steps = math.ceil(settings.images_shown / settings.batch)
    state = _begin(architecture, settings, seed, device)
    _resume(state, directory / CHECKPOINT, identity, steps)
    drop_lines_after(directory / LOG, state.step)
    record = Record(settings, directory, identity)

    def prepare(step: int) -> Draw:
        return draw_step(images, architecture, settings, seed, step)

    left = range(state.step, steps)
    with repeatable(), closing(prefetch(prepare, left)) as draws:
        for draw in _followed(draws, state.step, steps, settings.batch):
            measures = train_step(state, draw, device)
            state.tick.add(measures, settings.batch)
            state.step += 1
            record.follow(state, ends=state.step == steps)
            if stop and state.step < steps:
                record.save(state)
                raise Interrupted(f"{directory / CHECKPOINT} holds step {state.step}")
        state.autoencoder.eval()
        losses = training_losses(state.autoencoder, images)
    levels = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    state.autoencoder.training_losses.copy_(losses.double().quantile(levels))
    record.finish(state, images, seed)


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


def train_step(state: State, draw: Draw, device: torch.device) -> Tensor:
    """Move the weights by one step; return the step's MEASURES."""
    terms = evidence_loss(state.autoencoder, draw.images.to(device), draw.noise.to(device))
    loss, reconstruction, divergence = (term.mean() for term in terms)
    state.adam.zero_grad()
    loss.backward()
    measures = torch.stack([loss, reconstruction, divergence, state.autoencoder.variance]).detach()
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


def _begin(
    architecture: AutoencoderArchitecture,
    settings: AutoencoderSettings,
    seed: int,
    device: torch.device,
) -> State:
    autoencoder = Autoencoder(architecture, seed=derive_seed(seed, Purpose.AUTOENCODER)).to(device)
    return State(
        autoencoder=autoencoder,
        adam=Adam(autoencoder.parameters(), lr=settings.learning_rate, fused=True),
        tick=Tick.begin(MEASURES, device),
    )


def _resume(state: State, checkpoint: Path, identity: Identity, steps: int) -> None:
    saved = load_checkpoint(checkpoint, identity)
    if saved is None:
        return
    state.load_state_dict(saved)
    if state.step == steps:
        logger.info("%s: already finished; delete checkpoint.pt to train anew", checkpoint)
    else:
        logger.info("%s: going on at step %d of %d", checkpoint, state.step, steps)


def _followed(draws: Iterator[Draw], done: int, steps: int, batch: int) -> Iterator[Draw]:
    """Yield the draws with a progress bar on a terminal."""
    with tqdm(
        total=steps * batch, initial=done * batch, unit=" images", mininterval=5, disable=None
    ) as bar:
        for draw in draws:
            yield draw
            bar.update(batch)


@dataclass
class Record:
    """What a training leaves behind."""

    settings: AutoencoderSettings
    directory: Path
    identity: Identity
    saved: float = field(default_factory=time.monotonic)  # when the last checkpoint was

    def follow(self, state: State, *, ends: bool) -> None:
        """Write what is due after a step."""
        if ends or state.tick.images >= self.settings.tick_images:
            self._end_tick(state)
        if time.monotonic() - self.saved >= self.settings.checkpoint_seconds:
            self.save(state)
            self.saved = time.monotonic()

    def finish(self, state: State, images: np.ndarray, seed: int) -> None:
        """Write the last checkpoint and the result."""
        self.save(state)
        save_samples(self.directory / "samples.png", state.autoencoder, images, seed)
        save_autoencoder(self.directory / "autoencoder.pt", state.autoencoder)

    def save(self, state: State) -> None:
        """Write a checkpoint."""
        self._check(state)
        save_checkpoint(self.directory / CHECKPOINT, self.identity, state.state_dict())

    def _end_tick(self, state: State) -> None:
        self._check(state)
        shown = state.step * self.settings.batch
        append_line(self.directory / LOG, state.tick, state.step, {"images": shown})
        logger.info("%d images shown", shown)
        state.tick = state.tick.following()

    def _check(self, state: State) -> None:
        parts = {"encoder": state.autoencoder.encoder, "decoder": state.autoencoder.decoder}
        check_finite(state.tick.means(), parts, state.step, self.settings.learning_rate)


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

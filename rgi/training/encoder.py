"""Train an encoder for a generator on what that makes, resumable as the generator's training is.

Pairs of latent and image are made as they are needed; no image of the data set is looked at.
Source: Schlegl et al. 2019 (f-AnoGAN), section 3.2, the architecture ziz.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from rgi.data import save_preview, to_uint8
from rgi.errors import InputError
from rgi.interruption import NEVER, StopRequest
from rgi.models import Encoder, Generator, save_encoder
from rgi.models.frozen import Frozen, frozen
from rgi.models.progressive import pixel_norm
from rgi.training.checkpoint import identify
from rgi.training.seeds import Purpose, derive_seed
from rgi.training.single import Record, State, learn

MEASURES = ("loss",)
SHOWN = 16  # images of a row of samples.png


@dataclass(frozen=True)
class EncoderSettings:
    """Settings of a training.

    Raises:
        InputError: a value out of its range.
    """

    images_shown: int = 200_000  # generated ones
    batch: int = 64  # images per step
    learning_rate: float = 1e-3  # Adam's
    tick_images: int = 10_000  # images between two lines of training.jsonl
    checkpoint_seconds: float = 60.0  # wall time between two checkpoints

    def __post_init__(self) -> None:
        for name in ("images_shown", "batch", "tick_images"):
            if getattr(self, name) < 1:
                raise InputError(f"encoders: {name}: {getattr(self, name)!r}; allowed: at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"encoders: learning_rate: {self.learning_rate!r}; allowed: above 0")
        if self.checkpoint_seconds < 0:
            raise InputError(
                f"encoders: checkpoint_seconds: {self.checkpoint_seconds!r}; allowed: at least 0"
            )


def train_encoder(
    generator: Generator,
    settings: EncoderSettings,
    directory: Path,
    *,
    seed: int,
    stop: StopRequest = NEVER,
) -> None:
    """Train on what `generator` makes, on its device, and write everything into `directory`.

    Written: encoder.pt, samples.png, training.jsonl (a line per tick) and checkpoint.pt. A training
    that was interrupted goes on from its checkpoint and ends with the weights that it would have
    had: every random number depends on `seed` and the step alone.

    Raises:
        InputError: a loss or weight is no longer finite.
        Interrupted: this process was asked to `stop`; the checkpoint holds its last step.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weights = parameters_to_vector(generator.parameters()).detach()
    architecture, device = generator.architecture, weights.device
    identity = identify(architecture, settings, seed, device, generator=weights.cpu().numpy())
    encoder = Encoder(architecture, seed=derive_seed(seed, Purpose.ENCODER)).to(device)
    state = State.begin(encoder, MEASURES, settings.learning_rate)
    render = frozen(generator)

    def prepare(step: int) -> Tensor:
        random = torch.Generator().manual_seed(derive_seed(seed, Purpose.ENCODER, step + 1))
        return torch.randn(settings.batch, generator.latent_dim, generator=random)

    def step(state: State[Encoder], latent: Tensor) -> Tensor:
        return train_step(state, render, latent.to(device))

    steps = math.ceil(settings.images_shown / settings.batch)
    record = Record(settings, directory, identity, {"encoder": encoder})
    learn(state, prepare, step, steps, record, stop)
    encoder.eval()
    save_samples(directory / "samples.png", encoder, render, seed)
    save_encoder(directory / "encoder.pt", encoder)


def train_step(state: State[Encoder], render: Frozen, latent: Tensor) -> Tensor:
    """Move the weights by one step; return the step's MEASURES."""
    with torch.no_grad():
        images = render(latent)
    loss = latent_loss(state.network(images), latent)
    state.adam.zero_grad()
    loss.backward()
    state.adam.step()
    return loss.detach()[None]


def latent_loss(encoded: Tensor, latent: Tensor) -> Tensor:
    """Mean square error of latents, N x d, where the generator scales them to one length.

    From 0 to 4; 2 for an encoder that knows nothing of the image.
    """
    return (pixel_norm(encoded) - pixel_norm(latent)).square().mean()


@torch.no_grad()
def save_samples(path: Path, encoder: Encoder, render: Frozen, seed: int) -> None:
    """Draw generated images above what the generator makes of their encodings."""
    random = torch.Generator().manual_seed(derive_seed(seed, Purpose.SAMPLES))
    latent = torch.randn(SHOWN, encoder.architecture.latent_dim, generator=random)
    images = render(latent.to(next(encoder.parameters()).device))
    shown = {"generated": images, "encoded and generated again": render(encoder(images))}
    save_preview(path, {label: to_uint8(group) for label, group in shown.items()})

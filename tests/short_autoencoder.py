"""An autoencoder's training of a second; used by several test files."""

import torch

from rgi.models import AutoencoderArchitecture
from rgi.training import AutoencoderSettings, train_autoencoder

SHAPE = {"resolution": 16, "channels": 1, "latent_dim": 5, "widths": (8, 8), "window": 7}
SHORT = AutoencoderSettings(images_shown=80, batch=8, learning_rate=0.01, tick_images=24)
LAST_STEP = 10
CPU = torch.device("cpu")


def architecture(kind, **changes):
    return AutoencoderArchitecture(kind, **{**SHAPE, **changes})


def start(pictures, directory, kind="vae", settings=SHORT, seed=0, **changes):
    train_autoencoder(
        pictures, architecture(kind, **changes), settings, directory, seed=seed, device=CPU
    )

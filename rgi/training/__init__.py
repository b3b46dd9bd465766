"""Training of generators, encoders for them, and autoencoders."""

from rgi.training.autoencoder import train_autoencoder
from rgi.training.autoencoder_settings import AutoencoderSettings, read_autoencoder
from rgi.training.encoder import EncoderSettings, train_encoder
from rgi.training.progressive import train
from rgi.training.samples import draw_samples, save_sheet
from rgi.training.settings import TrainingSettings, read_training
from rgi.training.team import join_team, launched_processes

__all__ = [
    "AutoencoderSettings",
    "EncoderSettings",
    "TrainingSettings",
    "draw_samples",
    "join_team",
    "launched_processes",
    "read_autoencoder",
    "read_training",
    "save_sheet",
    "train",
    "train_autoencoder",
    "train_encoder",
]

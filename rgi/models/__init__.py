"""Generators, discriminators, encoders, autoencoders and their files."""

from rgi.models.autoencoder import Autoencoder, AutoencoderArchitecture
from rgi.models.device import choose_device
from rgi.models.encoder import Encoder
from rgi.models.progressive import Architecture, Discriminator, Generator
from rgi.models.storage import (
    load_autoencoder,
    load_discriminator,
    load_encoder,
    load_generator,
    save_autoencoder,
    save_discriminator,
    save_encoder,
    save_generator,
)

__all__ = [
    "Architecture",
    "Autoencoder",
    "AutoencoderArchitecture",
    "Discriminator",
    "Encoder",
    "Generator",
    "choose_device",
    "load_autoencoder",
    "load_discriminator",
    "load_encoder",
    "load_generator",
    "save_autoencoder",
    "save_discriminator",
    "save_encoder",
    "save_generator",
]

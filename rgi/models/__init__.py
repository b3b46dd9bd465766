"""Generators, discriminators and their files."""

from rgi.models.device import choose_device
from rgi.models.progressive import Architecture, Discriminator, Generator
from rgi.models.storage import (
    load_discriminator,
    load_generator,
    save_discriminator,
    save_generator,
)

__all__ = [
    "Architecture",
    "Discriminator",
    "Generator",
    "choose_device",
    "load_discriminator",
    "load_generator",
    "save_discriminator",
    "save_generator",
]

"""Networks on disk: weights beside the arguments that rebuild the network."""

from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch

from rgi.errors import InputError
from rgi.files import check_content, write_whole
from rgi.models.autoencoder import Autoencoder, AutoencoderArchitecture
from rgi.models.encoder import Encoder
from rgi.models.progressive import Architecture, Discriminator, Generator

# What torch raises when a file's content is not what its name promises; text is run as a pickle.
DAMAGED = (UnpicklingError, RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError)

Network = TypeVar("Network", Generator, Discriminator, Encoder, Autoencoder)
ARCHITECTURES = {
    Generator: Architecture,
    Discriminator: Architecture,
    Encoder: Architecture,
    Autoencoder: AutoencoderArchitecture,
}


def save_generator(path: Path, generator: Generator) -> None:
    """Write a generator and its architecture, whole or not at all."""
    _save(path, generator)


def load_generator(path: Path) -> Generator:
    """Read a generator onto the CPU, in eval() mode.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    return _load(path, Generator)


def save_discriminator(path: Path, discriminator: Discriminator) -> None:
    """Write a discriminator and its architecture, whole or not at all."""
    _save(path, discriminator)


def load_discriminator(path: Path) -> Discriminator:
    """Read a discriminator onto the CPU, in eval() mode.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    return _load(path, Discriminator)


def save_encoder(path: Path, encoder: Encoder) -> None:
    """Write an encoder and its architecture, whole or not at all."""
    _save(path, encoder)


def load_encoder(path: Path) -> Encoder:
    """Read an encoder onto the CPU, in eval() mode.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    return _load(path, Encoder)


def save_autoencoder(path: Path, autoencoder: Autoencoder) -> None:
    """Write an autoencoder and its architecture, whole or not at all."""
    _save(path, autoencoder)


def load_autoencoder(path: Path) -> Autoencoder:
    """Read an autoencoder onto the CPU, in eval() mode.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    return _load(path, Autoencoder)


def _save(path: Path, network: Generator | Discriminator | Encoder | Autoencoder) -> None:
    content = {
        "network": type(network).__name__,
        "architecture": asdict(network.architecture),
        "weights": {name: weight.cpu() for name, weight in network.state_dict().items()},
    }
    with write_whole(path, checksum=True) as temporary:
        torch.save(content, temporary)


def _load(path: Path, kind: type[Network]) -> Network:
    check_content(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = content["network"]
        if found == kind.__name__:
            network = kind(ARCHITECTURES[kind](**content["architecture"]))
            network.load_state_dict(content["weights"])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except DAMAGED as error:
        # torch's own text for this one advises to run what the file holds.
        unsafe = isinstance(error, UnpicklingError)
        reason = "no file of weights alone" if unsafe else str(error).split("\n")[0]
        raise InputError(
            f"{path}: not a readable {kind.__name__.lower()} ({reason}); expected "
            "what a training wrote"
        ) from None
    if found != kind.__name__:
        raise InputError(f"{path}: holds the network {found}; expected {kind.__name__}")
    return network.eval()

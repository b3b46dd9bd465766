"""A training that was killed goes on where it was, and ends with the same weights."""

import dataclasses
import hashlib
import json
import logging
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from rgi.files import write_whole
from rgi.models import Architecture
from rgi.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

Identity = dict[str, str]
HASHED_IMAGES = 4096


def identify(
    images: np.ndarray, architecture: Architecture, settings: TrainingSettings, seed: int
) -> Identity:
    """Name everything that the result depends on; a checkpoint of anything else is of no use."""
    parts = {
        **dataclasses.asdict(architecture),
        **dataclasses.asdict(settings),
        "seed": seed,
        "images": _fingerprint(images),
    }
    del parts["checkpoint_seconds"]
    return {name: json.dumps(value) for name, value in parts.items()}


def _fingerprint(images: np.ndarray) -> str:
    """Hash the shape and at most HASHED_IMAGES images, evenly spread."""
    digest = hashlib.sha256(str(images.shape).encode())
    for row in np.linspace(0, len(images) - 1, min(len(images), HASHED_IMAGES)).astype(int):
        digest.update(images[row].tobytes())
    return digest.hexdigest()


def save_checkpoint(path: Path, identity: Identity, state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    with write_whole(path) as temporary:
        torch.save({"identity": identity, "state": state}, temporary)


def load_checkpoint(path: Path, identity: Identity, device: torch.device) -> dict[str, Any] | None:
    """Read a checkpoint's state, or None (and a warning) if it cannot be used here."""
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        found, state = content["identity"], content["state"]
    except (UnpicklingError, RuntimeError, EOFError, OSError, KeyError, TypeError) as error:
        reason = str(error).split("\n")[0]
        logger.warning("%s: damaged (%s); training starts anew", path, reason)
        return None
    differing = sorted(
        name for name in identity.keys() | found.keys() if identity.get(name) != found.get(name)
    )
    if differing:
        logger.warning("%s: made with other %s; training starts anew", path, ", ".join(differing))
        return None
    return state

"""A training that was killed goes on where it was, and ends with the same weights."""

import dataclasses
import hashlib
import logging
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from rgi.files import write_whole
from rgi.models import Architecture
from rgi.training.settings import BOOKKEEPING, TrainingSettings

logger = logging.getLogger(__name__)

Identity = dict[str, str]
# Raise it by hand with every change that makes the same settings train other weights.
TRAINING_VERSION = 1
CHUNK = 256  # images hashed at once


def identify(
    images: np.ndarray,
    architecture: Architecture,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
) -> Identity:
    """Name everything that the result depends on; a checkpoint of anything else is of no use.

    CPU and GPU round differently, so that a training stays on the kind of device it began on.
    """
    parts = {
        **dataclasses.asdict(architecture),
        **dataclasses.asdict(settings),
        "seed": seed,
        "images": _fingerprint(images),
        "device": device.type,
        "training version": TRAINING_VERSION,
    }
    return {name: _spell(value) for name, value in parts.items() if name not in BOOKKEEPING}


def _spell(value: object) -> str:
    """Give equal values one spelling: 10 and 10.0, a tuple and a list."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spell, value))}]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value))
    return repr(value)


def _fingerprint(images: np.ndarray) -> str:
    """Hash shape and content; `images` may be a memory-mapped file larger than memory."""
    digest = hashlib.sha256(str(images.shape).encode())
    for start in range(0, len(images), CHUNK):
        digest.update(np.ascontiguousarray(images[start : start + CHUNK]))
    return digest.hexdigest()


def save_checkpoint(path: Path, identity: Identity, state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    with write_whole(path) as temporary:
        torch.save({"identity": identity, "state": state}, temporary)


def load_checkpoint(path: Path, identity: Identity) -> dict[str, Any] | None:
    """Read a checkpoint's state onto the CPU, or None if there is none that can be used.

    One that is damaged or was made with something else is kept as NAME.old.pt, with a warning.
    What may pass (no memory, a lost network drive) is raised: it says nothing about the file.
    """
    if not path.exists():
        return None
    reason, state = _read(path, identity)
    if reason is not None:
        kept = path.with_name(f"{path.stem}.old{path.suffix}")
        path.replace(kept)
        logger.warning("%s: %s; kept as %s; training starts anew", path, reason, kept.name)
    return state


def _read(path: Path, identity: Identity) -> tuple[str | None, dict[str, Any] | None]:
    """Return why the checkpoint cannot be used, or its state."""
    damage = _find_damage(path)
    if damage is not None:
        return f"damaged ({damage})", None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found, state = content["identity"], content["state"]
    except (UnpicklingError, KeyError, TypeError) as error:
        reason = str(error).split("\n")[0]
        return f"damaged ({reason})", None
    differing = sorted(
        name for name in identity.keys() | found.keys() if identity.get(name) != found.get(name)
    )
    return (f"made with other {', '.join(differing)}", None) if differing else (None, state)


def _find_damage(path: Path) -> str | None:
    """Look at the checksums: torch's own errors do not tell a cut file from a lack of memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, EOFError) as error:
        return str(error)

"""A training that was killed goes on where it was, and ends with the same weights."""

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rgi.checkpoint import Identity, fingerprint, read_checkpoint, spell
from rgi.training.settings import BOOKKEEPING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

logger = logging.getLogger(__name__)

# Raise it by hand with every change that makes the same settings train other weights.
TRAINING_VERSION = 1


def identify(
    architecture: "DataclassInstance",
    settings: "DataclassInstance",
    seed: int,
    device: torch.device,
    **learned_from: np.ndarray,
) -> Identity:
    """Name everything that the result depends on; a checkpoint of anything else is of no use.

    CPU and GPU round differently, so that a training stays on the kind of device it began on.
    """
    parts = {
        **dataclasses.asdict(architecture),
        **dataclasses.asdict(settings),
        "seed": seed,
        **{name: fingerprint(array) for name, array in learned_from.items()},
        "device": device.type,
        "training version": TRAINING_VERSION,
    }
    return {name: spell(value) for name, value in parts.items() if name not in BOOKKEEPING}


def load_checkpoint(path: Path, identity: Identity) -> dict[str, Any] | None:
    """Read a checkpoint's state onto the CPU, or None if there is none that can be used.

    One that is damaged or was made with something else is kept as NAME.old.pt, with a warning:
    days of work may be in it.
    """
    reason, state = read_checkpoint(path, identity)
    if reason is not None:
        kept = path.with_name(f"{path.stem}.old{path.suffix}")
        path.replace(kept)
        logger.warning("%s: %s; kept as %s; training starts anew", path, reason, kept.name)
    return state

"""Where to compute."""

import logging
import os

import torch

from rgi.errors import InputError

logger = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    """Turn the config's `device` into a torch device; `auto` takes a GPU if there is one.

    Which it is stands in the log: days on a CPU are no way to find out that a GPU was missing.

    Raises:
        InputError: an unknown name, or `cuda` on a machine without a usable GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device: {name!r} is unknown; allowed: auto, cpu, cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device: cuda was asked for, but torch sees no GPU; allowed: auto, cpu")
    chosen = torch.device("cuda" if available and name != "cpu" else "cpu")
    seen = "a GPU" if available else "no GPU"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    logger.info(
        "device: %s, hence %s: torch sees %s (CUDA_VISIBLE_DEVICES: %s)",
        *(name, chosen.type, seen, visible or "empty"),
    )
    return chosen

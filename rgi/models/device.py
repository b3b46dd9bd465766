"""Where to compute."""

import torch

from rgi.errors import InputError


def choose_device(name: str) -> torch.device:
    """Turn the config's `device` into a torch device; `auto` takes a GPU if there is one.

    Raises:
        InputError: an unknown name, or `cuda` on a machine without a usable GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device: {name!r} is unknown; allowed: auto, cpu, cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device: cuda was asked for, but torch sees no GPU; allowed: auto, cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")

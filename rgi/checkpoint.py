"""Checkpoints that know what they were made of: one of anything else is of no use."""

import hashlib
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from rgi.files import write_whole

Identity = dict[str, str]  # all that a result depends on
State = Any  # tensors, numbers, text, and tuples, lists and dictionaries of them
CHUNK = 256  # rows hashed at once


def spell(value: object) -> str:
    """Give equal values one spelling: 10 and 10.0, a tuple and a list."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spell, value))}]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value))
    return repr(value)


def fingerprint(*arrays: np.ndarray) -> str:
    """Hash shapes and contents; an array may be a memory-mapped file larger than memory."""
    digest = hashlib.sha256()
    for array in map(np.atleast_1d, arrays):
        digest.update(str(array.shape).encode())
        for start in range(0, len(array), CHUNK):
            digest.update(np.ascontiguousarray(array[start : start + CHUNK]))
    return digest.hexdigest()


def save_checkpoint(path: Path, identity: Identity, state: State) -> None:
    """Write a checkpoint, whole or not at all."""
    with write_whole(path) as temporary:
        torch.save({"identity": identity, "state": state}, temporary)


def read_checkpoint(
    path: Path, identity: Identity, device: torch.device | str = "cpu"
) -> tuple[str | None, State | None]:
    """Return why a checkpoint that is there cannot be used, or else its state.

    Without a file, neither. What may pass (no memory, a lost network drive) is raised: it says
    nothing about the file.
    """
    if not path.exists():
        return None, None
    damage = _find_damage(path)
    if damage is not None:
        return f"damaged ({damage})", None
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        found, state = dict(content["identity"]), content["state"]
    except (UnpicklingError, KeyError, TypeError, ValueError) as error:
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

"""The kind of defect of each test image: test_kinds.txt, one a line, in the order of test.npy."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rgi.errors import InputError
from rgi.files import write_whole


def save_kinds(path: Path, kinds: Sequence[str]) -> None:
    """Write one kind per line."""
    with write_whole(path) as temporary:
        temporary.write_text("".join(f"{kind}\n" for kind in kinds))


def open_kinds(path: Path) -> np.ndarray:
    """Read what save_kinds wrote: unicode N.

    Raises:
        InputError: the file is missing or no text, or a line is empty.
    """
    try:
        kinds = path.read_text().splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text; expected one kind of defect per line") from None
    if not all(kinds):
        raise InputError(f"{path}: line {kinds.index('') + 1} is empty; expected a kind of defect")
    return np.array(kinds, dtype=str)

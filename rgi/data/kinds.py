"""What each test image is called by: the kind of its defect, the group that it belongs to.

test_kinds.txt and test_groups.txt hold one name a line, in the order of test.npy. Images of one
group show the same thing, hence are not independent.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rgi.errors import InputError
from rgi.files import check_content, write_whole

_FORMULA = re.compile("[=+@-].*[(|!]")  # -20C is none


def check_names(names: Iterable[str]) -> None:
    """Refuse names of files and folders that could not stand in a table, one on a line.

    Raises:
        InputError: one has a line break or another sign that is not printed, or a spreadsheet
            would compute it.
    """
    for name in names:
        if not name.isprintable() or _FORMULA.match(name):
            raise InputError(
                f"{name!r}: rename this file or folder: its name stands in tables, where a line "
                "break or a formula does not belong"
            )


def save_names(path: Path, names: Sequence[str]) -> None:
    """Write one name per line."""
    with write_whole(path, checksum=True) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names))


def open_kinds(path: Path) -> np.ndarray:
    """Read the kind of defect of each image: unicode N.

    Raises:
        InputError: the file is missing or no text, or a line is empty.
    """
    return _open_names(path, "kind of defect")


def open_groups(path: Path) -> np.ndarray:
    """Read the group of each image: unicode N.

    Raises:
        InputError: the file is missing or no text, or a line is empty.
    """
    return _open_names(path, "group")


def _open_names(path: Path, of: str) -> np.ndarray:
    check_content(path)
    try:
        names = path.read_text().splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text; expected one {of} per line") from None
    if not all(names):
        raise InputError(f"{path}: line {names.index('') + 1} is empty; expected a {of}")
    return np.array(names, dtype=str)

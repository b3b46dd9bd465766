"""Files that appear whole or not at all."""

import contextlib
import hashlib
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rgi.errors import InputError

# What numpy raises when a file's content is not what its name promises.
DAMAGED_ARRAY = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)
# What zipfile raises: damaged, cut off, compressed in a way it does not know, or encrypted.
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` only if the block succeeds.

    The suffix is kept, since many libraries choose the format by it. The name is fixed, so that a
    killed run leaves at most one partial file, which the next run overwrites. The content reaches
    the disk before the name does: after a power cut there is no empty file under it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = partial_of(path)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Where `path` is written before it is whole; a kill may leave it."""
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read piece by piece."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def md5_of(path: Path) -> str:
    """Return the hexadecimal MD5 of a file, which some publishers give; no proof against malice."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def check_sha256(path: Path, expected: str, name: object) -> None:
    """Compare a file's SHA-256 with what it must be; `name` is what the message calls the file.

    Raises:
        InputError: it has another.
    """
    found = sha256_of(path)
    if found != expected.lower():
        raise InputError(f"{name}: sha256 is {found}; expected {expected.lower()}")


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays to one .npz file, whole or not at all."""
    with write_whole(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_arrays(path: Path, *names: str, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read the named arrays of a .npz file, and of the `optional` ones those it has; no pickles.

    Raises:
        InputError: the file is missing, damaged or lacks one of the arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            present = [name for name in optional if name in archive]
            arrays = {name: archive[name] for name in (*names, *present)}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]}; expected arrays {', '.join(names)}") from None
    # TypeError: a single array, as in a .npy file, is no context manager.
    # MemoryError: a header may name any size.
    except (*DAMAGED_ARRAY, OSError, TypeError, MemoryError) as error:
        raise InputError(
            f"{path}: not a readable .npz file ({error}); expected arrays {', '.join(names)}"
        ) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy gives other files in it as bytes
            raise InputError(f"{path}: {name} is no array")
    return arrays

"""Files that appear whole or not at all, and stay as they were written."""

import contextlib
import errno
import hashlib
import os
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rgi.errors import InputError, OutputError

# What numpy raises when a file's content is not what its name promises.
DAMAGED_ARRAY = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)
# What zipfile raises: damaged, cut off, compressed in a way it does not know, or encrypted.
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
# Why a good result could not be written, and what its user can do.
NO_ROOM = {
    errno.ENOSPC: "the disk is full; make room and run again",
    errno.EDQUOT: "the quota of this disk is used up; make room and run again",
    errno.EROFS: "the disk is read-only; make it writable and run again",
}
PROBE = 2**20  # bytes that a disk takes which is not full


@contextlib.contextmanager
def write_whole(path: Path, *, checksum: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` only if the block succeeds.

    The suffix is kept, since many libraries choose the format by it. The name is fixed, so that a
    killed run leaves at most one partial file, which the next run overwrites. The content reaches
    the disk before the name does: after a power cut there is no empty file under it. With
    `checksum`, for results that others read, see `check_content`.

    Raises:
        OutputError: the disk is full or read-only, or the quota used up.
    """
    path = Path(path)
    temporary = partial_of(path)
    try:
        with room_for(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            give_name(temporary, path, sha256_of(temporary) if checksum else None)
    finally:
        temporary.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Where `path` is written before it is whole; a kill may leave it."""
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def give_name(temporary: Path, path: Path, digest: str | None) -> None:
    """Rename a whole file to `path` and leave `digest`, its SHA-256 if any, in `.NAME.sha256`.

    The old checksum goes first and the new one comes last: a kill in between leaves a file that
    has none, never one that looks damaged.
    """
    beside = _checksum_file(path)
    beside.unlink(missing_ok=True)
    temporary.replace(path)
    if digest is not None:
        with write_whole(beside) as line:
            line.write_text(f"{digest}  {path.name}\n")  # as sha256sum --check reads it


def check_content(path: Path) -> None:
    """Compare a file with the checksum beside it; what differs is renamed to NAME.damaged.

    Then whoever made it (a rule of Snakemake) finds it missing and makes it again. A file without
    a checksum, such as one that a program of somebody else wrote, is taken as it is.

    Raises:
        InputError: the file is not what was written, now or when it was last read.
    """
    path = Path(path)
    aside = path.with_name(f"{path.name}.damaged")
    try:
        expected = _checksum_file(path).read_text(errors="replace").strip()
        found = f"{sha256_of(path)}  {path.name}"
    except FileNotFoundError:
        if aside.exists() and not path.exists():
            raise InputError(
                f"{path}: damaged and put aside as {aside.name}; run again to make it anew"
            ) from None
        return
    if found != expected:
        _put_aside(path, aside)


def _put_aside(path: Path, aside: Path) -> None:
    reason = f"{path}: damaged, or changed by something else: not the sha256 of when it was written"
    try:
        # Of several readers one comes first. Without its checksum the file may be renamed back.
        with contextlib.suppress(FileNotFoundError):
            path.replace(aside)
        _checksum_file(path).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{reason}; delete it to make it anew ({error})") from None
    raise InputError(
        f"{reason}; put aside as {aside.name}; run again to make it anew, or rename it back to "
        "keep what was changed"
    )


def _checksum_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


@contextlib.contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Name `path` if the block, which writes it, fails for want of room on the disk.

    Raises:
        OutputError: the disk is full or read-only, or the quota used up.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = NO_ROOM.get(_number_of(error, Path(path).parent))
        if reason is None or isinstance(error, OutputError):
            raise
        raise OutputError(f"{path}: cannot be written: {reason}") from error


def _number_of(error: OSError | RuntimeError, folder: Path) -> int | None:
    """Return the system's error number; torch and numpy hide it, then the disk itself is asked."""
    number = getattr(error, "errno", None)
    if number is not None or not folder.exists():
        return number
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(bytes(PROBE))
    except OSError as found:
        return found.errno
    return None


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
    with write_whole(path, checksum=True) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_arrays(path: Path, *names: str, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read the named arrays of a .npz file, and of the `optional` ones those it has; no pickles.

    Raises:
        InputError: the file is missing, damaged or lacks one of the arrays.
    """
    check_content(path)
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

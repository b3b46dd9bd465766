"""Files in a zip file, a tar file or a folder, read in place: nothing is written under their names.

An archive whose members would leave it (`..`, an absolute path, a link) or that unpacks to far more
than it holds is refused as a whole, though no member's name is ever used as a path.
"""

import functools
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from rgi.data.folder import file_names
from rgi.data.pictures import UnreadableImageError, read_bytes
from rgi.errors import InputError
from rgi.files import DAMAGED_ZIP

# Images are compressed already; zipped bitmaps shrink to a tenth, seldom to a hundredth.
RATIO = 200  # most bytes of all members together for each byte of an archive
LARGEST = 256 << 20  # most bytes of a member that is read into memory
_COMPRESSED = (".tgz", ".gz", ".xz", ".bz2", ".txz", ".tbz2")


@dataclass(frozen=True)
class Members:
    """The files of an archive or a folder by name; directories are left out.

    It can be pickled: every process opens the archive for itself, when it first reads.
    """

    path: str
    _list: Callable[[str], Iterable[str]]
    _read: Callable[[str, str], bytes]

    @functools.cached_property
    def names(self) -> list[str]:
        """List the files."""
        return sorted(self._list(self.path))

    def __reduce__(self) -> tuple[type, tuple]:
        return type(self), (self.path, self._list, self._read)  # without the list

    def read(self, name: str) -> bytes:
        """Read one file.

        Raises:
            UnreadableImageError: it is damaged, or too large.
        """
        return self._read(self.path, name)


def open_members(path: str, where: str) -> Members:
    """Open a zip file, a tar file that is not compressed, or a folder.

    Args:
        path: of the file or folder.
        where: opens the error messages.

    Raises:
        InputError: it is missing or damaged, compressed as a whole, or not safe.
    """
    try:
        if Path(path).is_dir():
            members = Members(path, _list_folder, _read_file)
        elif zipfile.is_zipfile(path):
            members = Members(path, _list_zip, _read_zip)
        else:
            members = Members(path, _tar, _read_tar)
        _ = members.names  # opens it
        return members
    except FileNotFoundError:
        raise InputError(f"{where}: {path}: no such file or folder") from None
    except (*DAMAGED_ZIP, tarfile.TarError, OSError) as error:
        kind = "zip file" if Path(path).suffix == ".zip" else "zip or tar file"
        unpack = ""
        if Path(path).suffix in _COMPRESSED:
            unpack = "; a compressed tar file has to be unpacked to a .tar first"
        raise InputError(f"{where}: {path}: not a whole {kind} ({error}){unpack}") from None


def check_names(path: str, names: Iterable[str]) -> None:
    """Refuse an archive with a member that would lie outside of where it is unpacked.

    Raises:
        InputError: a name is absolute, has a drive, or goes upwards.
    """
    for name in names:
        parts = PureWindowsPath(name)  # knows both kinds of slashes, and drives
        if parts.anchor or ".." in parts.parts:
            raise InputError(f"{path}: {name!r}: would leave the archive's folder; refused")


def check_size(path: str, unpacked: int) -> None:
    """Refuse an archive that holds far more than images compress to.

    Raises:
        InputError: `unpacked` bytes are more than RATIO times the archive's.
    """
    if unpacked > RATIO * Path(path).stat().st_size:
        raise InputError(
            f"{path}: unpacks to {unpacked} bytes, more than {RATIO} times its own size; refused"
        )


def _list_folder(folder: str) -> list[str]:
    return file_names(Path(folder), None)


def _list_zip(path: str) -> Iterable[str]:
    return _zip(path).NameToInfo


def _read_file(folder: str, name: str) -> bytes:
    return read_bytes(Path(folder, name))


def _read_zip(path: str, name: str) -> bytes:
    archive = _zip(path)
    _check_length(archive.getinfo(name).file_size)
    try:
        return archive.read(name)
    except DAMAGED_ZIP as error:
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from None


def _read_tar(path: str, name: str) -> bytes:
    offset, length = _tar(path)[name]
    _check_length(length)
    with Path(path).open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def _check_length(length: int) -> None:
    if length > LARGEST:
        raise UnreadableImageError(f"{length} bytes; at most {LARGEST} are read")


def _zip(path: str) -> zipfile.ZipFile:
    return _open_zip(path, _state(path), os.getpid())


def _tar(path: str) -> dict[str, tuple[int, int]]:
    return _index_tar(path, _state(path))


def _state(path: str) -> tuple[int, int]:
    """Return what changes when a file is written anew."""
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=8)
def _open_zip(path: str, _state: tuple[int, int], _process: int) -> zipfile.ZipFile:
    """Open a zip file once in each process: a forked one would share its place in the file."""
    archive = zipfile.ZipFile(path)
    members = [info for info in archive.infolist() if not info.is_dir()]
    check_names(path, (info.filename for info in archive.infolist()))
    for info in members:
        if stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{path}: {info.filename!r}: is a link; refused")
    check_size(path, sum(info.file_size for info in members))
    archive.NameToInfo = {info.filename: info for info in members}
    return archive


@functools.lru_cache(maxsize=8)
def _index_tar(path: str, _state: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Say where the content of each file starts in a tar file, and its length in bytes."""
    index = {}
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            check_names(path, [member.name])
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise InputError(f"{path}: {member.name!r}: is a link or device; refused")
            index[member.name.removeprefix("./")] = (member.offset_data, member.size)
    return index

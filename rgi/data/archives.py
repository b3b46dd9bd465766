"""Files in a zip file, a tar file or a folder, read in place: nothing is written under their names.

An archive whose members would leave it (`..`, an absolute path, a link) or that unpacks to far more
than it holds is refused as a whole, though no member's name is ever used as a path.

What cannot be read in place, a compressed tar file and the LMDB database in a zip file, is first
unpacked to one file of a name of our own.
"""

from __future__ import annotations

import bz2
import errno
import functools
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, TYPE_CHECKING

from rgi.data.folder import file_names
from rgi.data.pictures import UnreadableImageError, read_bytes
from rgi.errors import InputError
from rgi.files import DAMAGED_ZIP, write_whole

if TYPE_CHECKING:
    import lmdb

# Images are compressed already; zipped bitmaps shrink to a tenth, seldom to a hundredth.
RATIO = 200  # most bytes of all members together for each byte of an archive
LARGEST = 256 << 20  # most bytes of a member that is read into memory
LARGEST_EXTENSION = 1 << 20  # most bytes of what a tar file says of a member: names, times
DATABASE = "_lmdb.zip"  # how LSUN's archives end; DATABASE_FILE is what they are about
DATABASE_FILE = "data.mdb"
_TARS = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.xz": lzma.open,
    ".txz": lzma.open,
    ".tar.bz2": bz2.open,
}
_DAMAGED = (*DAMAGED_ZIP, tarfile.TarError, lzma.LZMAError, OSError)
_PIECE = 1 << 20
_EXTENSIONS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


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


def open_members(path: str, where: str, unpacked: str | None = None) -> Members:
    """Open a zip file, a tar file, an LMDB database or a folder.

    Args:
        path: of the file or folder.
        where: opens the error messages.
        unpacked: the folder with what `unpack` made of it, if it has to be unpacked.

    Raises:
        InputError: it is missing or damaged, has to be unpacked first, or is not safe.
    """
    name = unpacked_name(path)
    if name is not None and not Path(path).is_dir():
        if not Path(path).exists():
            raise InputError(f"{where}: {path}: no such file or folder")
        if unpacked is None or not Path(unpacked, name).is_file():
            raise InputError(f"{where}: {path}: has to be unpacked to {name} first")
        path = str(Path(unpacked, name))
    try:
        if Path(path).is_dir() and not Path(path, DATABASE_FILE).is_file():
            members = Members(path, _list_folder, _read_file)
        elif Path(path).is_dir() or Path(path).suffix == ".mdb":
            members = Members(path, _list_database, _read_database)
        # A tar file first: the last of its members may be a zip file, at whose end one is known.
        elif not _is_tar(path) and zipfile.is_zipfile(path):
            members = Members(path, _list_zip, _read_zip)
        else:
            members = Members(path, _tar, _read_tar)
        _ = members.names  # opens it
        return members
    except FileNotFoundError:
        raise InputError(f"{where}: {path}: no such file or folder") from None
    except _DAMAGED as error:
        kind = "zip file" if Path(path).suffix == ".zip" else "zip or tar file"
        raise InputError(f"{where}: {path}: {_reason(error, f'not a whole {kind}')}") from None


def unpacked_name(path: str) -> str | None:
    """Say what a file has to be unpacked to before it can be read: a name, None if it need not."""
    name = Path(path).name
    if name.endswith(DATABASE):
        return f"{name.removesuffix('.zip')}.mdb"
    suffix = _tar_suffix(name)
    return None if suffix is None else f"{name.removesuffix(suffix)}.tar"


def unpack(path: Path, output: Path) -> None:
    """Write to `output` the tar file that is compressed in `path`, or the database zipped in it.

    Raises:
        InputError: it is missing, damaged or not safe; `output` is not written.
    """
    try:
        with write_whole(output) as temporary:
            if path.name.endswith(DATABASE):
                with _zip(str(path)).open(_database_member(path)) as source:
                    _pour(source, path, temporary)
            else:
                suffix = _tar_suffix(path.name)
                if suffix is None:
                    raise InputError(f"{path}: nothing to unpack; allowed: *{', *'.join(_TARS)}")
                with _TARS[suffix](path) as source:
                    _pour(source, path, temporary)
                _tar(str(temporary), shown=str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _DAMAGED as error:
        reason = _reason(error, "damaged", f"cannot be unpacked to {output}: ")
        raise InputError(f"{path}: {reason}") from None


def _reason(error: Exception, damage: str, refused: str = "") -> str:
    """Tell damage from what the operating system refuses: a full disk, a file not to be read."""
    number = getattr(error, "errno", None)
    # What tells of damage is of Python's own making, but for a place before the file's start.
    if number in (None, errno.EINVAL):
        return f"{damage} ({error})"
    return f"{refused}{os.strerror(number)}"


def _tar_suffix(name: str) -> str | None:
    return next((suffix for suffix in _TARS if name.endswith(suffix)), None)


def _database_member(path: Path) -> str:
    found = [name for name in _list_zip(str(path)) if PurePosixPath(name).name == DATABASE_FILE]
    if len(found) != 1:
        raise InputError(f"{path}: has {len(found)} files {DATABASE_FILE}, expected 1")
    return found[0]


def _pour(source: IO[bytes], path: Path, output: Path) -> None:
    """Copy what `source` unpacks of `path`, but no more than images can be compressed by."""
    limit, written = RATIO * path.stat().st_size, 0
    with output.open("wb") as target:
        while piece := source.read(_PIECE):
            written += len(piece)
            if written > limit:
                raise InputError(f"{path}: unpacks to more than {RATIO} times its size; refused")
            target.write(piece)


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
    length = archive.getinfo(name).file_size
    _check_length(length)
    try:
        # A length, for the directory may lie: without one, all is unpacked before it is cut.
        with archive.open(name) as stream:
            return stream.read(length + 1)
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


def _list_database(path: str) -> list[str]:
    with _database(path).begin() as transaction, transaction.cursor() as cursor:
        return [key.decode("ascii", "replace") for key in cursor.iternext(values=False)]


def _read_database(path: str, name: str) -> bytes:
    with _database(path).begin() as transaction:
        data = transaction.get(name.encode())
    if data is None:
        raise UnreadableImageError("not in the database")
    return data


def _zip(path: str) -> zipfile.ZipFile:
    return _open_zip(path, _state(path))


def _tar(path: str, shown: str = "") -> dict[str, tuple[int, int]]:
    return _index_tar(path, shown or path, _state(path))


def _database(path: str) -> lmdb.Environment:
    return _open_database(path, _state(path), os.getpid())


def _state(path: str) -> tuple[int, int]:
    """Return what changes when a file is written anew."""
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=8)
def _open_zip(path: str, _state: tuple[int, int]) -> zipfile.ZipFile:
    """Open a zip file once for a process and all that it forks."""
    archive = open_zip(path)
    members = [info for info in archive.infolist() if not info.is_dir()]
    archive.NameToInfo = {info.filename: info for info in members}
    return archive


def open_zip(path: str) -> zipfile.ZipFile:
    """Open a zip file that is safe to read.

    Raises:
        InputError: a member would lie outside of it, is a link, or is compressed in another way
            than deflated, which could not be unpacked in pieces; or it unpacks to far too much.
    """
    archive = zipfile.ZipFile(io.BufferedReader(_PlacedFile(path)))
    members = [info for info in archive.infolist() if not info.is_dir()]
    check_names(path, (info.filename for info in archive.infolist()))
    for info in members:
        if stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{path}: {info.filename!r}: is a link; refused")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            how = zipfile.compressor_names.get(info.compress_type, info.compress_type)
            raise InputError(
                f"{path}: {info.filename!r}: is compressed by {how}; allowed: stored, deflated"
            )
    check_size(path, sum(info.file_size for info in members))
    return archive


class _PlacedFile(io.RawIOBase):
    """A file with a place of its own in every process; the system's is shared with forked ones.

    Else each would have to open the archive anew: CelebA's directory takes 200 MB and seconds.
    """

    def __init__(self, path: str) -> None:
        self._file, self._place = io.FileIO(path), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        count = os.preadv(self._file.fileno(), [buffer], self._place)
        self._place += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}
        place = offset + (base[whence] if whence in base else self._size())
        if place < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._place = place
        return place

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()
        super().close()


@functools.lru_cache(maxsize=8)
def _open_database(path: str, _state: tuple[int, int], _process: int) -> lmdb.Environment:
    """Open an LMDB database once in each process."""
    import lmdb

    subdir = Path(path).is_dir()
    try:
        # Nothing is written, no lock file either; images are read in no order.
        database = lmdb.open(path, subdir=subdir, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise InputError(f"{path}: not a whole LMDB database ({error})") from None
    # It lies in memory: reading what is missing at its end would kill the process.
    needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
    found = (Path(path, DATABASE_FILE) if subdir else Path(path)).stat().st_size
    if found < needed:
        raise InputError(f"{path}: not a whole LMDB database ({found} of {needed} bytes)")
    return database


# A database must not be carried through a fork, nor opened twice.
os.register_at_fork(before=_open_database.cache_clear)


class _Header(tarfile.TarInfo):
    """A header of a tar file; tarfile itself would read an extension of any length into memory."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENSIONS and header.size > LARGEST_EXTENSION:
            raise tarfile.ReadError(
                f"an extended header of {header.size} bytes; at most {LARGEST_EXTENSION} are read"
            )
        return header


def _is_tar(path: str) -> bool:
    try:
        tarfile.open(path, "r:", tarinfo=_Header).close()
    except (tarfile.TarError, ValueError):
        return False
    return True


def _each(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members; a header may hold numbers that tarfile does not check."""
    members = iter(archive)
    while True:
        try:
            member = next(members, None)
        except (ValueError, OverflowError) as error:
            raise tarfile.ReadError(str(error)) from None
        if member is None:
            return
        yield member


@functools.lru_cache(maxsize=8)
def _index_tar(path: str, shown: str, _state: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Say where the content of each file starts in a tar file, and its length in bytes.

    `shown` is the file that messages name.
    """
    index = {}
    with tarfile.open(path, "r:", tarinfo=_Header) as archive:
        for member in _each(archive):
            if member.size < 0:  # the next header would be one of those before
                raise tarfile.ReadError(f"{member.name!r} has {member.size} bytes")
            check_names(shown, [member.name])
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise InputError(f"{shown}: {member.name!r}: is a link or device; refused")
            index[member.name.removeprefix("./")] = (member.offset_data, member.size)
    return index

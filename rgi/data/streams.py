"""Arrays on disk that grow row by row, and go on after a kill."""

import contextlib
import hashlib
import io
import json
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from rgi.data.reading import read_in_order
from rgi.data.sources import Pictures
from rgi.errors import InputError
from rgi.files import give_name, room_for, write_whole

logger = logging.getLogger(__name__)

SAVE_SECONDS = 5.0  # what a kill costs at most, and the time that it takes to write so much


@dataclass
class Standing:
    """How far a stream has come: pictures read, rows written, pictures skipped and why."""

    read: int = 0
    rows: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def stream_array(
    path: Path, shape: tuple[int, ...], arrays: Iterable[np.ndarray]
) -> Iterator[Path]:
    """Write uint8 arrays of `shape` to the .npy file `path`, then run the block.

    Yields the whole file's other name, under which it lies until the block succeeds. Memory holds
    one array at a time.
    """
    with write_whole(path, checksum=True) as temporary:
        with temporary.open("wb") as stream:
            growing = _GrowingArray(stream, shape)
            for array in arrays:
                growing.append(array)
            growing.finish()
        yield temporary


@contextlib.contextmanager
def stream_pictures(
    path: Path, shape: tuple[int, ...], pictures: Pictures, identity: str, processes: int
) -> Iterator[tuple[Path, Standing, str]]:
    """Write all pictures that can be read to the .npy file `path`, then run the block.

    Yields the whole file's other name, under which it lies until the block succeeds, what came
    of the pictures, and the file's SHA-256. Beside it is a record of what is safely on the disk:
    after a kill, in the block too, the next call goes on from there if it has the same `identity`,
    which tells apart all that the images depend on. An InputError is final and takes both files
    away.

    Raises:
        InputError, RuntimeError: as `read_in_order`.
    """
    partial, record = _unfinished(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.touch()
    try:
        with room_for(path), partial.open("r+b") as stream, ThreadPoolExecutor(1) as saver:
            standing = _resume(stream, shape, record, identity)
            readable = len(pictures.names) - len(standing.skipped)
            array = _HashedArray(stream, shape, standing.rows, expected=readable)
            save = _Saver(stream, record, identity, saver)
            _append_all(pictures, array, standing, save, processes)
            array.finish()
            digest = array.digest()
            stream.flush()
            os.fsync(stream.fileno())
        yield partial, standing, digest
    except InputError:
        forget(path)
        raise
    give_name(partial, path, digest)
    forget(path)


def forget(path: Path) -> None:
    """Take away what a killed `stream_pictures` has left beside `path`."""
    # Also the record that was being written, for which write_whole has a name.
    for left in path.parent.glob(f"*.{path.stem}.partial*"):
        left.unlink()


def show_progress(name: str, **options: Any) -> tqdm:
    """Open a bar of images and their rate, on a terminal only."""
    return tqdm(desc=name, unit="image", disable=None, **options)


class _GrowingArray:
    """The content of a .npy file, uint8 N x `shape`, which grows by rows."""

    def __init__(self, stream: IO[bytes], shape: tuple[int, ...]) -> None:
        self.stream, self.shape, self.rows = stream, shape, 0
        self.write_header(0)

    def write_header(self, rows: int) -> None:
        self.stream.seek(0)
        self.stream.write(_header(rows, self.shape))

    def append(self, array: np.ndarray) -> memoryview:
        """Write a row; its bytes."""
        if array.shape != self.shape or array.dtype != np.uint8:
            found = f"{array.dtype} {array.shape}"
            raise ValueError(f"{self.stream.name}: {found}; expected uint8 {self.shape}")
        content = np.ascontiguousarray(array).data
        self.stream.write(content)
        self.rows += 1
        return content

    def finish(self) -> None:
        self.write_header(self.rows)


class _HashedArray(_GrowingArray):
    """The same in a file of which the first `rows` are there; hashed as it grows.

    The header comes first and tells how many rows there are: where it is another number than the
    `expected` one, the file is read and hashed once more.
    """

    def __init__(self, stream: IO[bytes], shape: tuple[int, ...], rows: int, expected: int) -> None:
        super().__init__(stream, shape)
        self.rows, self.expected = rows, expected
        self.stream.truncate(_size(rows, shape))
        self.sha256 = self._rehashed(expected)

    def append(self, array: np.ndarray) -> memoryview:
        content = super().append(array)
        self.sha256.update(content)
        return content

    def digest(self) -> str:
        """The file's SHA-256, after `finish`."""
        if self.rows != self.expected:
            self.sha256 = self._rehashed(self.rows)
        return self.sha256.hexdigest()

    def _rehashed(self, rows: int) -> Any:  # hashlib names no class
        self.write_header(rows)
        self.stream.seek(0)
        return hashlib.file_digest(self.stream, "sha256")


def _header(rows: int, shape: tuple[int, ...]) -> bytes:
    """Write a .npy file's header; numpy pads it, so that any number of rows takes as much."""
    stream = io.BytesIO()
    description = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": (rows, *shape)}
    np.lib.format.write_array_header_1_0(stream, description)
    return stream.getvalue()


def _size(rows: int, shape: tuple[int, ...]) -> int:
    return len(_header(0, shape)) + rows * math.prod(shape)


def _unfinished(path: Path) -> tuple[Path, Path]:
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    return partial, partial.with_suffix(".json")


def _resume(stream: IO[bytes], shape: tuple[int, ...], record: Path, identity: str) -> Standing:
    """Read where a killed stream stands; nowhere, if the record is of something else."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        found = json.loads(record.read_text())
        if found.pop("identity") != identity:
            logger.info("%s: of other settings or another source: begun anew", record)
        elif os.fstat(stream.fileno()).st_size < _size(found["rows"], shape):
            logger.warning("%s: promises more images than there are: begun anew", record)
        else:
            return Standing(**found)
    # Before the rows that it promises are written over.
    record.unlink(missing_ok=True)
    return Standing()


class _Saver:
    """Brings the rows to the disk, and only then the record that promises them; in a thread."""

    def __init__(
        self, stream: IO[bytes], record: Path, identity: str, pool: ThreadPoolExecutor
    ) -> None:
        self.stream, self.record, self.identity, self.pool = stream, record, identity, pool
        self.under_way: Future[None] | None = None
        self.last = time.monotonic()

    def is_due(self) -> bool:
        return time.monotonic() - self.last >= SAVE_SECONDS

    def save(self, standing: Standing) -> None:
        if self.under_way is not None:
            self.under_way.result()
        self.stream.flush()
        content = json.dumps({"identity": self.identity, **asdict(standing)})
        self.under_way = self.pool.submit(self._write, content)
        self.last = time.monotonic()

    def _write(self, content: str) -> None:
        os.fsync(self.stream.fileno())
        with write_whole(self.record) as temporary:
            temporary.write_text(content)


def _append_all(
    pictures: Pictures, array: _GrowingArray, standing: Standing, save: _Saver, processes: int
) -> None:
    count, before, begun = len(pictures.names), standing.read, time.monotonic()
    if before:
        logger.info("goes on after %d of %d pictures", before, count)
    rest = replace(pictures, names=pictures.names[before:])
    bar = show_progress("train", total=count, initial=before)
    with contextlib.closing(read_in_order(rest, array.shape, processes)) as reads, bar:
        for each in reads:
            if each.image is None:
                standing.skipped[each.name] = each.reason
            else:
                array.append(each.image)
            standing.read, standing.rows = standing.read + 1, array.rows
            bar.update()
            last = standing.read == count
            if last or save.is_due():
                save.save(standing)
                rate = (standing.read - before) / (time.monotonic() - begun)
                report = "%d of %d pictures, %.0f images/s, processes: %d"
                logger.info(report, standing.read, count, rate, processes)

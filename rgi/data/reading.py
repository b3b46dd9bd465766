"""Pictures read side by side, in order: processes decode them into memory that all of them share.

Processes, not threads: what of a picture is done under Python's lock is little, but the waiting for
it costs a tenth of the time with two threads and would bound what more cores gain.
"""

import contextlib
import math
import mmap
import multiprocessing
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np

from rgi.data.pictures import UnreadableImageError
from rgi.data.sources import Pictures
from rgi.errors import InputError

# Pictures handed over at once: for single ones that costs some percent of the time. Fewer, where so
# many would be more bytes than LARGEST_PART, or not make SHARES parts for each process.
TOGETHER = 32
LARGEST_PART = 4 << 20
SHARES = 4
AHEAD = 2  # parts that a process reads before the first of them has been taken

_FORK = multiprocessing.get_context("fork")  # nothing is imported anew, `read` may be any function


@dataclass(frozen=True)
class Read:
    """What became of a picture: the image, uint8 of the shape asked for, or why there is none."""

    name: str
    image: np.ndarray | None
    reason: str = ""


@dataclass(frozen=True)
class _Outcome:
    """What a process tells of a picture beside its pixels."""

    reason: str | None
    note: str | None


@dataclass(frozen=True)
class _Share:
    """What one process reads: every `step`-th part of the pictures, beginning with `first`."""

    pictures: Pictures
    slots: np.ndarray  # uint8 AHEAD x K x shape, shared memory: K pictures are a part
    first: int
    step: int

    def parts(self) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield the names of each part and where its images go."""
        together = self.slots.shape[1]
        starts = range(self.first * together, len(self.pictures.names), self.step * together)
        for number, start in enumerate(starts):
            names = list(self.pictures.names[start : start + together])
            yield names, self.slots[number % AHEAD]


def read_in_order(pictures: Pictures, shape: tuple[int, ...], processes: int) -> Iterator[Read]:
    """Read pictures with so many processes and yield them in order; a few are under way at a time.

    What the pictures' `read` remembers stays in the process that has read, but for its `notes`.

    Raises:
        InputError: as the first picture, in order, that `pictures.read` raises it for.
        RuntimeError: names that picture, for any other error but UnreadableImageError; or a process
            ended before it had read its pictures.
    """
    together = _together(len(pictures.names), shape, processes)
    slots = [_shared_slots(together, shape) for _ in range(processes)]
    shares = [_Share(pictures, slots[first], first, processes) for first in range(processes)]
    with contextlib.ExitStack() as stack:
        readers = [(share.parts(), *stack.enter_context(_reader(share))) for share in shares]
        while True:
            for parts, process, connection in readers:
                if (part := next(parts, None)) is None:
                    return
                yield from _take(pictures, *part, _receive(part[0], process, connection))
                with contextlib.suppress(ConnectionError):  # it has read its last part and ended
                    connection.send(None)


def _together(count: int, shape: tuple[int, ...], processes: int) -> int:
    return max(1, min(TOGETHER, LARGEST_PART // math.prod(shape), count // (SHARES * processes)))


def _shared_slots(together: int, shape: tuple[int, ...]) -> np.ndarray:
    memory = mmap.mmap(-1, AHEAD * together * math.prod(shape))
    return np.frombuffer(memory, np.uint8).reshape(AHEAD, together, *shape)


@contextlib.contextmanager
def _reader(share: _Share) -> Iterator[tuple[BaseProcess, Connection]]:
    """Start a process for a share; it ends with the block, or with this process."""
    ours, its = _FORK.Pipe()
    process = _FORK.Process(target=_read_share, args=(share, ours, its), daemon=True)
    process.start()
    its.close()
    try:
        yield process, ours
    finally:
        ours.close()
        process.kill()  # it holds nothing but what was not asked for any more
        process.join()


def _receive(names: list[str], process: BaseProcess, connection: Connection) -> list[_Outcome]:
    """Wait until a process has read the pictures `names`."""
    try:
        outcomes = connection.recv()
    except (EOFError, OSError):
        process.join()
        raise RuntimeError(
            f"a process ended ({_how_it_ended(process.exitcode)}) with the pictures {names[0]} to "
            f"{names[-1]} to be read"
        ) from None
    if isinstance(outcomes, Exception):
        raise outcomes
    return outcomes


def _how_it_ended(exitcode: int) -> str:
    if exitcode == -signal.SIGKILL:
        return "SIGKILL: perhaps for want of memory; run again"
    return signal.Signals(-exitcode).name if exitcode < 0 else f"status {exitcode}"


def _take(
    pictures: Pictures, names: list[str], images: np.ndarray, outcomes: list[_Outcome]
) -> Iterator[Read]:
    """Yield a part that has been read; then its slot is used again."""
    for name, outcome, image in zip(names, outcomes, images, strict=False):
        if outcome.note is not None:
            pictures.notes[name] = outcome.note
        if outcome.reason is None:
            yield Read(name, image.copy())
        else:
            yield Read(name, None, outcome.reason)


def _read_share(share: _Share, ours: Connection, its: Connection) -> None:
    """Read part after part, never more than AHEAD of what was taken."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends the others
    ours.close()  # so that a killed parent is an end of the connection
    with contextlib.suppress(EOFError, ConnectionError):
        for number, (names, images) in enumerate(share.parts()):
            if number >= AHEAD:
                its.recv()
            its.send(_read_part(share.pictures, names, images))


def _read_part(
    pictures: Pictures, names: list[str], images: np.ndarray
) -> list[_Outcome] | Exception:
    outcomes = []
    for name, image in zip(names, images, strict=False):
        try:
            outcomes.append(_Outcome(_read(pictures, name, image), pictures.notes.get(name)))
        except InputError as error:
            return error
        except Exception as error:
            failure = RuntimeError(f"picture {name}: {type(error).__name__}: {error}")
            failure.add_note(traceback.format_exc())  # which would stay in this process
            return failure
    return outcomes


def _read(pictures: Pictures, name: str, image: np.ndarray) -> str | None:
    """Put a picture into `image`; the reason if it cannot be used."""
    try:
        found = pictures.read(name)
    except UnreadableImageError as error:
        return str(error)
    if found.shape != image.shape or found.dtype != image.dtype:
        expected = f"{image.dtype} {image.shape}"
        raise ValueError(f"{found.dtype} {found.shape}; expected {expected}")
    image[...] = found
    return None

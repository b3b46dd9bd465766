"""What must hold of the working directory before the first job of an experiment begins."""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from rgi.errors import InputError

RESULTS = ("results", "reports")
RECORDS = (("results", "logs"), ("results", "benchmarks"))  # nothing is made of them
LOCK = Path(".snakemake/demo.lock")  # also held by `make demo`
SKEW = 60.0  # seconds by which the clocks of a cluster's machines may differ


def check_writable() -> None:
    """Refuse folders that no result could be written to.

    Raises:
        InputError: one of them may not be written to, or its disk is read-only.
    """
    for name in RESULTS:
        below = [path for path in Path(name).glob("*") if path.is_dir()]
        for folder in (Path(name), *below):
            if folder.exists() and not os.access(folder, os.W_OK):
                raise InputError(
                    f"{folder}: may not be written to, but results belong there; make it writable, "
                    "or work in another folder: snakemake --directory FOLDER"
                )


def check_times() -> None:
    """Refuse results with a time to come: Snakemake discards whatever is made of them.

    Raises:
        InputError: the clock was set back, or is not that of the machine that wrote them.
    """
    now = time.time()
    ahead = {path: later for path, later in _ages(now) if later > SKEW}
    if ahead:
        first = max(ahead, key=ahead.__getitem__)
        raise InputError(
            f"{first}: written {ahead[first]:.0f} seconds in the future, as {len(ahead)} results "
            "were: the clock was set back; set it right, or the times of these files:"
            f" find {' '.join(name for name in RESULTS if Path(name).exists())}"
            " -newermt now -exec touch -d @$(date +%s) {} +"
        )


def _ages(now: float) -> Iterator[tuple[Path, float]]:
    """Yield each result with the seconds from `now` until it was written."""
    for name in RESULTS:
        for path in Path(name).rglob("*"):
            try:
                status = path.lstat()
            except FileNotFoundError:  # of a job that outlived its snakemake
                continue
            if stat.S_ISREG(status.st_mode) and path.parts[:2] not in RECORDS:
                yield path, status.st_mtime - now


def take_lock() -> None:
    """Keep `make demo` and another snakemake out until this process ends, however it does.

    Snakemake's own lock, which outlives a kill, does not exclude make's runs.

    Raises:
        InputError: another one is at work here.
    """
    LOCK.parent.mkdir(exist_ok=True)
    # Never closed: the kernel does it, and with that drops the lock.
    descriptor = os.open(LOCK, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{Path.cwd()}: another experiment is at work here (make or snakemake); wait for it or "
            "stop it, or work in another folder: snakemake --directory FOLDER"
        ) from None
    except OSError:
        pass  # a disk without such locks, as some of clusters are: Snakemake's own remains

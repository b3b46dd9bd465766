"""Asked to end, a long computation finishes its step, keeps what it has and says: not finished."""

import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NOT_FINISHED = 75  # exit status, EX_TEMPFAIL of sysexits.h: the same command will go on
# SLURM's warning before a time limit (--signal=USR1@SECONDS): run me again.
WARNING = signal.SIGUSR1
SIGNALS = (WARNING, signal.SIGTERM, signal.SIGINT)
PATIENCE = 30  # seconds that SLURM has for an answer

logger = logging.getLogger(__name__)


class Interrupted(Exception):  # noqa: N818
    """A computation was asked to end and did, before its result; the message says what is kept."""


class StopRequest:
    """Whether this process was asked to end; true from the first such signal on."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def note(self, number: int, _: FrameType | None) -> None:
        """Take a signal; those after the first one change nothing."""
        self.signal = self.signal or signal.Signals(number)


NEVER = StopRequest()


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGNALS into a request that the block answers between two steps, by Interrupted.

    If it does so after a WARNING, SLURM is told to put the job back into its queue; so it is after
    a SIGTERM that says that the job is preempted, not cancelled.
    """
    request = StopRequest()
    before = {number: signal.signal(number, request.note) for number in SIGNALS}
    try:
        yield request
    except Interrupted:
        _requeue(request)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _requeue(request: StopRequest) -> None:
    """Have SLURM run this process's batch job again, if it belongs to one that is to go on.

    Of the processes that torchrun started the first one alone asks. Where SLURM refuses, the job
    ends as not finished, and whoever submitted it has to do so again.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("RANK", "0") != "0":
        return
    try:
        if request.signal == WARNING or _preempted(request, job):
            _ask("scontrol", "requeue", job)
            logger.info("SLURM job %s: back in the queue", job)
    except (OSError, subprocess.SubprocessError) as error:
        refusal = getattr(error, "stderr", None) or error
        logger.warning("SLURM job %s: not put back into the queue: %s", job, str(refusal).strip())


def _preempted(request: StopRequest, job: str) -> bool:
    """SLURM sends SIGTERM to a job that it cancels and to one that is in another's way."""
    if request.signal != signal.SIGTERM:
        return False
    facts = _ask("scontrol", "--oneliner", "show", "job", job).split()
    return any(fact.startswith("PreemptTime=2") for fact in facts)  # a date, not None


def _ask(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout.strip()

"""What an inversion has reached, kept in a file: one that was stopped or killed goes on there."""

import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rgi.checkpoint import (
    Identity,
    State,
    fingerprint,
    read_checkpoint,
    save_checkpoint,
    spell,
)
from rgi.corruption.operators import Operator
from rgi.files import partial_of
from rgi.interruption import NEVER, Interrupted, StopRequest
from rgi.inversion.methods import INVERSION_VERSION
from rgi.inversion.problem import Problem

SHARE = 0.02  # of the time goes into checkpoints at most: weights of many images' own are large

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Where an inversion keeps what it has reached, and when it writes that."""

    path: Path
    seconds: float = 60.0  # wall time between two writes
    stop: StopRequest = NEVER  # on which it writes and ends

    def clear(self) -> None:
        """Take the file away: there is a result."""
        for path in (self.path, partial_of(self.path)):
            path.unlink(missing_ok=True)


class Part:
    """A named part of an inversion; this one keeps nothing."""

    def take(self) -> State | None:
        """Return, once, what the part had reached before, on the problem's device."""

    def hold(self, state: Callable[[], State]) -> None:
        """Have the checkpoints that follow ask `state` for what the part has reached."""

    def drop(self) -> None:
        """Leave the part out of the checkpoints that follow; its tensors can be freed."""

    def reach(self) -> None:
        """Call after each step: now is a good moment for a checkpoint.

        Raises:
            Interrupted: the process was asked to end; a checkpoint is written.
        """


class Progress:
    """All parts of an inversion; of this one, nothing is kept."""

    def part(self, name: str) -> Part:
        """The part of a name that no other has."""
        return UNKEPT_PART


UNKEPT_PART = Part()
UNKEPT = Progress()


class KeptProgress(Progress):
    """All parts of an inversion, in a file."""

    def __init__(self, checkpoint: Checkpoint, identity: Identity, device: torch.device) -> None:
        self._checkpoint, self._identity = checkpoint, identity
        reason, saved = read_checkpoint(checkpoint.path, identity, device)
        if reason is not None:
            logger.warning("%s: %s; starting anew", checkpoint.path, reason)
        elif saved is not None:
            logger.info("%s: going on from there", checkpoint.path)
        self.saved: dict[str, State] = saved or {}
        self.states: dict[str, Callable[[], State]] = {}
        self._written, self._cost = time.monotonic(), 0.0

    def part(self, name: str) -> Part:
        """The part of a name that no other has."""
        return KeptPart(self, name)

    def reach(self) -> None:
        """Write a checkpoint if it is time, or if the process was asked to end."""
        asked, since = bool(self._checkpoint.stop), time.monotonic() - self._written
        if asked or since >= max(self._checkpoint.seconds, self._cost / SHARE):
            self._write()
        if asked:
            raise Interrupted(f"{self._checkpoint.path} holds what was reached")

    def _write(self) -> None:
        begun = time.monotonic()
        reached = {name: state() for name, state in self.states.items()}
        save_checkpoint(self._checkpoint.path, self._identity, {**self.saved, **reached})
        self._written = time.monotonic()
        self._cost = self._written - begun


class KeptPart(Part):
    """A named part of an inversion, in its file."""

    def __init__(self, progress: KeptProgress, name: str) -> None:
        self._progress, self._name = progress, name

    def take(self) -> State | None:
        """See Part."""
        return self._progress.saved.pop(self._name, None)

    def hold(self, state: Callable[[], State]) -> None:
        """See Part."""
        self._progress.states[self._name] = state

    def drop(self) -> None:
        """See Part."""
        self._progress.states.pop(self._name, None)

    def reach(self) -> None:
        """See Part."""
        self._progress.reach()


def identify(
    problem: Problem,
    generator: nn.Module,
    lane: Tensor,
    lam: Tensor,
    index: Tensor,
    seed: int,
    batch: int,
) -> Identity:
    """Name everything that the result depends on; a checkpoint of anything else is of no use.

    Args:
        problem: the images, the method, the operator and the networks of its priors.
        generator: that is inverted.
        lane: image of each restoration.
        lam: lambda of each restoration.
        index: the images' rows in their data set.
        seed: of the starts.
        batch: rows at a time; another number rounds differently, as another device does.
    """
    parts = {
        **dataclasses.asdict(problem.method),
        "images": _hash(problem.images, index),
        "mask": _hash(problem.given),
        "lam": _hash(lane, lam),
        "operator": _described(problem.operator),
        "generator": _hash(*generator.state_dict().values()),
        "discriminator": _hash(*_weights(problem.discriminator)),
        "encoder": _hash(*_weights(problem.encoder)),
        "perceptual network": _hash(*_weights(problem.perceptual)),
        "seed": seed,
        "rows at a time": batch,
        "device": problem.images.device.type,
        "inversion version": INVERSION_VERSION,
    }
    return {name: spell(value) for name, value in parts.items()}


def _weights(network: nn.Module | None) -> list[Tensor]:
    return [] if network is None else list(network.state_dict().values())


def _described(operator: Operator | None) -> list[object]:
    values = [] if operator is None else vars(operator).values()
    hashed = [_hash(value) if isinstance(value, Tensor) else value for value in values]
    return [type(operator).__name__, *hashed]


def _hash(*tensors: Tensor) -> str:
    return fingerprint(*(tensor.detach().cpu().numpy() for tensor in tensors))

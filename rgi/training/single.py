"""One network learns with one Adam: steps, checkpoints, lines of statistics; resumable."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor, nn
from torch.optim import Adam
from tqdm import tqdm

from rgi.checkpoint import Identity, save_checkpoint
from rgi.interruption import Interrupted, StopRequest
from rgi.models.numerics import repeatable
from rgi.training.checkpoint import load_checkpoint
from rgi.training.draws import prefetch
from rgi.training.guards import check_finite
from rgi.training.statistics import Tick, append_line, drop_lines_after

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
LOG = "training.jsonl"

Network = TypeVar("Network", bound=nn.Module)
Draw = TypeVar("Draw")


class Settings(Protocol):
    """What every such training can be told."""

    batch: int
    learning_rate: float
    tick_images: int
    checkpoint_seconds: float


@dataclass
class State(Generic[Network]):
    """All that changes while training; a checkpoint is this, and nothing else."""

    network: Network
    adam: Adam
    tick: Tick
    step: int = 0

    @classmethod
    def begin(
        cls, network: Network, measures: tuple[str, ...], learning_rate: float
    ) -> "State[Network]":
        """Before the first step of a network that is on its device."""
        device = next(network.parameters()).device
        adam = Adam(network.parameters(), lr=learning_rate, fused=True)
        return cls(network, adam, Tick.begin(measures, device))

    def state_dict(self) -> dict[str, Any]:
        """Contents of a checkpoint."""
        parts = ("network", "adam", "tick")
        return {"step": self.step, **{name: getattr(self, name).state_dict() for name in parts}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.adam.load_state_dict(state["adam"])
        self.tick = self.tick.resumed(state["tick"])
        self.step = state["step"]


def learn(
    state: State[Network],
    prepare: Callable[[int], Draw],
    train_step: Callable[[State[Network], Draw], Tensor],
    steps: int,
    record: "Record",
    stop: StopRequest,
) -> None:
    """Take all steps, or what a checkpoint left of them; the last one is in the checkpoint.

    Args:
        state: of the first step; it is that of the last one in the end.
        prepare: the random part of a step, of the seed and the step alone.
        train_step: moves the weights and returns the step's measures.
        steps: how many there are.
        record: where the training is kept.
        stop: asks for the end.

    Raises:
        InputError: a measure or weight is no longer finite.
        Interrupted: `stop` was asked; the checkpoint holds the last step.
    """
    checkpoint = record.directory / CHECKPOINT
    _resume(state, checkpoint, record.identity, steps)
    drop_lines_after(record.directory / LOG, state.step)
    left, batch = range(state.step, steps), record.settings.batch
    with repeatable(), closing(prefetch(prepare, left)) as draws:
        for draw in _followed(draws, state.step, steps, batch):
            state.tick.add(train_step(state, draw), batch)
            state.step += 1
            record.follow(state, ends=state.step == steps)
            if stop and state.step < steps:
                record.save(state)
                raise Interrupted(f"{checkpoint} holds step {state.step}")
    record.save(state)


@dataclass
class Record:
    """What a training keeps beside its result."""

    settings: Settings
    directory: Path
    identity: Identity
    parts: Mapping[str, nn.Module]  # of the network, as a message calls them
    saved: float = field(default_factory=time.monotonic)  # when the last checkpoint was

    def follow(self, state: State, *, ends: bool) -> None:
        """Write what is due after a step."""
        if ends or state.tick.images >= self.settings.tick_images:
            self._end_tick(state)
        if time.monotonic() - self.saved >= self.settings.checkpoint_seconds:
            self.save(state)
            self.saved = time.monotonic()

    def save(self, state: State) -> None:
        """Write a checkpoint."""
        self._check(state)
        save_checkpoint(self.directory / CHECKPOINT, self.identity, state.state_dict())

    def _end_tick(self, state: State) -> None:
        self._check(state)
        shown = state.step * self.settings.batch
        append_line(self.directory / LOG, state.tick, state.step, {"images": shown})
        logger.info("%d images shown", shown)
        state.tick = state.tick.following()

    def _check(self, state: State) -> None:
        check_finite(state.tick.means(), self.parts, state.step, self.settings.learning_rate)


def _resume(state: State, checkpoint: Path, identity: Identity, steps: int) -> None:
    saved = load_checkpoint(checkpoint, identity)
    if saved is None:
        return
    state.load_state_dict(saved)
    if state.step == steps:
        logger.info("%s: already finished; delete checkpoint.pt to train anew", checkpoint)
    else:
        logger.info("%s: going on at step %d of %d", checkpoint, state.step, steps)


def _followed(draws: Iterator[Draw], done: int, steps: int, batch: int) -> Iterator[Draw]:
    """Yield the draws with a progress bar on a terminal."""
    with tqdm(
        total=steps * batch, initial=done * batch, unit=" images", mininterval=5, disable=None
    ) as bar:
        for draw in draws:
            yield draw
            bar.update(batch)

"""Train a Progressive GAN (Karras et al. 2018), in a way that survives being killed."""

import copy
import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from rgi.checkpoint import Identity, save_checkpoint
from rgi.errors import InputError
from rgi.interruption import NEVER, Interrupted, StopRequest
from rgi.models import (
    Architecture,
    Discriminator,
    Generator,
    save_discriminator,
    save_generator,
)
from rgi.models.numerics import repeatable
from rgi.models.progressive import GROUP
from rgi.training.checkpoint import identify, load_checkpoint
from rgi.training.draws import Draw, draw_step, prefetch
from rgi.training.guards import check_finite, check_images
from rgi.training.passes import Passes, spread_kept
from rgi.training.samples import check_spread, draw_samples, save_sheet
from rgi.training.schedule import Position, Schedule
from rgi.training.seeds import Purpose, derive_seed
from rgi.training.settings import TrainingSettings
from rgi.training.statistics import Tick, append_line, drop_lines_after
from rgi.training.team import ALONE, Team

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
LOG = "training.jsonl"
AGREE = 10  # steps between two questions to a team, whether one of them was asked to end
MEASURES = (
    "discriminator_loss",
    "generator_loss",
    "gradient_penalty",
    "score_real",
    "score_fake",
)


@dataclass
class State:
    """All that changes while training; a checkpoint is this, and nothing else."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    passes: Passes  # of generator and discriminator; hold nothing of their own
    optimisers: dict[str, Adam]
    tick: Tick
    step: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Contents of a checkpoint."""
        parts = ("generator", "discriminator", "average", "tick")
        return {
            "step": self.step,
            "optimisers": {name: adam.state_dict() for name, adam in self.optimisers.items()},
            **{name: getattr(self, name).state_dict() for name in parts},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name in ("generator", "discriminator", "average"):
            getattr(self, name).load_state_dict(state[name])
        for name, adam in self.optimisers.items():
            adam.load_state_dict(state["optimisers"][name])
        self.tick = self.tick.resumed(state["tick"])
        self.step = state["step"]


def train(
    images: np.ndarray,
    architecture: Architecture,
    settings: TrainingSettings,
    directory: Path,
    *,
    seed: int,
    device: torch.device,
    team: Team = ALONE,
    stop: StopRequest = NEVER,
) -> None:
    """Train on uint8 images N x H x W x C and write everything into `directory`.

    Written: generator.pt (the averaged generator), discriminator.pt, samples.png,
    samples_{resolution}.png per level, training.jsonl (a line per tick) and checkpoint.pt.
    A training that was interrupted goes on from its checkpoint and ends with the weights that it
    would have had: every random number depends on `seed` and the step alone.

    Each process of a `team` takes its own part of every batch; the weights are those of one
    process within rounding. All read the checkpoint, the leader alone writes.

    Raises:
        InputError: the images do not fit the architecture or the batch the team, a loss or weight
            is no longer finite, or the generator collapsed to one image.
        Interrupted: a process of the team was asked to `stop`; the checkpoint holds its last step.
    """
    check_images(images, architecture.resolution, architecture.channels)
    _check_batch(settings, team)
    schedule = Schedule(settings, architecture.levels)
    directory.mkdir(parents=True, exist_ok=True)
    identity = identify(architecture, settings, seed, device, images=images)
    state = _begin(architecture, settings, seed, device, team)
    with team.leader_first():  # who also puts aside a checkpoint of something else
        _resume(state, directory / CHECKPOINT, identity, schedule)
    if team.leads:
        drop_lines_after(directory / LOG, state.step)
    record = Record(images, settings, seed, directory, identity)

    def prepare(step: int) -> Draw:
        position = schedule.at(step)
        part = team.part(position.batch)
        draw = draw_step(images, architecture.latent_dim, position, settings, seed, step, part)
        return draw.pinned() if device.type == "cuda" else draw

    steps = range(state.step, schedule.steps)
    with repeatable(), closing(prefetch(prepare, steps)) as draws:
        for position, draw in zip(_positions(state, schedule, team), draws, strict=True):
            if position.starts_level:
                state.optimisers = _optimisers(state.generator, state.discriminator, settings)
            measures = train_step(state, draw.to(device), position, settings)
            team.average(measures, state.discriminator.spread.average)
            state.tick.add(measures, position.batch)
            state.step += 1
            if team.leads:
                record.follow(state, position)
            if _any_stops(stop, state, team):
                with team.leader_first():  # or the others' end would end its writing
                    if team.leads:
                        record.save(state)
                raise Interrupted(f"{directory / CHECKPOINT} holds step {state.step}")
        if team.leads:
            record.finish(state)


def train_step(state: State, draw: Draw, position: Position, settings: TrainingSettings) -> Tensor:
    """Move both networks and the average by one step; return the step's MEASURES."""
    at = position.level, position.fade
    fakes = state.passes.generate(draw.latent, *at)
    loss, (penalty, real, fake) = state.passes.criticise(draw.reals, fakes, draw.mixing, *at)
    _descend(state.optimisers["discriminator"], loss)

    with _frozen(state.discriminator), spread_kept(state.discriminator):
        generator_loss = -state.passes.judge(fakes, *at).mean()
        _descend(state.optimisers["generator"], generator_loss)
    _update_average(state, 0.5 ** (position.batch / settings.averaging_halflife))
    return torch.stack([loss, generator_loss, penalty, real, fake]).detach()


def _check_batch(settings: TrainingSettings, team: Team) -> None:
    batches = settings.batch if isinstance(settings.batch, tuple) else (settings.batch,)
    if any(batch % (GROUP * team.size) for batch in batches):
        raise InputError(
            f"generators: batch: {settings.batch}; allowed: multiples of {GROUP * team.size}, "
            f"whole groups of {GROUP} images for each of {team.size} processes"
        )


def _resume(state: State, checkpoint: Path, identity: Identity, schedule: Schedule) -> None:
    saved = load_checkpoint(checkpoint, identity)
    if saved is None:
        return
    state.load_state_dict(saved)
    if state.step == schedule.steps:
        logger.info(
            "%s: already finished at step %d; delete checkpoint.pt to train anew",
            checkpoint,
            state.step,
        )
    else:
        logger.info("%s: going on at step %d of %d", checkpoint, state.step, schedule.steps)


def _any_stops(stop: StopRequest, state: State, team: Team) -> bool:
    """Whether a process of the team was asked to; all get the same answer, lest some go on."""
    if team.size == 1:
        return bool(stop)
    if state.step % AGREE:
        return False
    asked = torch.tensor(float(bool(stop)), device=state.tick.sums.device)
    team.average(asked)
    return bool(asked)


def _begin(
    architecture: Architecture,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    team: Team = ALONE,
) -> State:
    # Channels last: a step takes 7-9% less time on a CPU (16 to 64 pixels, small widths).
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    seeds = {part: derive_seed(seed, part) for part in (Purpose.GENERATOR, Purpose.DISCRIMINATOR)}
    generator = Generator(architecture, seed=seeds[Purpose.GENERATOR])
    discriminator = Discriminator(architecture, seed=seeds[Purpose.DISCRIMINATOR])
    generator = generator.to(device, memory_format=layout)
    discriminator = discriminator.to(device, memory_format=layout)
    return State(
        generator=generator,
        discriminator=discriminator,
        average=copy.deepcopy(generator).requires_grad_(False),
        passes=Passes.of(generator, discriminator, settings, team),
        optimisers=_optimisers(generator, discriminator, settings),
        tick=Tick.begin(MEASURES, device),
    )


def _optimisers(
    generator: Generator, discriminator: Discriminator, settings: TrainingSettings
) -> dict[str, Adam]:
    networks = {"generator": generator, "discriminator": discriminator}
    return {
        name: Adam(
            network.parameters(), lr=settings.learning_rate, betas=settings.betas, fused=True
        )
        for name, network in networks.items()
    }


def _positions(state: State, schedule: Schedule, team: Team) -> Iterator[Position]:
    """Yield what is left to do, with the leader's progress bar on a terminal."""
    hidden = None if team.leads else True
    with tqdm(total=schedule.images, unit=" images", mininterval=5, disable=hidden) as bar:
        for step in range(state.step, schedule.steps):
            position = schedule.at(step)
            side = 4 * 2**position.level
            bar.set_description(f"level {side} x {side}", refresh=False)
            bar.update(position.images - position.batch - bar.n)
            yield position
        bar.update(schedule.images - bar.n)


def _descend(optimiser: Adam, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Spare the gradients of weights that are not to move."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


@torch.no_grad()
def _update_average(state: State, decay: float) -> None:
    averages, current = list(state.average.parameters()), list(state.generator.parameters())
    get_ema_multi_avg_fn(decay)(averages, current, None)  # one call for all: fewer GPU launches


def _check_state(state: State, settings: TrainingSettings) -> None:
    """Refuse a state from which nothing good can follow."""
    networks = {name: getattr(state, name) for name in ("generator", "discriminator", "average")}
    check_finite(state.tick.means(), networks, state.step, settings.learning_rate)


@dataclass
class Record:
    """What a training leaves behind; of a team, the leader alone keeps it."""

    images: np.ndarray
    settings: TrainingSettings
    seed: int
    directory: Path
    identity: Identity
    saved: float = field(default_factory=time.monotonic)  # when the last checkpoint was

    def follow(self, state: State, position: Position) -> None:
        """Write what is due after a step."""
        if position.ends_tick:
            self._end_tick(state, position)
        if position.ends_level:
            self._end_level(state, position.level)
        if time.monotonic() - self.saved >= self.settings.checkpoint_seconds:
            self.save(state)
            self.saved = time.monotonic()

    def finish(self, state: State) -> None:
        """Write the last checkpoint and the result."""
        self.save(state)
        level = state.average.architecture.levels - 1
        samples = draw_samples(state.average, level, self.seed).cpu()
        save_sheet(self.directory / "samples.png", samples)
        save_discriminator(self.directory / "discriminator.pt", state.discriminator)
        save_generator(self.directory / "generator.pt", state.average)

    def save(self, state: State) -> None:
        """Write a checkpoint."""
        _check_state(state, self.settings)
        save_checkpoint(self.directory / CHECKPOINT, self.identity, state.state_dict())

    def _end_tick(self, state: State, position: Position) -> None:
        _check_state(state, self.settings)
        append_line(self.directory / LOG, state.tick, state.step, position.as_line())
        side = 4 * 2**position.level
        logger.info("%d images shown, now at %d x %d pixels", position.images, side, side)
        state.tick = state.tick.following()

    def _end_level(self, state: State, level: int) -> None:
        samples = draw_samples(state.average, level, self.seed).cpu()
        save_sheet(self.directory / f"samples_{4 * 2**level}.png", samples)
        check_spread(self.images, samples, level)

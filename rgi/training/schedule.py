"""Which level is trained at which step, and how far it has faded in."""

from dataclasses import dataclass
from itertools import accumulate
from math import ceil

from rgi.errors import InputError
from rgi.training.settings import PerLevel, TrainingSettings


@dataclass(frozen=True)
class Position:
    """Where one step stands in the whole training."""

    level: int
    fade: float  # 0: the level's layers do not count yet; 1: they alone count
    batch: int
    images: int  # shown up to the end of this step
    starts_level: bool
    ends_level: bool
    ends_tick: bool

    def as_line(self) -> dict[str, float]:
        """What a line of training.jsonl says of it."""
        return {
            "images": self.images,
            "level": self.level,
            "resolution": 4 * 2**self.level,
            "fade": self.fade,
        }


@dataclass(frozen=True)
class _Level:
    batch: int
    fade_steps: int
    stable_steps: int
    tick_steps: int

    @property
    def steps(self) -> int:
        return self.fade_steps + self.stable_steps


class Schedule:
    """The training as a function of the step (Karras et al. 2018, appendix A.1).

    Every level first fades in, then trains alone; 4 x 4 has nothing to fade from.

    Raises:
        InputError: a setting that lists one number per level has the wrong length.
    """

    def __init__(self, settings: TrainingSettings, levels: int) -> None:
        stable = _per_level("images_stable", settings.images_stable, levels)
        fade = _per_level("images_fade", settings.images_fade, levels)
        batch = _per_level("batch", settings.batch, levels)
        self._levels = [
            _Level(
                batch=batch[level],
                fade_steps=ceil(fade[level] / batch[level]) if level else 0,
                stable_steps=ceil(stable[level] / batch[level]),
                tick_steps=ceil(settings.tick_images / batch[level]),
            )
            for level in range(levels)
        ]
        self._starts = [0, *accumulate(level.steps for level in self._levels)]
        self._images = [0, *accumulate(level.steps * level.batch for level in self._levels)]

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self._starts[-1]

    @property
    def images(self) -> int:
        """Images shown in the whole training."""
        return self._images[-1]

    def images_of(self, level: int) -> int:
        """Images shown at one level."""
        return self._images[level + 1] - self._images[level]

    def at(self, step: int) -> Position:
        """Say what the step, counted from 0, has to do."""
        number = max(n for n, start in enumerate(self._starts[:-1]) if start <= step)
        level, within = self._levels[number], step - self._starts[number]
        ends_level = within + 1 == level.steps
        return Position(
            level=number,
            fade=within / level.fade_steps if within < level.fade_steps else 1.0,
            batch=level.batch,
            images=self._images[number] + (within + 1) * level.batch,
            starts_level=within == 0,
            ends_level=ends_level,
            ends_tick=ends_level or (within + 1) % level.tick_steps == 0,
        )


def _per_level(name: str, value: PerLevel, levels: int) -> tuple[int, ...]:
    values = (value,) * levels if isinstance(value, int) else value
    if len(values) != levels:
        raise InputError(f"{name}: {list(values)}; allowed: one integer, or {levels} (one a level)")
    return values

"""What a training can be told, and how the config's entry becomes it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rgi.errors import InputError
from rgi.models import Architecture
from rgi.models.progressive import GROUP

PerLevel = int | tuple[int, ...]


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a progressive training; the defaults are those of Karras et al. 2018.

    Where one number or one per level is allowed, the first of several belongs to 4 x 4 pixels.

    Raises:
        InputError: a value out of its range.
    """

    images_stable: PerLevel = 600_000  # images shown per level after its fade-in
    images_fade: PerLevel = 600_000  # images over which a level fades in; unused at 4 x 4
    batch: PerLevel = 16  # images per step, a multiple of 4
    learning_rate: float = 1e-3  # Adam's, for both networks
    betas: tuple[float, float] = (0.0, 0.99)  # Adam's
    gradient_penalty: float = 10.0  # weight of (||grad D|| - 1)^2 (WGAN-GP)
    drift: float = 1e-3  # weight of D(real)^2, keeps the critic near 0
    averaging_halflife: int = 10_000  # images; 10 000 is a decay of 0.999 at batch 16
    mirror: bool = False  # flip half of the training images left to right
    tick_images: int = 10_000  # images between two lines of training.jsonl
    checkpoint_seconds: float = 300.0  # wall time between two checkpoints

    def __post_init__(self) -> None:
        for name in ("images_stable", "images_fade", "batch", "betas"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        for name in ("images_stable", "averaging_halflife", "tick_images"):
            self._require(name, "integers of at least 1", lambda value: _is_int(value, 1))
        self._require("images_fade", "integers of at least 0", lambda value: _is_int(value, 0))
        self._require(
            "batch",
            f"positive multiples of {GROUP}",
            lambda value: _is_int(value, GROUP) and value % GROUP == 0,
        )
        self._require("learning_rate", "a number above 0", lambda value: _is_number(value, 1e-12))
        for name in ("gradient_penalty", "drift", "checkpoint_seconds"):
            self._require(name, "a number of at least 0", lambda value: _is_number(value, 0))
        self._require(
            "betas", "two numbers in [0, 1)", lambda value: _is_number(value, 0) and value < 1
        )
        if not isinstance(self.betas, tuple) or len(self.betas) != 2:
            raise InputError(f"betas: {self.betas!r}; allowed: two numbers in [0, 1)")
        object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        if not isinstance(self.mirror, bool):
            raise InputError(f"mirror: {self.mirror!r}; allowed: true or false")

    def _require(self, name: str, allowed: str, accept: Any) -> None:
        value = getattr(self, name)
        if not all(map(accept, value if isinstance(value, tuple) else (value,))):
            raise InputError(f"{name}: {value!r}; allowed: {allowed}")


def _is_int(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least


def read_settings(
    entry: Mapping[str, Any], *, resolution: int, channels: int
) -> tuple[Architecture, TrainingSettings]:
    """Split a config entry under `generators` into architecture and training settings.

    `entry` holds latent_dim, widths and any of TrainingSettings' fields; resolution and channels
    are those of the data set.

    Raises:
        InputError: an unknown or missing key, or a value out of its range.
    """
    shape = ("latent_dim", "widths")
    allowed = (*shape, *(field.name for field in dataclasses.fields(TrainingSettings)))
    for key in entry:
        if key not in allowed:
            raise InputError(f"settings: unknown key {key!r}; allowed: {', '.join(allowed)}")
    for key in shape:
        if key not in entry:
            raise InputError(f"settings: the key {key!r} is missing")
    if not isinstance(entry["widths"], list | tuple):
        raise InputError(f"widths: {entry['widths']!r}; allowed: a list of integers")
    architecture = Architecture(resolution, channels, entry["latent_dim"], tuple(entry["widths"]))
    training = {key: value for key, value in entry.items() if key not in shape}
    return architecture, TrainingSettings(**training)

"""What a training can be told, and how the config's entry becomes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rgi.errors import InputError
from rgi.models import Architecture
from rgi.models.progressive import GROUP
from rgi.settings import read_settings

PerLevel = int | tuple[int, ...]
BOOKKEEPING = ("tick_images", "checkpoint_seconds")  # no weight depends on them

_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "images_stable": (lambda value: value >= 1, "at least 1"),
    "images_fade": (lambda value: value >= 0, "at least 0"),
    "batch": (lambda value: value >= GROUP and value % GROUP == 0, f"multiples of {GROUP}"),
    "learning_rate": (lambda value: value > 0, "above 0"),
    "betas": (lambda value: 0 <= value < 1, "two numbers in [0, 1)"),
    "gradient_penalty": (lambda value: value >= 0, "at least 0"),
    "drift": (lambda value: value >= 0, "at least 0"),
    "averaging_halflife": (lambda value: value >= 1, "at least 1"),
    "tick_images": (lambda value: value >= 1, "at least 1"),
    "checkpoint_seconds": (lambda value: value >= 0, "at least 0"),
}


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
    precision: Literal["float32", "bfloat16"] = "float32"  # of convolutions and dense layers
    mirror: bool = False  # flip half of the training images left to right
    tick_images: int = 10_000  # images between two lines of training.jsonl
    checkpoint_seconds: float = 60.0  # wall time between two checkpoints

    def __post_init__(self) -> None:
        for name, (fits, allowed) in _RANGES.items():
            value = getattr(self, name)
            if not all(map(fits, value if isinstance(value, tuple) else (value,))):
                raise InputError(f"generators: {name}: {value!r}; allowed: {allowed}")


def read_training(
    entry: Mapping[str, Any], *, resolution: int, channels: int
) -> tuple[Architecture, TrainingSettings]:
    """Split a config entry under `generators` into architecture and training settings.

    `entry` holds latent_dim, widths and any of TrainingSettings' fields; resolution and channels
    are those of the data set.

    Raises:
        InputError: an unknown or missing key, or a value of the wrong type or out of its range.
    """
    shape = {key: entry[key] for key in ("latent_dim", "widths") if key in entry}
    training = {key: value for key, value in entry.items() if key not in shape}
    known = {"resolution": resolution, "channels": channels}
    return (
        read_settings(Architecture, shape | known, "generators"),
        read_settings(TrainingSettings, training, "generators"),
    )

"""What the training of an autoencoder can be told, and how the config's entry becomes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from rgi.errors import InputError
from rgi.models import AutoencoderArchitecture
from rgi.settings import read_settings

SHAPE = ("latent_dim", "widths", "window", "deviation")  # what an entry says of the architecture

_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "images_shown": (lambda value: value >= 1, "at least 1"),
    "batch": (lambda value: value >= 1, "at least 1"),
    "learning_rate": (lambda value: value > 0, "above 0"),
    "rotation": (lambda value: 0 <= value <= 180, "0 to 180"),
    "translation": (lambda value: 0 <= value < 1, "at least 0, below 1"),
    "tick_images": (lambda value: value >= 1, "at least 1"),
    "checkpoint_seconds": (lambda value: value >= 0, "at least 0"),
}


@dataclass(frozen=True)
class AutoencoderSettings:
    """Settings of a training; the defaults are those of Dehaene et al. 2020 where it has them.

    Raises:
        InputError: a value out of its range.
    """

    images_shown: int = 3_000_000  # 300 epochs of 10,000 images
    batch: int = 128  # images per step; not published
    learning_rate: float = 1e-4  # Adam's
    # Augmentation: objects are turned and moved, textures cropped (their own size is larger).
    rotation: float = 0.0  # largest angle in degrees, either way
    translation: float = 0.0  # largest shift, as a part of the side, in each direction
    mirror: bool = False  # flip half of the images left to right
    tick_images: int = 10_000  # images between two lines of training.jsonl
    checkpoint_seconds: float = 60.0  # wall time between two checkpoints

    def __post_init__(self) -> None:
        for name, (fits, allowed) in _RANGES.items():
            value = getattr(self, name)
            if not fits(value):
                raise InputError(f"autoencoders: {name}: {value!r}; allowed: {allowed}")


def read_autoencoder(
    kind: str, entry: Mapping[str, Any], *, resolution: int, channels: int
) -> tuple[AutoencoderArchitecture, AutoencoderSettings]:
    """Split a config entry under `autoencoders` into architecture and training settings.

    Args:
        kind: l2-ae, dsae, vae or gamma-vae.
        entry: any of SHAPE, AutoencoderSettings' fields, and `crop`, the side in pixels of the
            random crops that a texture's images are seen in.
        resolution: of the data set's images.
        channels: of the data set's images.

    Raises:
        InputError: an unknown key, or a value of the wrong type or out of its range.
    """
    training = [field.name for field in fields(AutoencoderSettings)]
    allowed = ("crop", *SHAPE, *training)
    if unknown := sorted(set(entry) - set(allowed)):
        raise InputError(
            f"autoencoders: {kind}: unknown key {unknown[0]!r}; allowed: {', '.join(allowed)}"
        )
    crop = resolution if entry.get("crop") is None else entry["crop"]
    if not isinstance(crop, int) or not 0 < crop <= resolution or resolution % crop:
        raise InputError(
            f"autoencoders: {kind}: crop: {crop!r}; allowed: what divides the images' {resolution} "
            "pixels"
        )
    known = {"kind": kind, "resolution": crop, "channels": channels}
    shape = {key: entry[key] for key in SHAPE if key in entry}
    settings = {key: entry[key] for key in training if key in entry}
    return (
        read_settings(AutoencoderArchitecture, shape | known, f"autoencoders: {kind}"),
        read_settings(AutoencoderSettings, settings, f"autoencoders: {kind}"),
    )

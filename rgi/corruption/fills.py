"""What the corrupted pixels show: noise, one value, another image, or the image's own mean.

`draw` gets all images (N x C x H x W), the row of the one to corrupt and its mask (bool H x W,
True = corrupted), and returns what is shown under the mask: C x H x W.
"""

from dataclasses import dataclass

import numpy as np

from rgi.errors import InputError


@dataclass(frozen=True)
class Noise:
    """Independent N(mean, sd) values for each pixel and channel; the paper's fill is N(-1, 1)."""

    mean: float = -1.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        if not self.sd >= 0:
            raise InputError(f"cases: fill: sd: {self.sd}; must not be negative")

    def draw(
        self, images: np.ndarray, row: int, mask: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Draw the content of image `row`: C x H x W."""
        return generator.normal(self.mean, self.sd, images.shape[1:])


@dataclass(frozen=True)
class Constant:
    """The same value in [-1, 1] at every corrupted pixel and channel."""

    value: float

    def __post_init__(self) -> None:
        if not -1 <= self.value <= 1:
            raise InputError(f"cases: fill: value: {self.value}; must lie in [-1, 1]")

    def draw(
        self, images: np.ndarray, row: int, mask: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Return the content of image `row`: C x H x W."""
        return np.full(images.shape[1:], self.value)


@dataclass(frozen=True)
class Patch:
    """The pixels of another image of the same set at the same place: close to its surroundings."""

    def draw(
        self, images: np.ndarray, row: int, mask: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Draw another image than `row`: C x H x W.

        Raises:
            InputError: there is no other image.
        """
        if len(images) < 2:
            raise InputError("cases: fill: kind: patch; needs at least 2 images, found 1")
        other = int(generator.integers(len(images) - 1))
        return images[other + (other >= row)]


@dataclass(frozen=True)
class MeanColour:
    """One colour: each channel's own mean over the masked pixels (appendix F of the RGI paper)."""

    def draw(
        self, images: np.ndarray, row: int, mask: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Return the content of image `row`: C x H x W. The mask must not be empty."""
        colour = images[row][:, mask].mean(axis=1, dtype=np.float64)
        return np.broadcast_to(colour[:, None, None], images.shape[1:])


FillSettings = Noise | Constant | Patch | MeanColour

FILLS: dict[str, type[FillSettings]] = {
    "noise": Noise,
    "constant": Constant,
    "patch": Patch,
    "mean-colour": MeanColour,
}

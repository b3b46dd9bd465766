"""Known linear degradations: what is observed of an image, and the adjoint of that map."""

import json
import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rgi.corruption.cases import Case, case_seed, image_generator
from rgi.corruption.degradations import (
    DEGRADATIONS,
    CompressedSensing,
    Degradation,
    SuperResolution,
)
from rgi.errors import InputError
from rgi.settings import choose, read_settings


class Operator(ABC):
    """A linear map A of images, N x C x H x W, each by itself.

    What is observed has four dimensions, too: N x K x h x w.
    """

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """A x: N x C x H x W -> N x K x h x w."""

    @abstractmethod
    def adjoint(self, observed: Tensor) -> Tensor:
        """A^T y: N x K x h x w -> N x C x H x W, with <A x, y> = <x, A^T y>."""

    def picture(self, observed: Tensor) -> Tensor:
        """What is observed as images, N x C x H x W: A^+ y, or near it."""
        return self.adjoint(observed)

    def degraded(self, images: Tensor) -> Tensor:
        """1 where a pixel is not observed as it is, else 0: N x H x W."""
        return torch.ones_like(images[:, 0])

    def rows(self, rows: Tensor) -> Self:
        """The operator of some images, in any order and any number of times."""
        return self

    def to(self, device: torch.device) -> Self:
        """The operator on another device."""
        return self


@dataclass(frozen=True)
class Identity(Operator):
    """The image itself: denoising."""

    def forward(self, images: Tensor) -> Tensor:
        """Return x."""
        return images

    def adjoint(self, observed: Tensor) -> Tensor:
        """Return y."""
        return observed


@dataclass(frozen=True)
class Inpainting(Operator):
    """The pixels outside a known mask; those under it are 0. Every image has its own mask."""

    mask: Tensor  # N x H x W, True or 1 = missing

    def forward(self, images: Tensor) -> Tensor:
        """(1 - M) x."""
        return images * (1 - self.mask.to(images.dtype))[:, None]

    def adjoint(self, observed: Tensor) -> Tensor:
        """(1 - M) y: the map is a projection."""
        return self.forward(observed)

    def degraded(self, images: Tensor) -> Tensor:
        """M."""
        return self.mask.to(images.dtype)

    def rows(self, rows: Tensor) -> Self:
        """The masks of some images."""
        return replace(self, mask=self.mask[rows])

    def to(self, device: torch.device) -> Self:
        """The masks on another device."""
        return replace(self, mask=self.mask.to(device))


@dataclass(frozen=True)
class AveragePooling(Operator):
    """The mean of `factor` x `factor` pixels: super-resolution."""

    factor: int

    def forward(self, images: Tensor) -> Tensor:
        """N x C x H x W -> N x C x H / factor x W / factor."""
        return F.avg_pool2d(images, self.factor)

    def adjoint(self, observed: Tensor) -> Tensor:
        """A part of factor^-2 to each pixel of a square."""
        return self.picture(observed) / self.factor**2

    def picture(self, observed: Tensor) -> Tensor:
        """Every pixel as a square: the pseudo-inverse, factor^2 A^T."""
        return F.interpolate(observed, scale_factor=self.factor, mode="nearest")


@dataclass(frozen=True)
class RandomProjections(Operator):
    """Products with random images, one number each: compressed sensing, N x m x 1 x 1."""

    matrix: Tensor  # m x C x H x W

    def forward(self, images: Tensor) -> Tensor:
        """m products of each image. A convolution: it rounds a row alike wherever it stands."""
        return F.conv2d(images, self.matrix)

    def adjoint(self, observed: Tensor) -> Tensor:
        """The sum of the random images, weighted."""
        return F.conv_transpose2d(observed, self.matrix)

    def picture(self, observed: Tensor) -> Tensor:
        """(m / n) A^T y: A^+ y if the m rows in n dimensions were orthogonal, as they nearly are.

        With N(0, 1 / m) entries E[A A^T] = (n / m) I.
        """
        return self.adjoint(observed) * (len(self.matrix) / self.matrix[0].numel())

    def to(self, device: torch.device) -> Self:
        """The matrix on another device."""
        return replace(self, matrix=self.matrix.to(device))


def read_degradation(values: Mapping[str, Any]) -> Degradation:
    """Read a config entry: `corruption` and that kind's settings.

    Raises:
        InputError: a kind or a key is unknown, or a value is not allowed.
    """
    kind = choose(DEGRADATIONS, values.get("corruption"), "cases: corruption")
    settings = {key: value for key, value in values.items() if key != "corruption"}
    return read_settings(kind, settings, f"cases: {kind.name}")


def make_operator(
    degradation: Degradation, shape: tuple[int, int, int], seed: Sequence[int]
) -> Operator:
    """Make the operator of a degradation for images of a shape, C x H x W.

    Args:
        degradation: its settings.
        shape: of an image.
        seed: of the random projections.

    Raises:
        InputError: the degradation does not fit the images.
    """
    if isinstance(degradation, SuperResolution):
        if any(side % degradation.factor for side in shape[1:]):
            raise InputError(
                f"cases: {degradation.name}: factor: {degradation.factor}; must divide the "
                f"image's sides ({shape[1]} x {shape[2]})"
            )
        return AveragePooling(degradation.factor)
    if isinstance(degradation, CompressedSensing):
        return RandomProjections(_random_images(degradation, shape, seed))
    return Identity()


def observe(images: np.ndarray, degradation: Degradation, seed: int, name: str) -> Case:
    """Make the case of images of which A x + noise is observed.

    `observed` is y, `corrupted` a picture of it, within [-1, 1], and the mask is True throughout:
    no pixel is seen as it is. Noise depends on (seed, name, row), the operator on (seed, name).

    Args:
        images: clean, float32 N x C x H x W in [-1, 1].
        degradation: its settings.
        seed: not negative.
        name: the case's name.

    Raises:
        InputError: the degradation does not fit the images.
    """
    clean = images.astype(np.float32, copy=False)
    # A stream of its own: numpy takes [s, c] for [s, c, 0], that of image 0's noise.
    drawn = [*case_seed(seed, name), zlib.crc32(b"operator")]
    operator = make_operator(degradation, clean.shape[1:], drawn)
    observed = operator.forward(torch.from_numpy(clean)).numpy()
    rows = np.arange(len(clean), dtype=np.int64)
    noise = [image_generator(seed, name, row).normal(size=observed.shape[1:]) for row in rows]
    observed = (observed + degradation.noise * np.array(noise)).astype(np.float32)
    picture = operator.picture(torch.from_numpy(observed)).numpy().clip(-1, 1)
    settings = {"corruption": degradation.name, **asdict(degradation), "seed": drawn}
    return Case(
        clean,
        picture,
        np.ones((len(clean), *clean.shape[2:]), dtype=bool),
        rows,
        observed=observed,
        operator=np.array(json.dumps(settings)),
    )


def observation(case: Case) -> tuple[Tensor, Operator]:
    """What a case says is observed, N x K x h x w, and the operator by which.

    Where nothing is stored of it, what is observed are the pixels outside the mask.

    Raises:
        InputError: what is stored describes no operator.
    """
    if case.operator is None or case.observed is None:
        mask = torch.from_numpy(case.mask)
        corrupted = torch.from_numpy(case.corrupted)
        return Inpainting(mask).forward(corrupted), Inpainting(mask)
    try:
        values = json.loads(str(case.operator))
        seed = values.pop("seed")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"cases: operator: {case.operator}; not readable ({error})") from None
    operator = make_operator(read_degradation(values), case.clean.shape[1:], seed)
    return torch.from_numpy(case.observed), operator


def _random_images(
    degradation: CompressedSensing, shape: tuple[int, int, int], seed: Sequence[int]
) -> Tensor:
    count = degradation.measurements(math.prod(shape))
    random = np.random.default_rng(list(seed))
    matrix = random.standard_normal((count, *shape), dtype=np.float32) / np.float32(count**0.5)
    return torch.from_numpy(matrix)

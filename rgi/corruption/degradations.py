"""Settings of cases whose degradation is a known linear operator, by the name of the corruption."""

from dataclasses import dataclass
from typing import ClassVar

from rgi.errors import InputError

FACTORS = (2, 4, 8, 16)
LARGEST_MATRIX = 2**28  # numbers; 1 GiB


@dataclass(frozen=True)
class Degradation:
    """What is observed is A x + N(0, noise^2), with A as the subclass says."""

    name: ClassVar[str]
    noise: float = 0.0  # standard deviation; pixels lie in [-1, 1]

    def __post_init__(self) -> None:
        if not self.noise >= 0:
            raise InputError(f"cases: {self.name}: noise: {self.noise}; must not be negative")


@dataclass(frozen=True)
class Denoising(Degradation):
    """A is the identity."""

    name = "denoising"


@dataclass(frozen=True, kw_only=True)
class SuperResolution(Degradation):
    """A is the mean of `factor` x `factor` pixels.

    The mean rather than the bicubic filter: it is how a progressive GAN's own levels relate, stays
    in [-1, 1], and has no border convention in which two libraries could differ.
    """

    name = "super-resolution"
    factor: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor not in FACTORS:
            raise InputError(f"cases: {self.name}: factor: {self.factor}; allowed: {FACTORS}")


@dataclass(frozen=True, kw_only=True)
class CompressedSensing(Degradation):
    """A is a matrix with independent N(0, 1 / m) entries, the same for all images of a case.

    m is `fraction` of the numbers in an image, rounded. Source: Bora et al. 2017 (CSGM).
    """

    name = "compressed-sensing"
    fraction: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.fraction <= 1:
            raise InputError(
                f"cases: {self.name}: fraction: {self.fraction}; must lie above 0, at most 1"
            )

    def measurements(self, numbers: int) -> int:
        """How many projections there are of images of so many numbers.

        Raises:
            InputError: they would take a matrix of more than LARGEST_MATRIX numbers.
        """
        count = max(1, round(self.fraction * numbers))
        if count * numbers > LARGEST_MATRIX:
            raise InputError(
                f"cases: {self.name}: fraction: {self.fraction}; {count} x {numbers} numbers are "
                f"more than the {LARGEST_MATRIX} that a matrix may have: for such images at most "
                f"{LARGEST_MATRIX / numbers**2:.2g}"
            )
        return count


DEGRADATIONS: dict[str, type[Degradation]] = {
    kind.name: kind for kind in (Denoising, SuperResolution, CompressedSensing)
}

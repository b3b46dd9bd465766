"""Which images of a public set are for testing: drawn by the seed, read before they count."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rgi.data.pictures import UnreadableImageError
from rgi.errors import InputError


@dataclass(frozen=True)
class Drawn:
    """Names of test images in their order, and those passed over with the reason."""

    names: list[str]
    skipped: dict[str, str]


@dataclass(frozen=True)
class Unseen:
    """Reads a training image, unless its file equals a test image's: uint8 H x W x C.

    `load` reads a file, `decode` makes an image of a name and its bytes; `seen` holds the SHA-256
    of the test images' files. It can be pickled if both can.
    """

    load: Callable[[str], bytes]
    decode: Callable[[str, bytes], np.ndarray]
    seen: Mapping[str, str] = field(repr=False)

    def __call__(self, name: str) -> np.ndarray:
        """Read the image `name`.

        Raises:
            UnreadableImageError: it cannot be read, or is a test image under another name.
        """
        data = self.load(name)
        twin = self.seen.get(hashlib.sha256(data).hexdigest())
        if twin is not None:
            raise UnreadableImageError(f"duplicate of {twin}")
        return self.decode(name, data)


def hold_out(names: Sequence[str], count: int, where: str) -> tuple[Sequence[str], Sequence[str]]:
    """Split names into those for training and the last `count`.

    Raises:
        InputError: none would be left for training.
    """
    if count >= len(names):
        raise InputError(
            f"{where}: held_out: {count}; there are {len(names)} images, so at most "
            f"{len(names) - 1}"
        )
    return names[:-count], names[-count:]


def digests(names: Sequence[str], load: Callable[[str], bytes]) -> dict[str, str]:
    """Return the names by the SHA-256 of their files."""
    return {hashlib.sha256(load(name)).hexdigest(): name for name in names}


def draw_test(
    names: Sequence[str],
    count: int,
    read: Callable[[str], np.ndarray],
    generator: np.random.Generator,
    where: str,
    key: str = "test",
) -> Drawn:
    """Draw `count` of the names whose images can be read; `where` and `key` are for the message.

    Raises:
        InputError: there are too few.
    """
    drawn: list[str] = []
    skipped: dict[str, str] = {}
    for row in generator.permutation(len(names)):
        if len(drawn) == count:
            break
        try:
            read(names[row])
        except UnreadableImageError as error:
            skipped[names[row]] = str(error)
        else:
            drawn.append(names[row])
    if len(drawn) < count:
        first = "".join(f"; {name}: {why}" for name, why in list(skipped.items())[:1])
        raise InputError(
            f"{where}: {key}: {count}; of {len(names)} held-out images {len(drawn)} can be read"
            f"{first}"
        )
    return Drawn(sorted(drawn), skipped)

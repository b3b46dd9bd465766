"""Which images of a public set are for testing: drawn by the seed, read before they count."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from rgi.data.archives import Members
from rgi.data.pictures import UnreadableImageError
from rgi.data.sources import Parts, Pictures
from rgi.errors import InputError


class Reader(Protocol):
    """Reads the images of an archive: uint8 H x W x C."""

    members: Members

    def image(self, name: str) -> np.ndarray:
        """Read the image `name` of the archive."""

    def decode(self, name: str, data: bytes) -> np.ndarray:
        """Make the same of the bytes of its file."""


@dataclass(frozen=True)
class Side:
    """The images that may be trained on, or those that may be tested on."""

    names: Sequence[str]
    reader: Reader


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


def unseen(train: Side, test: Side) -> Pictures:
    """The training images but those whose files equal a test image's."""
    load = test.reader.members.read
    seen = {hashlib.sha256(load(name)).hexdigest(): name for name in test.names}
    return Pictures(train.names, Unseen(train.reader.members.read, train.reader.decode, seen))


def draw_parts(
    train: Side,
    held_out: Side,
    count: int,
    seed: int,
    where: str,
    origin: Callable[[], Mapping[str, Any]],
    said: Mapping[str, str],
) -> Parts:
    """Draw `count` test images of those held out; `origin` and `said` are for info.yaml.

    Raises:
        InputError: too few can be read.
    """
    generator = np.random.default_rng(seed)
    drawn = draw_test(held_out.names, count, held_out.reader.image, generator, where)
    return Parts(
        test=Pictures(drawn.names, held_out.reader.image),
        train=unseen(train, Side(drawn.names, held_out.reader)),
        describe=lambda: describe(origin(), seed, [drawn], said),
    )


def describe(
    origin: Mapping[str, Any], seed: int, drawn: Sequence[Drawn], said: Mapping[str, str]
) -> dict[str, Any]:
    """Return a source's part of info.yaml; `said` is what else there is to say of the split."""
    skipped = {name: why for part in drawn for name, why in part.skipped.items()}
    return {
        **origin,
        "split": {
            "drawn_by_seed": seed,
            **said,
            "test": [name for part in drawn for name in part.names],
        },
        "skipped": [{"name": name, "reason": why} for name, why in sorted(skipped.items())],
    }


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

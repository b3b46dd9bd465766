"""LSUN's bedrooms (Yu et al. 2015), read out of its LMDB databases of encoded images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rgi.data.archives import Members, open_members
from rgi.data.downloads import provenance
from rgi.data.pictures import decode, to_pixels
from rgi.data.sources import Parts, Pictures, check_count, check_image_format
from rgi.data.split import Drawn, Unseen, digests, draw_test
from rgi.errors import InputError

WHERE = "datasets: lsun-bedroom"
PARTS = ("bedroom_train_lmdb", "bedroom_val_lmdb")


@dataclass(frozen=True)
class LsunSettings:
    """`test` images are drawn of the publisher's validation part; all of train is trained on.

    `archive` is the two files bedroom_train_lmdb.zip and bedroom_val_lmdb.zip, or the folders that
    they unpack to; `unpacked` the folder of what had to be unpacked.
    """

    archive: tuple[str, ...]
    resolution: int
    test: int
    channels: int = 3
    unpacked: str | None = None

    def __post_init__(self) -> None:
        check_image_format(WHERE, self.resolution, self.channels)
        check_count(f"{WHERE}: test", self.test)
        if sorted(Path(path).stem for path in self.archive) != sorted(PARTS):
            raise InputError(
                f"{WHERE}: archive: {', '.join(self.archive)}; allowed: two zip files or folders, "
                f"{PARTS[0]} and {PARTS[1]}"
            )

    def part(self, name: str) -> Members:
        """Open the database of a part."""
        path = next(path for path in self.archive if Path(path).stem == name)
        return open_members(path, f"{WHERE}: archive", self.unpacked)


@dataclass(frozen=True)
class _Reader:
    """Reads the largest central square of each image: uint8 H x W x C."""

    members: Members
    settings: LsunSettings

    def image(self, name: str) -> np.ndarray:
        return self.decode(name, self.members.read(name))

    def decode(self, _name: str, data: bytes) -> np.ndarray:
        settings = self.settings
        return to_pixels(decode(data), "centre", settings.resolution, settings.channels)


def lsun_bedroom(settings: LsunSettings, seed: int) -> Parts:
    """Open the bedrooms, in the order of their keys.

    Raises:
        InputError: an archive is missing or damaged, or has too few images.
    """
    train, held_out = (_Reader(settings.part(name), settings) for name in PARTS)
    generator = np.random.default_rng(seed)
    names = held_out.members.names
    drawn = draw_test(names, settings.test, held_out.image, generator, WHERE)
    seen = digests(drawn.names, held_out.members.read)
    return Parts(
        test=Pictures(drawn.names, held_out.image),
        train=Pictures(train.members.names, Unseen(train.members.read, train.decode, seen)),
        describe=lambda: _describe(settings, seed, train.members.names, names, drawn),
    )


def _describe(
    settings: LsunSettings, seed: int, train: Sequence[str], held_out: Sequence[str], drawn: Drawn
) -> dict[str, Any]:
    return {
        **provenance("lsun-bedroom", settings.archive),
        "split": {
            "drawn_by_seed": seed,
            "held_out": f"the publisher's {len(held_out)} validation images",
            "test": drawn.names,
            "train": f"all {len(train)} training images",
        },
        "skipped": [{"name": n, "reason": why} for n, why in sorted(drawn.skipped.items())],
    }

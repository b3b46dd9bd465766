"""LSUN's bedrooms (Yu et al. 2015), read out of its LMDB databases of encoded images."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from rgi.data.archives import Members, open_members
from rgi.data.pictures import decode, to_pixels
from rgi.data.provenance import provenance
from rgi.data.sources import Parts, check_count, check_image_format
from rgi.data.split import Side, draw_parts
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
    names, kept = train.members.names, held_out.members.names
    return draw_parts(
        Side(names, train),
        Side(kept, held_out),
        settings.test,
        seed,
        WHERE,
        origin=partial(provenance, "lsun-bedroom", settings.archive),
        said={
            "held_out": f"the publisher's {len(kept)} validation images",
            "train": f"all {len(names)} training images",
        },
    )

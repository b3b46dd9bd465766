"""How many images a data set has, as far as that is known before it is prepared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CELEBA = 202_599  # all of them
CARS, LSUN_BEDROOM = 8144, 3_033_042  # the publishers' training parts
DIGITS = 1797  # all of them


@dataclass(frozen=True)
class Published:
    """How many images there are for training, and for testing without and with a defect."""

    train: int
    normal: int
    defects: int


INSPECTED: dict[int | str, Published] = {
    1: Published(400, 21, 49),
    2: Published(399, 30, 200),
    3: Published(1000, 400, 41),
    "bottle": Published(209, 20, 63),
    "cable": Published(224, 58, 92),
    "capsule": Published(219, 23, 109),
    "carpet": Published(280, 28, 89),
    "grid": Published(264, 21, 57),
    "hazelnut": Published(391, 40, 70),
    "leather": Published(245, 32, 92),
    "metal_nut": Published(220, 22, 93),
    "pill": Published(267, 26, 141),
    "screw": Published(320, 41, 119),
    "tile": Published(230, 33, 84),
    "toothbrush": Published(60, 12, 30),
    "transistor": Published(213, 60, 40),
    "wood": Published(247, 19, 60),
    "zipper": Published(240, 32, 119),
}


def training_images(values: Mapping[str, Any]) -> int | None:
    """Count the training images of the data set `values`, at most; None where nothing is known.

    At most: images that cannot be read, or whose file equals a test image's, are left out.

    Args:
        values: `source` (see rgi.data.preparation.SOURCES) and that source's settings, as `prepare`
            takes them. A copy of the publisher's files counts as the publisher's.
    """
    known = [count for count in (_of_source(values), values.get("train")) if count is not None]
    return min(known, default=None)


def _of_source(values: Mapping[str, Any]) -> int | None:
    source = values["source"]
    if source == "digits":
        return DIGITS - values["test"]
    if source == "celeba":
        return (values.get("images") or CELEBA) - values.get("held_out", 2000)
    if source == "cars":  # held_out is for a user's own images, cropped already
        return CARS if values.get("held_out") is None else None
    if source == "lsun-bedroom":
        return LSUN_BEDROOM
    if source in ("btad", "mvtec-ad"):
        product = values["product" if source == "btad" else "category"]
        is_clean = values.get("part", "defects") == "clean"
        return INSPECTED[product].train - (values["test"] if is_clean else 0)
    return None  # folder, magnetic-tile: the files say; brick: its key `train`

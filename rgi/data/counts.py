"""How many training images a data set has, as far as that is known before it is prepared."""

from collections.abc import Mapping
from typing import Any

CELEBA = 202_599  # all of them
CARS, LSUN_BEDROOM = 8144, 3_033_042  # the publishers' training parts
DIGITS = 1797  # all of them
INSPECTED = {  # the training part of each product
    **{1: 400, 2: 399, 3: 1000},
    **{"bottle": 209, "cable": 224, "capsule": 219, "carpet": 280, "grid": 264, "hazelnut": 391},
    **{"leather": 245, "metal_nut": 220, "pill": 267, "screw": 320, "tile": 230},
    **{"toothbrush": 60, "transistor": 213, "wood": 247, "zipper": 240},
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
        return INSPECTED[product] - (values["test"] if is_clean else 0)
    return None  # folder, magnetic-tile: the files say; brick: its key `train`

"""The two commands: what a person keeps of restored pictures, and of the defects in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from rgi.data import to_uint8
from rgi.data.inputs import Picture
from rgi.errors import InputError
from rgi.evaluation.defects import find_defects, write_defects
from rgi.files import write_whole
from rgi.inspection.inverter import Found, Inverter
from rgi.reporting.overlay import outline

SUMMARY = "summary.csv"


def restore(pictures: Sequence[Picture], inverter: Inverter, threshold: float | None) -> None:
    """Write {out}/restored/{name}.png, and with a threshold composite/ and mask/ beside it.

    The composite is restored where the score reaches the threshold, and observed elsewhere.

    Raises:
        InputError: one image alone does not fit into memory, or files in `out` are of another
            threshold, see `Inverter.run`.
    """
    import torch

    written = _files(inverter.out, pictures, {"mask": "png", "composite": "png"})
    for found in inverter.run(pictures, threshold, written):
        (restored,) = to_uint8(torch.from_numpy(found.restored[None]))
        _save(inverter.out, "restored", found, restored)
        if threshold is not None:
            mask = found.score >= threshold
            composite = np.where(mask[..., None], restored, found.loaded.pixels)
            _save(inverter.out, "composite", found, composite)
            _save_mask(inverter.out, found, mask)


def detect(pictures: Sequence[Picture], inverter: Inverter, threshold: float | None) -> None:
    """Write {out}/mask, overlay and score/{name}.png, defects/{name}.csv, and the summary of all.

    Raises:
        InputError: no threshold is given, one image alone does not fit into memory, or files in
            `out` are of another threshold, see `Inverter.run`.
    """
    if threshold is None:
        raise InputError(
            "threshold: not given; this method's score is a residual, not a mask, and only you "
            "can say from which score on a pixel is a defect"
        )
    top = 1.0 if inverter.recipe.method.finds_mask else 2 * inverter.generator.channels**0.5
    rows = []
    kinds = {"mask": "png", "overlay": "png", "defects": "csv"}
    for found in inverter.run(pictures, threshold, _files(inverter.out, pictures, kinds)):
        mask = found.score >= threshold
        _save_mask(inverter.out, found, mask)
        _save(inverter.out, "overlay", found, outline(found.loaded.pixels, mask))
        _save(inverter.out, "score", found, (found.score / top * 255).round().astype(np.uint8))
        defects = find_defects(mask, found.score)
        write_defects(_file(inverter.out, "defects", found.picture, "csv"), defects)
        rows.append(_summary(found, threshold, mask, len(defects)))
    with write_whole(inverter.out / SUMMARY) as temporary:
        pd.DataFrame(rows, columns=list(_COLUMNS)).to_csv(temporary, index=False)


_COLUMNS = (
    "name",
    "image",
    "threshold",
    "defects",
    "corrupted_fraction",
    "score_mean",
    "score_max",
)
_COLUMNS += ("seconds", "cut_top", "cut_left", "cut_height", "cut_width")


def _summary(
    found: Found, threshold: float, mask: np.ndarray, defects: int
) -> tuple[str | float, ...]:
    score, names = found.score, (found.picture.name, str(found.picture.path))
    numbers = (mask.mean(), score.mean(), score.max(), found.seconds)
    rounded = (float(f"{number:.6g}") for number in numbers)
    return *names, threshold, defects, *rounded, *found.loaded.box


def _save_mask(out: Path, found: Found, mask: np.ndarray) -> None:
    _save(out, "mask", found, mask.astype(np.uint8) * 255)


def _save(out: Path, kind: str, found: Found, pixels: np.ndarray) -> None:
    """Write uint8 H x W, H x W x 1 or H x W x 3 as PNG."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
    with write_whole(_file(out, kind, found.picture, "png")) as temporary:
        image.save(temporary)


def _files(out: Path, pictures: Sequence[Picture], kinds: Mapping[str, str]) -> set[Path]:
    """The files of some kinds, each with its suffix, of all pictures."""
    return {
        _file(out, kind, picture, suffix) for picture in pictures for kind, suffix in kinds.items()
    }


def _file(out: Path, kind: str, picture: Picture, suffix: str) -> Path:
    return out / kind / f"{picture.name}.{suffix}"

"""A case: clean images, the same with some pixels corrupted, and which pixels those are."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rgi.corruption.fills import FILLS, FillSettings
from rgi.corruption.masks import MASKS, MaskSettings
from rgi.data import save_preview
from rgi.errors import InputError
from rgi.files import load_arrays, save_arrays
from rgi.settings import choose, read_settings

PREVIEWED = 8
OPTIONAL = ("kind", "group", "observed", "operator")  # arrays of a case's file

GIVEN = "given"  # the kind of corruption that the images came with


@dataclass(frozen=True)
class Case:
    """Arrays of N images.

    clean, corrupted: float32 N x C x H x W in [-1, 1]; mask: bool N x H x W, True = corrupted;
    index: int64 N, the row in the set of images. A corrupted pixel may happen to show (nearly)
    what the clean one shows, such as black on black: the mask says what was replaced. `clean` is
    NaN where it is unknown: images whose corruption is real, see `given_case`. `kind`: unicode N,
    the kind of defect of each image where kinds are known; GOOD for an image without a defect.
    `group`: unicode N; images of one group are shots of the same thing; None: no two images are.
    Where the degradation is a known operator (see `operators.observe`), `observed` is what was
    measured, float32 N x K x h x w, `corrupted` a picture of that, and `operator` the settings from
    which the operator is made again, as JSON.
    """

    clean: np.ndarray
    corrupted: np.ndarray
    mask: np.ndarray
    index: np.ndarray
    kind: np.ndarray | None = None
    group: np.ndarray | None = None
    observed: np.ndarray | None = None
    operator: np.ndarray | None = None


def read_corruption(values: Mapping[str, Any]) -> tuple[MaskSettings, FillSettings]:
    """Read a config entry: `corruption`, that kind's settings, and `fill` with its `kind`.

    Raises:
        InputError: a kind or a key is unknown, or a value is not allowed.
    """
    kind, fill = values.get("corruption"), values.get("fill")
    mask_kind = choose(MASKS, kind, "cases: corruption")
    if not isinstance(fill, Mapping):
        raise InputError(f"cases: fill: {fill!r}; expected an object with the key kind")
    fill_kind = choose(FILLS, fill.get("kind"), "cases: fill: kind")
    return (
        read_settings(mask_kind, _without(values, "corruption", "fill"), f"cases: {kind}"),
        read_settings(fill_kind, _without(fill, "kind"), f"cases: fill: {fill['kind']}"),
    )


def image_generator(seed: int, name: str, index: int) -> np.random.Generator:
    """Return the random numbers of one image in one case, whatever else is processed beside it."""
    return np.random.default_rng([*case_seed(seed, name), index])


def case_seed(seed: int, name: str) -> list[int]:
    """Return the seed of what all images of one case share."""
    return [seed, zlib.crc32(name.encode())]


def make_case(
    images: np.ndarray,
    index: Sequence[int] | np.ndarray,
    mask_settings: MaskSettings,
    fill_settings: FillSettings,
    seed: int,
    name: str,
) -> Case:
    """Corrupt rows `index` of `images`; each depends on (seed, name, its row) and nothing else.

    Args:
        images: all clean images, float32 N x C x H x W in [-1, 1]; `patch` draws from them.
        index: rows to corrupt.
        mask_settings: which pixels.
        fill_settings: what they show; the result is clipped to [-1, 1], as an image would be.
        seed: not negative.
        name: the case's name.

    Raises:
        InputError: the corruption does not fit the images.
    """
    rows = np.asarray(index, dtype=np.int64)
    corrupted = np.empty((len(rows), *images.shape[1:]), dtype=np.float32)
    mask = np.empty((len(rows), *images.shape[2:]), dtype=bool)
    for place, row in enumerate(rows.tolist()):
        generator = image_generator(seed, name, row)
        mask[place] = mask_settings.draw(images.shape[2:], generator)
        content = fill_settings.draw(images, row, mask[place], generator)
        corrupted[place] = np.where(mask[place], content, images[row]).clip(-1, 1)
    return Case(images[rows].astype(np.float32, copy=False), corrupted, mask, rows)


def given_case(
    images: np.ndarray,
    masks: np.ndarray,
    kind: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> Case:
    """Make a case of images that are corrupted already, at known pixels.

    Args:
        images: corrupted images, float32 N x C x H x W in [-1, 1].
        masks: N x H x W, not 0 = corrupted.
        kind: unicode N, where known.
        group: unicode N, where some images are of the same thing.

    Raises:
        InputError: not one mask of the right size, or not one kind or group, for each image.
    """
    if masks.shape != (len(images), *images.shape[2:]):
        raise InputError(
            f"cases: {GIVEN}: masks {masks.shape}; expected one for each of the images "
            f"{images.shape}, N x H x W"
        )
    for name, given in (("kinds", kind), ("groups", group)):
        if given is not None and given.shape != (len(images),):
            raise InputError(
                f"cases: {GIVEN}: {name} {given.shape}; expected one for each of the "
                f"{len(images)} images"
            )
    unknown = np.full(images.shape, np.nan, dtype=np.float32)
    corrupted = images.astype(np.float32, copy=False)
    index = np.arange(len(images), dtype=np.int64)
    return Case(unknown, corrupted, masks != 0, index, kind, group)


def save_case(path: Path, case: Case) -> None:
    """Write cases/{dataset}/{case}.npz."""
    arrays = asdict(case)
    save_arrays(path, {name: array for name, array in arrays.items() if array is not None})


def load_case(path: Path) -> Case:
    """Read what save_case wrote.

    Raises:
        InputError: the file is missing, damaged or lacks an array.
    """
    required = ("clean", "corrupted", "mask", "index")
    return Case(**load_arrays(path, *required, optional=OPTIONAL))


def save_case_preview(path: Path, case: Case) -> None:
    """Draw the first images of a case: clean (if known), corrupted, mask, one above the other.

    Where an operator degrades every pixel, there is no mask to show.
    """
    shown = slice(0, PREVIEWED)
    mask = case.mask[shown, None].astype(np.float32) * 2 - 1
    known = np.isfinite(case.clean).all()
    groups = {
        **({"clean": case.clean[shown]} if known else {}),
        "corrupted": case.corrupted[shown],
        **({"mask (white: corrupted)": mask} if case.operator is None else {}),
    }
    save_preview(path, {label: _to_bytes(rows) for label, rows in groups.items()})


def _to_bytes(images: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.rint((images + 1) * 127.5).astype(np.uint8), 1, -1)


def _without(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}

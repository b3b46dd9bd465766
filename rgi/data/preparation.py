"""From a source to a data set on disk: images stream through, nothing is held in memory."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from rgi.data.arrays import open_images, open_masks
from rgi.data.cars import CarsSettings, cars
from rgi.data.celeba import CelebaSettings, celeba
from rgi.data.folder import FolderSettings, folder
from rgi.data.inspected import BtadSettings, MvtecSettings, btad, mvtec_ad
from rgi.data.kinds import save_names
from rgi.data.lsun import LsunSettings, lsun_bedroom
from rgi.data.magnetic_tile import MagneticTileSettings, magnetic_tile
from rgi.data.preview import save_preview
from rgi.data.sources import (
    BrickSettings,
    DigitsSettings,
    Parts,
    brick,
    check_count,
    digits,
)
from rgi.files import sha256_of, write_whole
from rgi.settings import choose, read_settings

PREVIEWED = 16

SOURCES: dict[str, tuple[type, Callable[[Any, int], Parts]]] = {
    "digits": (DigitsSettings, digits),
    "brick": (BrickSettings, brick),
    "folder": (FolderSettings, folder),
    "magnetic-tile": (MagneticTileSettings, magnetic_tile),
    "celeba": (CelebaSettings, celeba),
    "cars": (CarsSettings, cars),
    "lsun-bedroom": (LsunSettings, lsun_bedroom),
    "btad": (BtadSettings, btad),
    "mvtec-ad": (MvtecSettings, mvtec_ad),
}


@contextlib.contextmanager
def stream_array(path: Path, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends one uint8 array of `shape` to the .npy file `path`.

    The file appears under its name only if the block succeeds; memory holds one array at a time.
    """
    count = 0
    with write_whole(path) as temporary, temporary.open("wb") as stream:
        _write_header(stream, (0, *shape))
        start = stream.tell()

        def append(array: np.ndarray) -> None:
            nonlocal count
            if array.shape != shape or array.dtype != np.uint8:
                raise ValueError(f"{path}: {array.dtype} {array.shape}; expected uint8 {shape}")
            stream.write(np.ascontiguousarray(array).tobytes())
            count += 1

        yield append
        # numpy pads the header so that the first axis can grow in place.
        stream.seek(0)
        _write_header(stream, (count, *shape))
        assert stream.tell() == start


def prepare(values: Mapping[str, Any], directory: Path, seed: int) -> None:
    """Write train.npy, test.npy, info.yaml and preview.png into `directory`.

    Beside them stand test_masks.npy, test_kinds.txt and test_groups.txt where the source knows
    masks, kinds and groups.

    Args:
        values: `source` (a name in SOURCES) and that source's settings; besides, for a source that
            does not count its training images itself, `train`: how many to draw at most.
        directory: results/datasets/{dataset}.
        seed: draws the split.

    Raises:
        InputError: settings that do not fit, or a source with too few images.
    """
    kind, open_source = choose(SOURCES, values.get("source"), "datasets: source")
    options = {key: value for key, value in values.items() if key != "source"}
    counts = "train" in {field.name for field in dataclasses.fields(kind)}
    limit = None if counts else options.pop("train", None)
    settings = read_settings(kind, options, f"datasets: {values['source']}")
    parts = open_source(settings, seed)
    if limit is not None:
        check_count(f"datasets: {values['source']}: train", limit)
        parts = dataclasses.replace(parts, train=draw_images(parts.train, limit, seed))
    _write_parts(parts, directory, settings.resolution, settings.channels)
    _write_preview(parts, directory)
    _write_info(parts, directory, dataclasses.asdict(settings), limit)


def draw_images(images: Iterable[np.ndarray], limit: int, seed: int) -> Iterator[np.ndarray]:
    """Yield at most `limit` of the images, drawn by `seed`, in their order; it holds so many.

    Reservoir sampling (Vitter 1985): a stream's length is not known before its end.
    """
    generator = np.random.default_rng([seed, limit])
    kept: list[tuple[int, np.ndarray]] = []
    for number, image in enumerate(images):
        if number < limit:
            kept.append((number, image))
        elif (place := generator.integers(number + 1)) < limit:
            kept[place] = (number, image)
    yield from (image for _, image in sorted(kept, key=lambda pair: pair[0]))


def companions(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the files that stand beside test.npy when the data set `values` is prepared."""
    has_groups = values["source"] == "magnetic-tile"
    inspected = values["source"] in ("btad", "mvtec-ad")
    has_defects = inspected and values.get("part", "defects") == "defects"
    has_kinds = has_groups or has_defects or values.get("kinds", False)
    has_masks = has_kinds or values.get("masks") is not None
    present = {
        "test_masks.npy": has_masks,
        "test_kinds.txt": has_kinds,
        "test_groups.txt": has_groups,
    }
    return tuple(name for name, has in present.items() if has)


def _write_parts(parts: Parts, directory: Path, resolution: int, channels: int) -> None:
    image, mask = (resolution, resolution, channels), (resolution, resolution)
    streams: list[tuple[str, Iterable[np.ndarray], tuple[int, ...]]]
    streams = [("test", parts.test, image), ("train", parts.train, image)]
    named = {"test_kinds.txt": parts.kinds, "test_groups.txt": parts.groups}
    for name, part in {"test_masks.npy": parts.masks, **named}.items():
        if part is None:
            (directory / name).unlink(missing_ok=True)
    if parts.masks is not None:
        streams.insert(1, ("test_masks", parts.masks, mask))
    # One stack: the files get their names only after the last image of the last part.
    with contextlib.ExitStack() as stack:
        for name, arrays, shape in streams:
            append = stack.enter_context(stream_array(directory / f"{name}.npy", shape))
            for array in tqdm(arrays, desc=name, unit="image", disable=None):
                append(array)
        for name, names in named.items():
            if names is not None:
                save_names(directory / name, names)


def _write_preview(parts: Parts, directory: Path) -> None:
    train, test = (open_images(directory / f"{name}.npy") for name in ("train", "test"))
    masks = None if parts.masks is None else open_masks(directory / "test_masks.npy")
    shown = _evenly(np.arange(len(train)))
    groups = {f"train: {len(shown)} of {len(train)} images": train[shown]}
    for label, rows in _by_kind(parts.kinds, len(test)).items():
        shown = _evenly(rows)
        groups[f"{label}: {len(shown)} of {len(rows)} images"] = test[shown]
        if masks is not None:
            above = f"masks of the {label} images above (white: corrupted)"
            groups[above] = masks[shown][..., None] * 255
    save_preview(directory / "preview.png", groups)


def _by_kind(kinds: Sequence[str] | None, count: int) -> dict[str, np.ndarray]:
    if kinds is None:
        return {"test": np.arange(count)}
    return {f"test, {kind}": np.flatnonzero(np.equal(kinds, kind)) for kind in dict.fromkeys(kinds)}


def _evenly(rows: np.ndarray) -> np.ndarray:
    shown = min(PREVIEWED, len(rows))
    return rows[np.linspace(0, len(rows) - 1, shown).round().astype(int)]


def _write_info(parts: Parts, directory: Path, settings: dict[str, Any], limit: int | None) -> None:
    info = parts.describe()
    if limit is not None:
        drawn = f"at most {limit}, drawn by the seed, of {info['split']['train']}"
        info["split"]["train"], settings = drawn, settings | {"train": limit}
    names = ["train", "test"] + ([] if parts.masks is None else ["test_masks"])
    info["counts"] = {"skipped": len(info["skipped"])}
    for name in names:
        path = directory / f"{name}.npy"
        info["counts"][name] = len(np.load(path, mmap_mode="r", allow_pickle=False))
        info["sha256"][path.name] = sha256_of(path)
    if parts.kinds is not None:
        info["counts"]["kinds"] = dict(Counter(parts.kinds))
    info["settings"] = settings
    with write_whole(directory / "info.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(info, sort_keys=False, allow_unicode=True))


def _write_header(stream: Any, shape: tuple[int, ...]) -> None:
    description = np.dtype(np.uint8).str
    np.lib.format.write_array_header_1_0(
        stream, {"descr": description, "fortran_order": False, "shape": shape}
    )

"""From a source to a data set on disk: images stream through, nothing is held in memory."""

import contextlib
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import __version__ as pillow_version

import rgi
from rgi.data.arrays import open_images, open_masks
from rgi.data.cars import CarsSettings, cars
from rgi.data.celeba import CelebaSettings, celeba
from rgi.data.folder import FolderSettings, file_states, folder
from rgi.data.inspected import BtadSettings, MvtecSettings, btad, mvtec_ad
from rgi.data.kinds import check_names, save_names
from rgi.data.lsun import LsunSettings, lsun_bedroom
from rgi.data.magnetic_tile import MagneticTileSettings, magnetic_tile
from rgi.data.preview import save_preview
from rgi.data.reading import read_in_order
from rgi.data.sources import (
    BrickSettings,
    DigitsSettings,
    Parts,
    Pictures,
    brick,
    check_count,
    digits,
)
from rgi.data.streams import (
    Standing,
    forget,
    show_progress,
    stream_array,
    stream_pictures,
)
from rgi.errors import InputError
from rgi.files import sha256_of, write_whole
from rgi.settings import choose, read_settings

PREVIEWED = 16
PLACES = ("archive", "path", "masks", "unpacked")  # settings that name files or folders

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


def prepare(values: Mapping[str, Any], directory: Path, seed: int, processes: int = 1) -> None:
    """Write train.npy, test.npy, info.yaml and preview.png into `directory`.

    Beside them stand test_masks.npy, test_kinds.txt and test_groups.txt where the source knows
    masks, kinds and groups. A call that was killed while it wrote training Pictures is taken up
    where it stood by the next one for the same `values`, files and `seed`.

    Args:
        values: `source` (a name in SOURCES) and that source's settings; besides, for a source that
            does not count its training images itself, `train`: how many to draw at most.
        directory: results/datasets/{dataset}.
        seed: draws the split.
        processes: that read Pictures; the result does not depend on their number.

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
    shape = (settings.resolution, settings.resolution, settings.channels)
    identity = _identify(values, seed, parts.train)
    with _write_parts(parts, directory, shape, identity, processes) as written:
        _write_preview(parts, directory, written.arrays)
        _write_info(parts, directory, written, dataclasses.asdict(settings), limit)


def draw_images(
    images: Iterable[np.ndarray] | Pictures, limit: int, seed: int
) -> Iterable[np.ndarray] | Pictures:
    """Draw at most `limit` of the images by `seed`, in their order.

    Of Pictures, names are drawn, and nothing else is read. A stream's images are all read and
    `limit` of them held.
    """
    generator = np.random.default_rng([seed, limit])
    if isinstance(images, Pictures):
        rows = np.sort(generator.permutation(len(images.names))[:limit])
        return dataclasses.replace(images, names=[images.names[row] for row in rows])
    return _draw_from_stream(images, limit, generator)


def _draw_from_stream(
    images: Iterable[np.ndarray], limit: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Reservoir sampling (Vitter 1985): a stream's length is not known before its end."""
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


def _identify(values: Mapping[str, Any], seed: int, train: Iterable[np.ndarray]) -> str:
    """Tell apart all that training Pictures depend on: settings, names, files, seed, decoder."""
    known = {
        "values": dict(values),
        "files": list(_stamps([values[key] for key in PLACES if values.get(key) is not None])),
        "names": list(train.names) if isinstance(train, Pictures) else None,
        "seed": seed,
        "versions": [rgi.__version__, pillow_version],
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _stamps(places: Sequence[str | Sequence[str]]) -> Iterator[tuple[str, int, int]]:
    """Give size and time of change of every file that is one of the places, or in a folder."""
    for place in places:
        for path in map(Path, [place] if isinstance(place, str) else place):
            if path.is_dir():
                files = [(f"{path}/{name}", state) for name, state in file_states(path)]
            else:
                files = [(str(path), path.stat())]
            for name, state in files:
                yield name, state.st_size, state.st_mtime_ns


@dataclasses.dataclass
class _Written:
    """Where the arrays are, the SHA-256 of one that is large, skipped Pictures and why."""

    arrays: dict[str, Path] = dataclasses.field(default_factory=dict)
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def _write_parts(
    parts: Parts, directory: Path, shape: tuple[int, ...], identity: str, processes: int
) -> Iterator[_Written]:
    """Write all arrays and lists of names, then run the block; only then do they get their names.

    A kill in the block does not cost what has been read.
    """
    named = {"test_kinds.txt": parts.kinds, "test_groups.txt": parts.groups}
    for names in named.values():
        check_names(set(names or ()))
    for name, part in {"test_masks.npy": parts.masks, **named}.items():
        if part is None:
            (directory / name).unlink(missing_ok=True)
    alone = parts.masks is None and all(part is None for part in named.values())
    with contextlib.ExitStack() as stack:
        written = _Written()

        def write(name: str, images: Iterator[np.ndarray], shape: tuple[int, ...]) -> None:
            stream = stream_array(directory / f"{name}.npy", shape, images)
            written.arrays[name] = stack.enter_context(stream)

        left_out = written.skipped if alone else None
        write("test", _images("test", parts.test, shape, processes, left_out), shape)
        if parts.masks is not None:
            masks = _images("test_masks", parts.masks, shape[:2], processes, None)
            write("test_masks", masks, shape[:2])
        train = directory / "train.npy"
        if isinstance(parts.train, Pictures):
            stream = stream_pictures(train, shape, parts.train, identity, processes)
            path, standing, digest = stack.enter_context(stream)
            _check_usable(directory, standing)
            written.arrays["train"], written.digests["train"] = path, digest
            written.skipped |= standing.skipped
        else:
            forget(train)
            write("train", _images("train", parts.train, shape, processes, None), shape)
        for name, names in named.items():
            if names is not None:
                save_names(directory / name, names)
        yield written


def _images(
    name: str,
    part: Iterable[np.ndarray],
    shape: tuple[int, ...],
    processes: int,
    skipped: dict[str, str] | None,
) -> Iterator[np.ndarray]:
    """Read a part. Without `skipped`, each image belongs to a mask, kind or group and must be."""
    if not isinstance(part, Pictures):
        yield from show_progress(name, iterable=part)
        return
    reads = read_in_order(part, shape, processes)
    for each in show_progress(name, iterable=reads, total=len(part.names)):
        if each.image is not None:
            yield each.image
        elif skipped is not None:
            skipped[each.name] = each.reason
        else:
            raise InputError(
                f"{each.name}: {each.reason}; a part of the test set, not to be left out"
            )


def _check_usable(directory: Path, standing: Standing) -> None:
    if standing.rows == 0:
        reasons = sorted(standing.skipped.items())
        first = f"; the first: {': '.join(reasons[0])}" if reasons else ""
        raise InputError(
            f"{directory}: found 0 usable images for training, need at least 1 "
            f"({len(reasons)} skipped{first})"
        )


def _write_preview(parts: Parts, directory: Path, arrays: Mapping[str, Path]) -> None:
    train, test = (open_images(arrays[name]) for name in ("train", "test"))
    masks = open_masks(arrays["test_masks"]) if "test_masks" in arrays else None
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


def _write_info(
    parts: Parts,
    directory: Path,
    written: _Written,
    settings: dict[str, Any],
    limit: int | None,
) -> None:
    info = parts.describe()
    info["skipped"] += [{"name": name, "reason": why} for name, why in written.skipped.items()]
    info["skipped"].sort(key=itemgetter("name"))
    if limit is not None:
        drawn = f"at most {limit}, drawn by the seed, of {info['split']['train']}"
        info["split"]["train"], settings = drawn, settings | {"train": limit}
    info["counts"] = {"skipped": len(info["skipped"])}
    for name in ("train", "test", "test_masks"):
        if name in written.arrays:
            path = written.arrays[name]
            rows = np.load(path, mmap_mode="r", allow_pickle=False)
            info["counts"][name] = len(rows)
            info["sha256"][f"{name}.npy"] = written.digests.get(name) or sha256_of(path)
    if parts.kinds is not None:
        info["counts"]["kinds"] = dict(Counter(parts.kinds))
    info["settings"] = settings
    with write_whole(directory / "info.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(info, sort_keys=False, allow_unicode=True))

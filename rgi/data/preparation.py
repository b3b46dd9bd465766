"""From a source to a data set on disk: images stream through, nothing is held in memory."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from rgi.data.arrays import open_images, open_masks
from rgi.data.folder import FolderSettings, folder
from rgi.data.preview import save_preview
from rgi.data.sources import BrickSettings, DigitsSettings, Parts, brick, digits
from rgi.files import write_whole
from rgi.settings import choose, read_settings

PREVIEWED = 16

SOURCES: dict[str, tuple[type, Callable[[Any, int], Parts]]] = {
    "digits": (DigitsSettings, digits),
    "brick": (BrickSettings, brick),
    "folder": (FolderSettings, folder),
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
    """Write train.npy, test.npy (test_masks.npy), info.yaml and preview.png into `directory`.

    Args:
        values: `source` (a name in SOURCES) and that source's settings.
        directory: results/datasets/{dataset}.
        seed: draws the split.

    Raises:
        InputError: settings that do not fit, or a source with too few images.
    """
    kind, open_source = choose(SOURCES, values.get("source"), "datasets: source")
    options = {key: value for key, value in values.items() if key != "source"}
    settings = read_settings(kind, options, f"datasets: {values['source']}")
    parts = open_source(settings, seed)
    _write_parts(parts, directory, settings.resolution, settings.channels)
    _write_preview(directory, has_masks=parts.masks is not None)
    _write_info(parts, directory, dataclasses.asdict(settings))


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read piece by piece."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_parts(parts: Parts, directory: Path, resolution: int, channels: int) -> None:
    image, mask = (resolution, resolution, channels), (resolution, resolution)
    streams: list[tuple[str, Iterable[np.ndarray], tuple[int, ...]]]
    streams = [("test", parts.test, image), ("train", parts.train, image)]
    if parts.masks is None:
        (directory / "test_masks.npy").unlink(missing_ok=True)
    else:
        streams.insert(1, ("test_masks", parts.masks, mask))
    # One stack: the files get their names only after the last image of the last part.
    with contextlib.ExitStack() as stack:
        for name, arrays, shape in streams:
            append = stack.enter_context(stream_array(directory / f"{name}.npy", shape))
            for array in tqdm(arrays, desc=name, unit="image", disable=None):
                append(array)


def _write_preview(directory: Path, has_masks: bool) -> None:
    groups = {}
    for name in ("train", "test"):
        images = open_images(directory / f"{name}.npy")
        groups[f"{name}: {min(PREVIEWED, len(images))} of {len(images)} images"] = _evenly(images)
    if has_masks:
        masks = open_masks(directory / "test_masks.npy")
        groups["masks of the test images above (white: corrupted)"] = (
            _evenly(masks)[..., None] * 255
        )
    save_preview(directory / "preview.png", groups)


def _evenly(images: np.ndarray) -> np.ndarray:
    rows = np.linspace(0, len(images) - 1, min(PREVIEWED, len(images))).round().astype(int)
    return np.asarray(images[rows])


def _write_info(parts: Parts, directory: Path, settings: dict[str, Any]) -> None:
    info = parts.describe()
    names = ["train", "test"] + ([] if parts.masks is None else ["test_masks"])
    info["counts"] = {"skipped": len(info["skipped"])}
    for name in names:
        path = directory / f"{name}.npy"
        info["counts"][name] = len(np.load(path, mmap_mode="r", allow_pickle=False))
        info["sha256"][path.name] = sha256_of(path)
    info["settings"] = settings
    with write_whole(directory / "info.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(info, sort_keys=False, allow_unicode=True))


def _write_header(stream: Any, shape: tuple[int, ...]) -> None:
    description = np.dtype(np.uint8).str
    np.lib.format.write_array_header_1_0(
        stream, {"descr": description, "fortran_order": False, "shape": shape}
    )

"""Pictures through a generator, a shard at a time; what is found is kept and not computed again."""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from rgi.data import to_tensor
from rgi.data.inputs import Loaded, Picture, load_picture
from rgi.data.pictures import UnreadableImageError
from rgi.errors import InputError
from rgi.evaluation.scoring import load_shard
from rgi.files import load_arrays, save_arrays
from rgi.inspection.recipe import (
    Recipe,
    check_folder,
    check_threshold,
    found_folder,
    record_recipe,
)
from rgi.inversion import invert
from rgi.models import Discriminator, Generator, load_discriminator, load_generator

logger = logging.getLogger(__name__)

SHARD = 16  # pictures computed together; at most as many are lost by a kill


@dataclass(frozen=True)
class Found:
    """What the inversion made of one picture.

    `restored` is float32 C x H x W in [-1, 1], `score` float32 H x W, higher = more surely
    corrupted.
    """

    picture: Picture
    loaded: Loaded
    restored: np.ndarray
    score: np.ndarray
    seconds: float


class Inverter:
    """Restores pictures by one recipe into one folder.

    Each picture's result lies in {out}/found/{name}.npz, a restoration file of one image with the
    SHA-256 of the picture beside it. A picture that is there, unchanged, is not computed again.

    Raises:
        InputError: a network's file is missing or damaged, the two do not fit each other, or
            `out` was filled by another recipe or by others.
    """

    def __init__(self, recipe: Recipe, out: Path, device: torch.device, memory: int) -> None:
        self.recipe, self.out, self.memory = recipe, Path(out), memory
        self.failures: dict[Path, str] = {}  # pictures that are of no use, and why
        self.generator = load_generator(recipe.generator).to(device)
        self.discriminator = None
        if recipe.method.needs_discriminator:
            self.discriminator = _fitting_discriminator(recipe, self.generator).to(device)
        self._described = recipe.described()
        check_folder(self.out, self._described)

    def run(
        self, pictures: Sequence[Picture], threshold: float | None, written: Collection[Path]
    ) -> Iterator[Found]:
        """Yield what is found, picture by picture; what cannot be read goes to `failures`.

        Args:
            pictures: to restore.
            threshold: from which score on the caller calls a pixel corrupted, if at all.
            written: the files that the caller will write by it.

        Raises:
            InputError: one image alone does not fit into memory, or in `out` there are files of
                another threshold that are not written again.
        """
        if threshold is not None:
            check_threshold(self.out, threshold, written)
        record_recipe(self.out, self._described, threshold)
        size = max(SHARD, self.recipe.method.batch)
        bar = tqdm(total=len(pictures), desc="pictures", unit="picture", disable=None)
        with bar, logging_redirect_tqdm():
            for first in range(0, len(pictures), size):
                shard = pictures[first : first + size]
                yield from self._shard(shard)
                bar.update(len(shard))
                logger.info("%d of %d pictures", first + len(shard), len(pictures))

    def _shard(self, pictures: Sequence[Picture]) -> Iterator[Found]:
        loaded = {}
        for picture in pictures:
            try:
                loaded[picture] = self._load(picture.path)
            except UnreadableImageError as error:
                self._fail(picture, str(error))
        missing = [picture for picture in loaded if not self._is_kept(picture, loaded[picture])]
        if missing:
            self._compute({picture: loaded[picture] for picture in missing})
        for picture in loaded:
            if picture.path not in self.failures:
                kept = load_shard(self._file(picture))
                yield Found(
                    picture,
                    loaded[picture],
                    kept.restored[0],
                    kept.score[0],
                    float(kept.told["seconds"][0]),
                )

    def _load(self, path: Path) -> Loaded:
        generator = self.generator
        return load_picture(path, self.recipe.crop, generator.resolution, generator.channels)

    def _compute(self, loaded: dict[Picture, Loaded]) -> None:
        restoration = invert(
            to_tensor(np.stack([one.pixels for one in loaded.values()])),
            self.generator,
            self.recipe.method,
            self.recipe.lam,
            discriminator=self.discriminator,
            index=[0] * len(loaded),  # a picture's random numbers do not depend on its company
            seed=self.recipe.seed,
            memory=self.memory,
        )
        arrays = {n: getattr(restoration, n).numpy() for n in ("restored", "score", "seconds")}
        for row, (picture, one) in enumerate(loaded.items()):
            own = {name: values[row : row + 1] for name, values in arrays.items()}
            if not all(np.isfinite(values).all() for values in own.values()):
                self._fail(picture, "the method diverged: its result is not finite")
                continue
            save_arrays(
                self._file(picture),
                {"index": np.zeros(1, np.int64), "sha256": np.array([one.sha256]), **own},
            )

    def _is_kept(self, picture: Picture, loaded: Loaded) -> bool:
        path = self._file(picture)
        return path.exists() and load_arrays(path, "sha256")["sha256"][0] == loaded.sha256

    def _file(self, picture: Picture) -> Path:
        return found_folder(self.out) / f"{picture.name}.npz"

    def _fail(self, picture: Picture, reason: str) -> None:
        logger.warning("%s: %s; going on without it", picture.path, reason)
        self.failures[picture.path] = reason


def _fitting_discriminator(recipe: Recipe, generator: Generator) -> Discriminator:
    if not recipe.discriminator.exists():
        raise InputError(
            f"discriminator: {recipe.discriminator}: no such file; this method needs the one that "
            "was trained with the generator"
        )
    discriminator = load_discriminator(recipe.discriminator)
    judged, made = discriminator.architecture, generator.architecture
    for name in ("resolution", "channels"):
        if getattr(judged, name) != getattr(made, name):
            raise InputError(
                f"{recipe.discriminator}: {name} {getattr(judged, name)}; the generator's is "
                f"{getattr(made, name)}"
            )
    return discriminator

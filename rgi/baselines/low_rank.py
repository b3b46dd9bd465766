"""Low rank plus sparse: a test image beside clean ones, without a generator.

Every test image is decomposed by itself, together with the same clean training images, so that its
result depends on no other test image: D = [references | test image], one column for each image,
channels stacked. What fits the low rank is the restored image, what does not is the score.
"""

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from rgi.baselines.alignment import align, inverse, length_of, stays_inside, warp
from rgi.baselines.interface import Restored, check_at_least, check_lam
from rgi.baselines.robust_pca import decompose, standard_weight
from rgi.errors import InputError
from rgi.settings import choose, read_settings
from rgi.traits import Traits

MOST_REACH = 0.25  # half of each side is left to align by

# One image, C x H x W in [0, 1], to its low-rank and its sparse part.
Split = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class RPCASettings:
    """At most `references` training images stand beside a test image; all if there are fewer."""

    references: int = 100

    def __post_init__(self) -> None:
        check_at_least("rpca: references", self.references, 2)


@dataclass(frozen=True)
class RASLSettings:
    """As for RPCA; at most `iterations` linearisations.

    reach: furthest that a map may move a corner, as a part of the image's side.
    """

    references: int = 100
    iterations: int = 20
    reach: float = 0.1

    def __post_init__(self) -> None:
        check_at_least("rasl: references", self.references, 2)
        check_at_least("rasl: iterations", self.iterations, 1)
        if not 0 < self.reach <= MOST_REACH:
            raise InputError(
                f"methods: rasl: reach: {self.reach}; must lie above 0 and be at most {MOST_REACH}"
            )


@dataclass(frozen=True)
class LowRank:
    """A decomposition as an entry of LOW_RANK.

    `prepare` takes the references (K x C x H x W in [0, 1]), lambda and a value of `settings`, does
    what all test images share, and returns what splits one of them.
    """

    name: str
    settings: type
    prepare: Callable[[np.ndarray, float, Any], Split]
    traits: Traits
    has_lambda: bool = True


def rpca(references: np.ndarray, lam: float, settings: RPCASettings) -> Split:
    """Robust principal component analysis (Candes et al. 2011; Lin, Chen and Ma 2010)."""
    columns = references.reshape(len(references), -1).T

    def split(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _last_column(columns, image, lam)

    return split


def rasl(references: np.ndarray, lam: float, settings: RASLSettings) -> Split:
    """RPCA with alignment over affine maps (Peng et al. 2012).

    The references are aligned to each other once; then each test image is aligned to them, while
    they stay as they are. Both parts are warped back into the test image's own frame. Pixels there
    that the common frame does not show have no low-rank part: they are left as they are, score 0.
    """
    maps = align(references, lam, settings.iterations, settings.reach)
    aligned = np.stack([warp(*pair) for pair in zip(references, maps, strict=True)])
    columns = np.stack([(image / length_of(image)).ravel() for image in aligned], axis=1)

    def split(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (there,) = align(image[None], lam, settings.iterations, settings.reach, aligned)
        back = inverse(there)
        warped = warp(image, there)
        length = length_of(warped)
        low_rank, sparse = _last_column(columns, warped / length, lam)
        shown = stays_inside(image.shape[1:], back)
        # Of the sparse part its size, linearly: splines would overshoot, signs cancel.
        sparse = np.where(shown, warp(np.abs(sparse) * length, back, order=1), 0)
        return np.where(shown, warp(low_rank * length, back), image), sparse

    return split


_RPCA = Traits(
    variables="low-rank and sparse part",
    fidelity="both add up to the image",
    prior="low rank, sparse part (lambda)",
    needs="normal images",
)
LOW_RANK: dict[str, LowRank] = {
    entry.name: entry
    for entry in (
        LowRank("rpca", RPCASettings, rpca, _RPCA),
        LowRank(
            "rasl",
            RASLSettings,
            rasl,
            replace(_RPCA, variables="low-rank and sparse part, affine maps"),
        ),
    )
}


def decompose_images(
    images: np.ndarray,
    references: np.ndarray,
    method: str,
    lam: float | None,
    settings: Mapping[str, Any] | None = None,
) -> Restored:
    """Split each image by itself into what fits the references and what does not.

    Args:
        images: float32 N x C x H x W in [-1, 1].
        references: clean images, K x C x H x W in [-1, 1], see `draw_references`.
        method: a name in LOW_RANK.
        lam: the weight of the sparse part, as a multiple of `standard_weight`; greater than 0.
        settings: the method's settings, see its dataclass.

    Returns:
        restored: the low-rank part, clipped; score: the sparse part, Euclidean over channels, in
        the image's own frame; seconds: of one image, with an equal share of what all images have
        in common, such as the alignment of the references.

    Raises:
        InputError: an unknown method or setting, a lambda that is missing or out of its range, or
            references of another size.
    """
    chosen = choose(LOW_RANK, method, "methods: low-rank")
    options = read_settings(chosen.settings, settings or {}, f"methods: {method}: settings")
    check_lam(method, chosen.has_lambda, lam)
    if references.shape[1:] != images.shape[1:]:
        raise InputError(
            f"methods: {method}: training images {references.shape[1:]}; expected C x H x W of "
            f"the case's images, {images.shape[1:]}"
        )
    start = time.perf_counter()
    split = chosen.prepare(_brightness(references), lam, options)
    shared = (time.perf_counter() - start) / len(images)
    restored = np.empty(images.shape, dtype=np.float32)
    score = np.empty((len(images), *images.shape[2:]), dtype=np.float32)
    seconds = np.empty(len(images))
    for row in tqdm(range(len(images)), desc=method, unit="image", disable=None):
        start = time.perf_counter()
        low_rank, sparse = split(_brightness(images[row]))
        restored[row] = (2 * low_rank - 1).clip(-1, 1)
        score[row] = np.linalg.norm(2 * sparse, axis=0)
        seconds[row] = shared + time.perf_counter() - start
    return Restored(restored, score, seconds)


def draw_references(count: int, method: str, settings: Mapping[str, Any], seed: int) -> np.ndarray:
    """Draw which of `count` training images are the references, the same for all test images.

    Fewer references are a part of more. At most `count` are drawn.

    Raises:
        InputError: an unknown method or setting, or fewer than two training images.
    """
    chosen = choose(LOW_RANK, method, "methods: low-rank")
    options = read_settings(chosen.settings, settings, f"methods: {method}: settings")
    check_at_least(f"{method}: training images", count, 2)
    generator = np.random.default_rng([seed, zlib.crc32(b"references")])
    return np.sort(generator.permutation(count)[: options.references])


def _brightness(images: np.ndarray) -> np.ndarray:
    """From [-1, 1] to [0, 1]: black is nothing, so a darker image is a multiple of a bright one."""
    return (images.astype(np.float64) + 1) / 2


def _last_column(
    columns: np.ndarray, image: np.ndarray, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    data = np.column_stack([columns, image.ravel()])
    found = decompose(data, lam * standard_weight(data.shape))
    return tuple(part[:, -1].reshape(image.shape) for part in (found.low_rank, found.sparse))

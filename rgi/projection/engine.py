"""The face of the projections: checked arguments in, many independent images out."""

import copy
import logging
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from rgi.errors import InputError
from rgi.models import Autoencoder
from rgi.models.dssim import dssim
from rgi.models.numerics import full_precision, repeatable
from rgi.models.tiles import from_tiles, to_tiles
from rgi.projection.energy import CHECK, Rows, take_steps
from rgi.projection.methods import GRADIENT_SCORES, METHODS, Method
from rgi.projection.scores import gradient_score

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Projection:
    """What a projection found, image by image."""

    restored: Tensor  # N x C x H x W in [-1, 1]
    score: Tensor  # N x H x W, higher = more surely corrupted: DSSIM(x_0, restored) in [0, 1]
    seconds: Tensor  # N, float64: compute per image
    passes: Tensor  # N: passes through the autoencoder with gradient


@repeatable()
@full_precision()
def project(
    images: Tensor,
    autoencoder: Autoencoder,
    method: str | Method,
    lam: float | None = None,
    *,
    mask: Tensor | None = None,
) -> Projection:
    """Move images to the autoencoder's normal ones; the computation runs on its device.

    Images are independent: one alone gives the same as among any others, to the last bit (for one
    device, thread count and `method.batch`). An image larger than the autoencoder's is projected
    tile by tile.

    Args:
        images: N x C x H x W in [-1, 1].
        autoencoder: of the kind that the method names, trained.
        method: a name in METHODS or a Method.
        lam: weight of the distance from the image (eq. 4), at least 0; for methods with steps.
            Pixels count as in [0, 1] there.
        mask: N x H x W, True = corrupted; for methods that need the true mask (eq. 7).

    Returns:
        Projection, on the device of `images`.

    Raises:
        InputError: an argument is missing, superfluous or of the wrong shape or range, or a
            descent diverged.

    Source: Dehaene et al., Iterative energy-based projection on a normal data manifold for anomaly
        localization (ICLR 2020), eqs. 4, 5, 7, 8 and appendix A.
    """
    method = _resolve(method)
    _check(images, autoencoder, method, lam, mask)
    started = time.perf_counter()
    network = copy.deepcopy(autoencoder).eval().requires_grad_(False)
    device, side = network.training_losses.device, network.resolution
    seen = to_tiles((images.to(device, torch.float32) + 1) / 2, side)
    free = torch.ones_like(images[:, 0]) if mask is None else mask.to(images.dtype)
    free = to_tiles(free[:, None].to(device, torch.float32), side)[:, 0]
    with torch.enable_grad():
        found, score, passes = _project(network, method, 0.0 if lam is None else lam, seen, free)
    shape = images.shape[-2:]
    restored = from_tiles(found, *shape).clamp(0, 1)
    # Of the whole image: a window at a tile's border sees beyond it.
    score = _score(network, method, from_tiles(seen, *shape), restored, score, free)
    passes = passes.view(len(images), -1).sum(1)
    restored, score = (tensor.to(images.device) for tensor in (2 * restored - 1, score))
    share = passes.double().cpu() / passes.sum().item()
    seconds = (time.perf_counter() - started) * share
    return Projection(restored, score, seconds, passes.cpu())


def _project(
    network: Autoencoder, method: Method, lam: float, images: Tensor, free: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Projections of tiles, a gradient score's map, and how many passes each took."""
    if method.score in GRADIENT_SCORES:
        restored, score = _in_batches(network, method, images)
        return restored, score, torch.ones(len(images), dtype=torch.long)
    if not method.steps:
        restored, _ = _in_batches(network, method, images)
        return restored, None, torch.ones(len(images), dtype=torch.long)
    rows = _descend(network, method, lam, images, free)
    return rows.image, None, rows.passes.long()


def _descend(
    network: Autoencoder, method: Method, lam: float, images: Tensor, free: Tensor
) -> Rows:
    """Give every image its steps; one that is done makes room for the next."""
    rows = Rows.begin(images, free)
    left = torch.arange(len(images), device=images.device)
    with tqdm(total=len(images), desc="projection", unit="image", disable=None) as bar:
        while len(left):
            chosen, padded = _first(left, method.batch)
            some = rows.take(padded)
            take_steps(network, method, lam, some, CHECK)
            if not some.image.isfinite().all():
                raise InputError(
                    f"learning_rate: {method.learning_rate:g}; the projection diverged, a smaller "
                    "one is needed"
                )
            rows.put(chosen, some)
            bar.update(int(rows.done[chosen].sum()))
            left = left[~rows.done[left]]
    logger.info("%d projections: %.1f steps on average", len(images), rows.steps.mean().item())
    if risen := int((rows.energy > rows.first).sum()):
        logger.warning(
            "the energy of %d of %d projections rose; learning_rate %g may be too large",
            risen,
            len(images),
            method.learning_rate,
        )
    return rows


def _in_batches(network: Autoencoder, method: Method, images: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstructions, and the map of a gradient score (zeros without one), of all images."""
    left, found = torch.arange(len(images), device=images.device), []
    while len(left):
        chosen, padded = _first(left, method.batch)
        part = images[padded]
        if method.score in GRADIENT_SCORES:
            results = gradient_score(network, part, method.score)
        else:
            with torch.no_grad():
                results = network(part), torch.zeros_like(part[:, 0])
        found.append(tuple(result[: len(chosen)] for result in results))
        left = left[len(chosen) :]
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _first(rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The first rows, and the same filled up: passes of one shape run the same kernels."""
    chosen = rows[:size]
    return chosen, torch.cat([chosen, chosen[-1:].expand(size - len(chosen))])


def _score(
    network: Autoencoder,
    method: Method,
    images: Tensor,
    restored: Tensor,
    found: Tensor | None,
    free: Tensor,
) -> Tensor:
    """N x H x W of whole images; `found` and `free` are tiles."""
    if found is not None or method.score == "given":
        tiles = free if found is None else found
        return from_tiles(tiles[:, None], *images.shape[-2:])[:, 0]
    pairs = zip(images.split(method.batch), restored.split(method.batch), strict=True)
    return torch.cat([dssim(a, b, network.architecture.window).mean(1) for a, b in pairs])


def _resolve(method: str | Method) -> Method:
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        raise InputError(f"method {method!r} is unknown; allowed: {', '.join(METHODS)}")
    return METHODS[method]


def _check(
    images: Tensor,
    autoencoder: Autoencoder,
    method: Method,
    lam: float | None,
    mask: Tensor | None,
) -> None:
    if images.ndim != 4 or images.shape[1] != autoencoder.channels or not len(images):
        raise InputError(
            f"images have shape {tuple(images.shape)}; the autoencoder takes N x "
            f"{autoencoder.channels} x H x W"
        )
    low, high = float(images.min()), float(images.max())
    if not -1 <= low <= high <= 1:  # NaN fails, too
        raise InputError(f"images hold values from {low:g} to {high:g}; allowed: [-1, 1]")
    if autoencoder.architecture.kind != method.autoencoder:
        raise InputError(
            f"autoencoder: {autoencoder.architecture.kind}; this method's is {method.autoencoder}"
        )
    if method.steps and method.quantile is not None and autoencoder.training_losses.isnan().any():
        raise InputError("autoencoder: not trained, so there is no training loss to stop at")
    if method.has_lambda == (lam is None):
        need = "this method needs a value of at least 0" if lam is None else "this method has none"
        raise InputError(f"lam: {need}")
    if lam is not None and not 0 <= lam < math.inf:
        raise InputError(f"lam: {lam}; allowed: at least 0")
    if method.needs_mask == (mask is None):
        need = "needs the true mask (N x H x W, True = corrupted)" if mask is None else "takes none"
        raise InputError(f"mask: this method {need}")
    if mask is not None and mask.shape != images[:, 0].shape:
        raise InputError(f"mask has shape {tuple(mask.shape)}, not {tuple(images[:, 0].shape)}")

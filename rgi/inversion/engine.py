"""The engine's face: checked arguments in, restorations of many independent images out."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rgi.errors import InputError
from rgi.inversion.joint import minimise
from rgi.inversion.methods import METHODS, Method
from rgi.inversion.problem import Problem
from rgi.inversion.start import start_latents


@dataclass(frozen=True)
class Restoration:
    """What an inversion found, image by image."""

    restored: Tensor  # N x C x H x W in [-1, 1], G(z; theta)
    score: Tensor  # N x H x W, higher = more surely corrupted; M for a method with a mask
    latent: Tensor  # N x d
    seconds: Tensor  # N, float64: compute per image


def invert(
    images: Tensor,
    generator: nn.Module,
    method: str | Method,
    lam: float | Sequence[float] | Tensor | None = None,
    *,
    mask: Tensor | None = None,
    discriminator: nn.Module | None = None,
    index: Sequence[int] | Tensor | None = None,
    seed: int = 0,
) -> Restoration:
    """Restore images by inverting a generator; the computation runs on the generator's device.

    Images are independent: one alone gives the same as among any others, to the last bit (for one
    device, thread count and `method.batch`).

    Args:
        images: N x C x H x W in [-1, 1], grossly corrupted.
        generator: latent N x d -> images N x C x H x W in [-1, 1].
        method: a name in METHODS or a Method.
        lam: sparsity weight > 0 of methods with a learned mask, one for all or one per image.
        mask: N x H x W, True = corrupted; for methods that need the true mask.
        discriminator: for methods with a discriminator prior; eval mode, images uncoupled.
        index: the image's row in its data set, N; random numbers are drawn per (seed, index).
        seed: of every random number.

    Returns:
        Restoration, on the device of `images`.

    Raises:
        InputError: an argument is missing, superfluous or of the wrong shape or range.

    Source: Mou et al., RGI (ICLR 2023), eqs. 1, 3, 4 and section 4 for the schedule.
    """
    method = _resolve(method)
    lam, index = _checked(images, generator, method, lam, mask, discriminator, index)
    device = next(generator.parameters()).device
    started = time.perf_counter()
    given = torch.zeros_like(images[:, 0]) if mask is None else mask
    problem = Problem(
        method=method,
        discriminator=discriminator,
        images=images.to(device, torch.float32),
        lam=lam.to(device),
        given=given.to(device, torch.float32),
    )
    latents = start_latents(problem, generator, index, seed)
    solutions = [
        minimise(problem.rows(rows), generator, latents[rows])
        for rows in _batches(len(images), method.batch, device)
    ]
    home = images.device
    restored, score, latent = (  # to the CPU this waits for the device
        torch.cat([getattr(solution, name) for solution in solutions])[: len(images)].to(home)
        for name in ("restored", "score", "latent")
    )
    each = (time.perf_counter() - started) / len(images)
    seconds = torch.full((len(images),), each, dtype=torch.float64)
    return Restoration(restored, score, latent, seconds)


def _batches(images: int, size: int, device: torch.device) -> Iterator[Tensor]:
    """Rows of each batch; the last is filled up with the last image.

    Every batch has the same shape, hence runs the same kernels: an image's result does not depend,
    to the last bit, on how many others there are. Adam would amplify any difference in rounding.
    """
    for first in range(0, images, size):
        yield torch.arange(first, first + size, device=device).clamp(max=images - 1)


def _resolve(method: str | Method) -> Method:
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        raise InputError(f"method {method!r} is unknown; allowed: {', '.join(METHODS)}")
    return METHODS[method]


def _checked(
    images: Tensor,
    generator: nn.Module,
    method: Method,
    lam: float | Sequence[float] | Tensor | None,
    mask: Tensor | None,
    discriminator: nn.Module | None,
    index: Sequence[int] | Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Lambda and index as tensors of length N, after every argument was looked at."""
    if not isinstance(images, Tensor):
        raise InputError(f"images: a torch tensor is needed, this is {type(images).__name__}")
    expected = (generator.channels, generator.resolution, generator.resolution)
    if images.ndim != 4 or tuple(images.shape[1:]) != expected or not len(images):
        raise InputError(
            f"images have shape {tuple(images.shape)}; the generator makes N x "
            + " x ".join(map(str, expected))
        )
    low, high = float(images.min()), float(images.max())
    if not -1 <= low <= high <= 1:  # NaN fails, too
        raise InputError(f"images hold values from {low:g} to {high:g}; allowed: [-1, 1]")
    if method.needs_mask and mask is None:
        raise InputError("mask: this method needs the true mask (N x H x W, True = corrupted)")
    if mask is not None and not method.needs_mask:
        raise InputError("mask: this method takes none; it must not see the true mask")
    if mask is not None and mask.shape != images[:, 0].shape:
        raise InputError(f"mask has shape {tuple(mask.shape)}, not {tuple(images[:, 0].shape)}")
    if method.needs_discriminator and discriminator is None:
        raise InputError("discriminator: this method's prior needs one")
    if discriminator is not None and discriminator.training:
        raise InputError("discriminator: call .eval() first; in training mode it couples images")
    if index is not None and len(index) != len(images):
        raise InputError(f"index has {len(index)} entries for {len(images)} images")
    index = torch.arange(len(images)) if index is None else torch.as_tensor(index)
    return _checked_lam(method, lam, len(images)), index


def _checked_lam(
    method: Method, lam: float | Sequence[float] | Tensor | None, count: int
) -> Tensor:
    if method.has_lambda == (lam is None):
        raise InputError(
            "lam: this method needs a value > 0" if lam is None else "lam: this method has none"
        )
    lam = torch.as_tensor(0.0 if lam is None else lam, dtype=torch.float32)
    if lam.numel() not in (1, count) or (method.has_lambda and not (lam > 0).all()):
        raise InputError(f"lam: {lam.tolist()}; one value > 0, or one per image ({count})")
    return lam.expand(count)

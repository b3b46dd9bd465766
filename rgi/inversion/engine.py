"""The engine's face: checked arguments in, restorations of many independent images out."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rgi.corruption.operators import Inpainting, Operator
from rgi.errors import InputError
from rgi.inversion.descent import Solution, finish, search
from rgi.inversion.exploration import explore, settle
from rgi.inversion.memory import Batch, fitting_batch
from rgi.inversion.methods import METHODS, Method
from rgi.inversion.problem import Problem
from rgi.inversion.progress import UNKEPT, Checkpoint, KeptProgress, Progress, identify
from rgi.inversion.rounds import finish_by_rounds
from rgi.models import Discriminator, Encoder, Generator
from rgi.models.frozen import Frozen, frozen, frozen_critic
from rgi.models.numerics import full_precision, repeatable
from rgi.models.perceptual import perceptual_network

Lams = float | Sequence[float] | Tensor | None
MEMORY = 2 * 10**9


@dataclass(frozen=True)
class Restoration:
    """What an inversion found, image by image."""

    restored: Tensor  # N x C x H x W in [-1, 1], G(z; theta)
    score: Tensor  # N x H x W, higher = more surely corrupted; M for a method with a mask
    latent: Tensor  # N x d
    objective: Tensor  # N, the fidelity (with a found M at its best: eq. 6), without priors
    seconds: Tensor  # N, float64: compute per image
    passes: Tensor  # N: generator passes with gradient, over all starts


def invert(
    images: Tensor,
    generator: Generator,
    method: str | Method,
    lam: Lams = None,
    *,
    mask: Tensor | None = None,
    operator: Operator | None = None,
    discriminator: Discriminator | None = None,
    encoder: Encoder | None = None,
    index: Sequence[int] | Tensor | None = None,
    seed: int = 0,
    memory: int = MEMORY,
) -> Restoration:
    """Restore images by inverting a generator; the computation runs on the generator's device.

    Images are independent: one alone gives the same as among any others, to the last bit (for one
    device, thread count, `method.batch` and `memory`).

    Args:
        images: N x C x H x W in [-1, 1], grossly corrupted; for methods that need the operator
            what is observed, N x K x h x w.
        generator: latent N x d -> images N x C x H x W in [-1, 1].
        method: a name in METHODS or a Method.
        lam: sparsity weight > 0 of methods that find a mask, one for all or one per image.
        mask: N x H x W, True = corrupted; for methods that need the true mask.
        operator: by which the images are observed; for methods that need it.
        discriminator: for methods with a discriminator prior; eval mode, images uncoupled.
        encoder: images N x C x H x W in [-1, 1] -> latent N x d, for methods with an encoded start.
        index: the image's row in its data set, N; random numbers are drawn per (seed, index).
        seed: of every random number.
        memory: bytes that the passes may take; more images wait for their turn.

    Returns:
        Restoration, on the device of `images`.

    Raises:
        InputError: an argument is missing, superfluous or of the wrong shape or range.

    Source: Mou et al., RGI (ICLR 2023), eqs. 1, 3, 4, 6 and section 4 for the schedule.
    """
    method = _resolve(method)
    index = _checked(
        images, generator, method, mask, operator, discriminator, encoder, index, memory
    )
    lams = _checked_lam(method, lam, len(images))
    everyone = torch.arange(len(images))
    known = mask, operator, discriminator, encoder
    return _invert(images, generator, method, everyone, lams, *known, index, seed, memory)


def invert_grid(
    images: Tensor,
    generator: Generator,
    method: str | Method,
    lams: Sequence[float | None],
    *,
    mask: Tensor | None = None,
    operator: Operator | None = None,
    discriminator: Discriminator | None = None,
    encoder: Encoder | None = None,
    index: Sequence[int] | Tensor | None = None,
    seed: int = 0,
    memory: int = MEMORY,
    checkpoint: Checkpoint | None = None,
) -> list[Restoration]:
    """As `invert` once for each lambda, to the last bit, in one batch.

    The pool of starts and what `explore_lam` is for do not depend on lambda and are computed
    once; `passes` counts them for every lambda, `seconds` is what was spent.

    With a `checkpoint`, one that was killed or stopped goes on from there and finds the same, to
    the last bit. Whoever has saved the result clears the checkpoint.

    Raises:
        InputError: as `invert`.
        Interrupted: the process was asked to end; the checkpoint holds what was reached.
    """
    method = _resolve(method)
    index = _checked(
        images, generator, method, mask, operator, discriminator, encoder, index, memory
    )
    if len(lams) == 0:
        raise InputError("lams: [] is empty; at least one lambda is needed")
    count = len(images)
    each = torch.cat([_checked_lam(method, lam, count) for lam in lams])
    lane = torch.arange(count).repeat(len(lams))
    known = mask, operator, discriminator, encoder
    found = _invert(images, generator, method, lane, each, *known, index, seed, memory, checkpoint)
    columns = vars(found)
    return [
        Restoration(**{name: column[first : first + count] for name, column in columns.items()})
        for first in range(0, len(lane), count)
    ]


@torch.enable_grad()
@repeatable()
@full_precision()
def _invert(
    images: Tensor,
    generator: Generator,
    method: Method,
    lane: Tensor,
    lam: Tensor,
    mask: Tensor | None,
    operator: Operator | None,
    discriminator: Discriminator | None,
    encoder: Encoder | None,
    index: Tensor,
    seed: int,
    memory: int,
    checkpoint: Checkpoint | None = None,
) -> Restoration:
    """One restoration per lane: an image's number, and a lambda."""
    device = next(generator.parameters()).device
    started = time.perf_counter()
    given = torch.zeros_like(images[:, 0]) if mask is None else mask
    problem = Problem(
        method=method,
        discriminator=frozen_critic(discriminator, device) if method.needs_discriminator else None,
        images=images.to(device, torch.float32),
        lam=torch.zeros(len(images), device=device),
        given=given.to(device, torch.float32),
        operator=operator and operator.to(device),
        encoder=copy.deepcopy(encoder).to(device) if method.encoded_start else None,
        # A copy: the network itself is kept for others, on the CPU.
        perceptual=copy.deepcopy(perceptual_network()).to(device)
        if method.perceptual_weight
        else None,
    )
    render = frozen(generator)
    batch = fitting_batch(problem, generator, render, memory)
    progress = UNKEPT
    if checkpoint is not None:
        identity = identify(problem, generator, lane, lam, index, seed, batch.size)
        progress = KeptProgress(checkpoint, identity, device)
    spent = _go_on(progress, batch, started)
    problem = _with_features(problem, batch)
    lane, lam = lane.to(device), lam.to(device)
    solution = _solve(problem, generator, render, lane, lam, index, seed, batch, progress)
    names = ("restored", "score", "latent", "objective", "passes")
    found = {name: getattr(solution, name).to(images.device) for name in names}
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # what was spent, not what was asked for
    share = found["passes"].double() / found["passes"].sum()
    return Restoration(**found, seconds=spent() * share)


def _go_on(progress: Progress, batch: Batch, started: float) -> Callable[[], float]:
    """Take over the batch's size; return a clock with the seconds before this start on it."""
    clock, rows = progress.part("seconds"), progress.part("rows at a time")
    before = clock.take() or 0.0
    batch.size = rows.take() or batch.size  # it may have fallen

    def spent() -> float:
        return before + time.perf_counter() - started

    clock.hold(spent)
    rows.hold(lambda: batch.size)
    return spent


def _solve(
    problem: Problem,
    generator: Generator,
    render: Frozen,
    lane: Tensor,
    lam: Tensor,
    index: Tensor,
    seed: int,
    batch: Batch,
    progress: Progress,
) -> Solution:
    lanes = problem.rows(lane, lam)
    if problem.method.explore_lam:
        found = explore(problem.exploring(), generator, render, index, seed, batch, progress)
        if problem.method.settling_passes:
            found = settle(problem, render, found, batch, progress)
        found = found.of(lane)
    else:
        found = explore(lanes, generator, render, index[lane.cpu()], seed, batch, progress)
    lanes = replace(lanes, given=found.given)
    part, stages = progress.part("descents"), found.stages
    last = search(lanes, render, found.latents, stages, batch, part=part, known=found.known)
    last = replace(last, passes=last.passes + found.passes)
    ending = finish_by_rounds if problem.method.rounds else finish
    return ending(lanes, generator, render, last, batch, progress)


def _with_features(problem: Problem, batch: Batch) -> Problem:
    """The problem with the features that matching needs, computed once for all steps."""
    if not problem.method.feature_weight:
        return problem

    @torch.no_grad()
    def features(chosen: Tensor, padded: Tensor) -> Tensor:
        part = problem.rows(padded)
        return part.observed_features(part.images)[: len(chosen)]

    found = batch.all(len(problem.images), problem.images.device, features)
    return replace(problem, features=torch.cat(found))


def _resolve(method: str | Method) -> Method:
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        raise InputError(f"method {method!r} is unknown; allowed: {', '.join(METHODS)}")
    return METHODS[method]


def _checked(
    images: Tensor,
    generator: Generator,
    method: Method,
    mask: Tensor | None,
    operator: Operator | None,
    discriminator: Discriminator | None,
    encoder: Encoder | None,
    index: Sequence[int] | Tensor | None,
    memory: int,
) -> Tensor:
    """The index as a tensor of length N, after every argument was looked at."""
    if not isinstance(images, Tensor):
        raise InputError(f"images: a torch tensor is needed, this is {type(images).__name__}")
    if method.needs_operator != (operator is not None):
        raise InputError(
            "operator: this method needs that by which the images are observed"
            if operator is None
            else "operator: this method takes none; it looks at the images themselves"
        )
    if operator is None:
        _check_images(images, generator)
    else:
        _check_observed(images, generator, operator)
    _check_layers(generator, method)
    if method.needs_mask and mask is None:
        raise InputError("mask: this method needs the true mask (N x H x W, True = corrupted)")
    if mask is not None and not method.needs_mask:
        raise InputError("mask: this method takes none; it must not see the true mask")
    if mask is not None and mask.shape != images[:, 0].shape:
        raise InputError(f"mask has shape {tuple(mask.shape)}, not {tuple(images[:, 0].shape)}")
    _check_binary("mask", mask)
    _check_discriminator(generator, method, discriminator)
    _check_encoder(generator, method, encoder)
    if memory < 1:
        raise InputError(f"memory: {memory} bytes; allowed: more than 0")
    if index is not None and len(index) != len(images):
        raise InputError(f"index has {len(index)} entries for {len(images)} images")
    return torch.arange(len(images)) if index is None else torch.as_tensor(index)


def _check_images(images: Tensor, generator: Generator) -> None:
    expected = (generator.channels, generator.resolution, generator.resolution)
    if images.ndim != 4 or tuple(images.shape[1:]) != expected or not len(images):
        raise InputError(
            f"images have shape {tuple(images.shape)}; the generator makes N x "
            + " x ".join(map(str, expected))
        )
    low, high = float(images.min()), float(images.max())
    if not -1 <= low <= high <= 1:  # NaN fails, too
        raise InputError(f"images hold values from {low:g} to {high:g}; allowed: [-1, 1]")


def _check_binary(what: str, mask: Tensor | None) -> None:
    others = mask[(mask != 0) & (mask != 1)] if mask is not None else ()
    if len(others):
        raise InputError(f"{what} holds {float(others[0]):g}; allowed: 0 and 1")


def _check_observed(observed: Tensor, generator: Generator, operator: Operator) -> None:
    """Noise and projections may leave [-1, 1]."""
    shape = (generator.channels, generator.resolution, generator.resolution)
    if isinstance(operator, Inpainting) and operator.mask.shape != (len(observed), *shape[1:]):
        raise InputError(
            f"operator: its masks have shape {tuple(operator.mask.shape)}; the generator makes "
            f"{len(observed)} x {shape[1]} x {shape[2]}"
        )
    if isinstance(operator, Inpainting):
        _check_binary("operator's mask", operator.mask)
    try:
        zeros = torch.zeros(len(observed), *shape)
        expected = operator.to(zeros.device).forward(zeros).shape
    except RuntimeError:
        raise InputError(
            f"operator: it is not of the generator's images, {' x '.join(map(str, shape))}"
        ) from None
    if observed.shape != expected or not len(observed):
        raise InputError(
            f"images, as observed, have shape {tuple(observed.shape)}; the operator makes "
            f"{tuple(expected)} of the generator's"
        )
    if not observed.isfinite().all():
        raise InputError("images, as observed, hold values that are not finite")


def _check_layers(generator: Generator, method: Method) -> None:
    levels = generator.architecture.levels
    if method.rounds and method.rounds[-1][0] > levels:
        raise InputError(f"rounds {list(method.rounds)}: the generator's layers are 1 to {levels}")


def _check_discriminator(
    generator: Generator, method: Method, discriminator: Discriminator | None
) -> None:
    if method.needs_discriminator and discriminator is None:
        raise InputError("discriminator: this method's prior needs one")
    if discriminator is not None and discriminator.training:
        raise InputError("discriminator: call .eval() first; in training mode it couples images")
    for what in ("resolution", "channels"):
        if discriminator is not None and getattr(discriminator, what) != getattr(generator, what):
            raise InputError(
                f"discriminator: {what} {getattr(discriminator, what)}; the generator has "
                f"{getattr(generator, what)}"
            )


def _check_encoder(generator: Generator, method: Method, encoder: Encoder | None) -> None:
    if method.encoded_start and encoder is None:
        raise InputError("encoder: this method's start needs one")
    if encoder is not None and encoder.architecture != generator.architecture:
        raise InputError(
            f"encoder is one for {encoder.architecture}; the generator is {generator.architecture}"
        )


def _checked_lam(method: Method, lam: Lams, count: int) -> Tensor:
    if method.has_lambda == (lam is None):
        raise InputError(
            "lam: this method needs a value > 0" if lam is None else "lam: this method has none"
        )
    lam = torch.as_tensor(0.0 if lam is None else lam, dtype=torch.float32)
    if (
        lam.ndim > 1
        or lam.numel() not in (1, count)
        or (method.has_lambda and not ((lam > 0) & lam.isfinite()).all())
    ):
        raise InputError(f"lam: {lam.tolist()}; one value > 0, or one per image ({count})")
    return lam.expand(count)

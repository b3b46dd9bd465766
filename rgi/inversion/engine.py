"""The engine: joint Adam over the variables of a method, many independent images at once."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from tqdm import tqdm

from rgi.errors import InputError
from rgi.inversion.methods import METHODS, Method
from rgi.inversion.objective import (
    closed_form_mask,
    feature_distance,
    masked_fidelity,
    pixel_error,
)
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

    Images are independent: one alone gives the same as in any batch, up to float rounding.

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
    problem = _Problem(
        images=images.to(device, torch.float32),
        method=method,
        lam=lam.to(device),
        given=None if mask is None else mask.to(device, torch.float32),
        discriminator=discriminator,
    )
    restored, score, latent = _minimise(problem, generator, index, seed)
    home = images.device
    restored, score, latent = restored.to(home), score.to(home), latent.to(home)  # synchronises
    each = (time.perf_counter() - started) / len(images)
    seconds = torch.full((len(images),), each, dtype=torch.float64)
    return Restoration(restored, score, latent, seconds)


@dataclass(frozen=True)
class _Problem:
    images: Tensor
    method: Method
    lam: Tensor
    given: Tensor | None
    discriminator: nn.Module | None

    def observed(self, images: Tensor) -> Tensor:
        """The images as the discriminator's features may see them: nothing under a given mask."""
        return images if self.given is None else images * (1 - self.given[:, None])

    def objective(self, images: Tensor, mask: Tensor, target_features: list[Tensor]) -> Tensor:
        """Eq. 3 or 4 and the priors, one value per image."""
        method = self.method
        error = pixel_error(self.images - images, method.fidelity)
        value = masked_fidelity(error, mask, method.fidelity)
        if method.learns_mask:
            value = value + self.lam * mask.sum((-2, -1))
        if method.critic_weight:
            value = value - method.critic_weight * self.discriminator(images)
        if method.feature_weight:
            features = self.discriminator.features(self.observed(images))
            value = value + method.feature_weight * feature_distance(features, target_features)
        return value


def _minimise(
    problem: _Problem, generator: nn.Module, index: Tensor, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    method = problem.method
    render, frozen = _shared_weights(generator)
    latent = start_latents(
        problem.images,
        render,
        generator.latent_dim,
        method,
        problem.lam,
        problem.given,
        index,
        seed,
    ).requires_grad_()
    mask = _first_mask(problem, render(latent.detach())).requires_grad_(method.learns_mask)
    variables = [latent, mask] if method.learns_mask else [latent]
    optimiser = torch.optim.Adam(variables, lr=method.learning_rate)
    with torch.no_grad():
        features = (
            problem.discriminator.features(problem.observed(problem.images))
            if method.feature_weight
            else []
        )
    for step in tqdm(range(method.iterations), desc="inversion", mininterval=2):
        if method.learns_weights and step == method.iterations - method.weights_iterations:
            render, weights = _own_weights(generator, frozen, len(latent))
            variables = [*variables, *weights]
            optimiser.add_param_group({"params": weights, "lr": method.weights_learning_rate})
        total = problem.objective(render(latent), mask, features).sum()
        # allow_unused: the toRGB layers of lower levels take no part in an image.
        gradients = torch.autograd.grad(total, variables, allow_unused=True)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.grad = gradient
        optimiser.step()
        if method.learns_mask:
            with torch.no_grad():
                mask.clamp_(0, 1)  # projected onto the mask's range
    with torch.no_grad():
        restored = render(latent)
        return restored, _score(problem, restored, mask), latent.detach()


def _first_mask(problem: _Problem, images: Tensor) -> Tensor:
    """The mask before the first step: given, zero, or the support of the closed form.

    Gross corruption then never pulls. (At the closed form itself the gradient would be rounding
    noise, which Adam blows up to full steps.)
    """
    method = problem.method
    if method.needs_mask:
        return problem.given.clone()
    if not method.learns_mask:
        return torch.zeros_like(problem.images[:, 0])
    error = pixel_error(problem.images - images, method.fidelity)
    return (closed_form_mask(error, problem.lam, method.fidelity) > 0).to(error.dtype)


def _score(problem: _Problem, restored: Tensor, mask: Tensor) -> Tensor:
    if problem.method.learns_mask or problem.method.needs_mask:
        return mask.detach()
    return (problem.images - restored).square().sum(1).sqrt()


def _shared_weights(generator: nn.Module) -> tuple[Callable[[Tensor], Tensor], dict[str, Tensor]]:
    """The generator with frozen weights: no gradient is computed for them."""
    frozen = {name: value.detach() for name, value in generator.state_dict().items()}
    return lambda latent: functional_call(generator, frozen, (latent,)), frozen


def _own_weights(
    generator: nn.Module, frozen: dict[str, Tensor], count: int
) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """A generator with weights of its own for every image: one grouped convolution a layer."""
    learned = [name for name, _ in generator.named_parameters()]
    own = {n: frozen[n].expand(count, *frozen[n].shape).clone().requires_grad_() for n in learned}
    shared = {name: value for name, value in frozen.items() if name not in own}

    def one(weights: dict[str, Tensor], latent: Tensor) -> Tensor:
        return functional_call(generator, {**shared, **weights}, (latent[None],))[0]

    return lambda latent: vmap(one)(own, latent), list(own.values())


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
    expected = (generator.channels, generator.resolution, generator.resolution)
    if images.ndim != 4 or tuple(images.shape[1:]) != expected or not len(images):
        raise InputError(
            f"images have shape {tuple(images.shape)}; the generator makes N x "
            + " x ".join(map(str, expected))
        )
    if not torch.isfinite(images).all():
        raise InputError("images hold NaN or infinite values; finite ones in [-1, 1] are needed")
    if method.needs_mask and mask is None:
        raise InputError("mask: this method needs the true mask (N x H x W, True = corrupted)")
    if mask is not None and mask.shape != images[:, 0].shape:
        raise InputError(f"mask has shape {tuple(mask.shape)}, not {tuple(images[:, 0].shape)}")
    if method.needs_discriminator and discriminator is None:
        raise InputError("discriminator: this method's prior needs one")
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

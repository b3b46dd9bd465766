"""Checkpoints of pytorch_GAN_zoo's Progressive GAN as networks of this library.

A checkpoint is a dictionary: `config` (an object of settings), `netG` and `netD` (weights) and
`avgG` (those of the averaged generator, which is taken where there is one). The networks are those
of Karras et al. 2018 with other constants: a layer computes c (W x + b), with He's constant c in
front of the bias, too, and with the same gain in every layer. Ours computes k W x + b, hence
W c / k and b c give the same. The minibatch statistic there is sqrt(v), v with N - 1 in place of N.

Format: https://github.com/facebookresearch/pytorch_GAN_zoo
"""

import math
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from rgi.errors import InputError
from rgi.models.progressive import GROUP, RELU_GAIN, SLOPE, Architecture, Discriminator, Generator
from rgi.models.storage import DAMAGED

Weights = Mapping[str, Tensor]

# Settings that the networks here have no choice of, and what they are here.
_SETTINGS: Mapping[str, object] = {
    "leakyReluLeak": SLOPE,
    "perChannelNormalization": True,
    "alpha": 0,  # there the part of the level below: more than 0 is a fade-in that was cut short
    "lossCriterion": "WGANGP",  # others bend the generator's output by tanh
    "categoryVectorDim": 0,
}


class _Config:
    """Stands in for the checkpoint's class of settings: it holds values and runs nothing."""


def read_gan_zoo(path: Path) -> tuple[Generator, Discriminator]:
    """Read a checkpoint as generator and discriminator with the same outputs, in eval() mode.

    The discriminator's average spread is not in a checkpoint and stays to be set (see
    rgi.models.imported).

    Raises:
        InputError: no such checkpoint, damaged, or of a network that differs in more than
            constants.
    """
    content = _load(path)
    config = vars(_part(path, content, "config", _Config))
    for name, value in _SETTINGS.items():
        if config.get(name, value) != value:
            raise InputError(f"{path}: config: {name}: {config[name]!r}; allowed: {value!r}")
    averaged = "avgG" if "avgG" in content else "netG"
    generating, judging = (
        {name.replace(".module.", "."): value for name, value in weights.items()}
        for weights in (_part(path, content, name, Mapping) for name in (averaged, "netD"))
    )
    architecture = _architecture(f"{path}: {averaged}", generating)
    if config.get("equalizedlR", True):
        generating, judging = _scaled(generating), _scaled(judging)
    generator, discriminator = Generator(architecture), Discriminator(architecture)
    levels = architecture.levels
    _fill(generator, _generator_names(levels), generating, f"{path}: {averaged}")
    judging = _with_spread(judging, architecture.widths[0])
    _fill(discriminator, _discriminator_names(levels), judging, f"{path}: netD")
    return generator.eval(), discriminator.eval()


def _load(path: Path) -> Mapping[str, Any]:
    try:
        with torch.serialization.safe_globals([(_Config, "models.utils.config.BaseConfig")]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except DAMAGED as error:
        # torch's own text for this one advises to run what the file holds.
        unsafe = isinstance(error, UnpicklingError)
        reason = "it holds more than weights and settings" if unsafe else str(error).split("\n")[0]
        raise InputError(f"{path}: no checkpoint of pytorch-gan-zoo ({reason})") from None


def _part(path: Path, content: Any, name: str, kind: type) -> Any:
    if not isinstance(content, Mapping) or not isinstance(content.get(name), kind):
        raise InputError(
            f"{path}: no checkpoint of pytorch-gan-zoo (no {name!r} in it); expected a dictionary "
            "with config, netG, netD and avgG"
        )
    return content[name]


def _architecture(where: str, weights: Weights) -> Architecture:
    """The generator's arguments, read off the shapes of its weights."""
    levels = sum(name.startswith("toRGBLayers.") and name.endswith(".weight") for name in weights)
    first = _weight(where, weights, "formatLayer.weight")
    grown = [_weight(where, weights, f"scaleLayers.{n}.0.weight") for n in range(levels - 1)]
    last = _weight(where, weights, f"toRGBLayers.{max(levels - 1, 0)}.weight")
    try:
        return Architecture(
            resolution=4 * 2 ** (levels - 1),
            channels=len(last),
            latent_dim=first.shape[1],
            widths=(len(first) // 16, *map(len, grown)),
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _weight(where: str, weights: Weights, name: str) -> Tensor:
    if not isinstance(weights.get(name), Tensor):
        raise InputError(f"{where}: {name!r} is missing")
    return weights[name]


def _generator_names(levels: int) -> dict[str, str]:
    """Our name of each layer, and theirs."""
    names = {"dense": "formatLayer", "conv": "groupScale0.0"}
    names |= {f"to_rgb.{level}": f"toRGBLayers.{level}" for level in range(levels)}
    return names | _block_names(levels)


def _discriminator_names(levels: int) -> dict[str, str]:
    names = {"conv": "groupScaleZero.0", "dense": "groupScaleZero.1", "last": "decisionLayer"}
    names |= {f"from_rgb.{level}": f"fromRGBLayers.{level}" for level in range(levels)}
    return names | _block_names(levels)


def _block_names(levels: int) -> dict[str, str]:
    return {
        f"blocks.{level}.{ours}": f"scaleLayers.{level}.{theirs}"
        for level in range(levels - 1)
        for theirs, ours in enumerate(("first", "second"))
    }


def _scaled(weights: Weights) -> Weights:
    """What the layers multiply with and add: He's constant is before the brackets."""
    constants = {
        name.removesuffix("weight"): RELU_GAIN / math.sqrt(value[0].numel())
        for name, value in weights.items()
        if name.endswith(".weight")
    }
    return {
        name: value * constants.get(name.removesuffix("weight").removesuffix("bias"), 1.0)
        for name, value in weights.items()
    }


def _with_spread(weights: Weights, width: int) -> Weights:
    """Judge a spread by N, as ours is: another factor for its channel, 0 where it has none."""
    name = "groupScaleZero.0.weight"
    found = weights.get(name)
    if not isinstance(found, Tensor) or found.ndim != 4:
        return weights  # which is said where it is filled in
    spread = found[:, width:] * math.sqrt(GROUP / (GROUP - 1))
    if found.shape[1] == width:
        spread = torch.zeros_like(found[:, :1])
    return {**weights, name: torch.cat([found[:, :width], spread], dim=1)}


@torch.no_grad()
def _fill(network: nn.Module, names: Mapping[str, str], weights: Weights, where: str) -> None:
    """Copy every layer, without our own constant; nothing may be missing or left over."""
    left = set(weights)
    for ours, theirs in names.items():
        layer = network.get_submodule(ours)
        for kind, own in layer.named_parameters():
            name = f"{theirs}.{kind}"
            given = _weight(where, weights, name)
            if given.shape != own.shape:
                raise InputError(
                    f"{where}: {name}: {tuple(given.shape)}; expected {tuple(own.shape)}"
                )
            own.copy_(given / layer.constant if kind == "weight" else given)
            left.discard(name)
    if left:
        raise InputError(f"{where}: {min(left)!r} belongs to no layer of a Progressive GAN")

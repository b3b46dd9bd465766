"""How large the files of an experiment become, at most: arrays in .npz files are compressed."""

from functools import cache

from rgi.models import Architecture, Discriminator, Generator

FLOAT, LONG = 4, 8


def images_bytes(count: int, resolution: int, channels: int) -> int:
    """train.npy or test.npy: uint8 N x H x W x C."""
    return count * resolution**2 * channels


def case_bytes(count: int, resolution: int, channels: int) -> int:
    """cases/{dataset}/{case}.npz: clean and corrupted, mask, index."""
    return count * (resolution**2 * (2 * FLOAT * channels + 1) + LONG)


def restoration_bytes(count: int, resolution: int, channels: int) -> int:
    """One file of restorations: restored and score; index, seconds, passes and objective."""
    return count * (resolution**2 * FLOAT * (channels + 1) + 3 * LONG + FLOAT)


def training_bytes(architecture: Architecture) -> int:
    """generator.pt, discriminator.pt and checkpoint.pt: both networks, Adam's two moments of each.

    The checkpoint holds the averaged generator, too.
    """
    generator, discriminator = _parameters(architecture)
    return FLOAT * (generator + discriminator + 4 * generator + 3 * discriminator)


@cache
def _parameters(architecture: Architecture) -> tuple[int, int]:
    networks = Generator(architecture), Discriminator(architecture)
    return tuple(sum(weight.numel() for weight in network.parameters()) for network in networks)

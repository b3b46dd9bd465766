"""Networks that were trained elsewhere, for a data set of ours."""

from pathlib import Path

import numpy as np
import torch

from rgi.data import to_tensor
from rgi.errors import InputError
from rgi.models.gan_zoo import read_gan_zoo
from rgi.models.progressive import GROUP, Discriminator, Generator
from rgi.models.storage import load_discriminator, load_generator

FORMATS = ("rgi", "pytorch-gan-zoo")
JUDGED = 256  # training images whose spread stands for all


def import_networks(
    kind: str, generator: Path, discriminator: Path | None, images: np.ndarray
) -> tuple[Generator, Discriminator | None]:
    """Read a generator and, where there is one, a discriminator, both in eval() mode.

    Args:
        kind: one of FORMATS; `rgi` is what a training here writes.
        generator: its file; of pytorch-gan-zoo the checkpoint with both networks.
        discriminator: its file, of format rgi alone.
        images: the data set's training images, uint8 N x H x W x C.

    Raises:
        InputError: a file cannot be read, or its network is none for these images.
    """
    if kind not in FORMATS:
        raise InputError(f"import: format: {kind!r}; allowed: {', '.join(FORMATS)}")
    if kind == "rgi":
        drawing = load_generator(generator)
        judging = None if discriminator is None else load_discriminator(discriminator)
    elif discriminator is not None:
        raise InputError(
            f"import: discriminator: {discriminator}; a checkpoint of {kind} holds its own"
        )
    else:
        drawing, judging = read_gan_zoo(generator)
    for path, network in ((generator, drawing), (discriminator or generator, judging)):
        if network is not None:
            _check_fits(path, network, images)
    if kind == "pytorch-gan-zoo":
        settle_spread(judging, images)
    return drawing, judging


@torch.no_grad()
def settle_spread(discriminator: Discriminator, images: np.ndarray) -> None:
    """Set the average that stands for a minibatch's spread (MinibatchSpread) to that of images.

    Args:
        discriminator: changed in place; in eval() mode afterwards.
        images: uint8 N x H x W x C, of which at most JUDGED are judged.

    Raises:
        InputError: fewer than GROUP images.
    """
    count = min(len(images), JUDGED) // GROUP * GROUP
    if not count:
        raise InputError(f"import: {len(images)} training images; at least {GROUP} are needed")
    # Neighbours in a list may show the same thing: every group is spread over the whole.
    rows = np.linspace(0, len(images) - 1, count).astype(int).reshape(GROUP, -1).T
    spreads = []
    record = discriminator.spread.register_forward_hook(
        lambda module, inputs, output: spreads.append(output[0, -1, 0, 0])
    )
    discriminator.train()
    for group in rows:
        discriminator(to_tensor(images[group]))
    record.remove()
    discriminator.eval()
    discriminator.spread.average.copy_(torch.stack(spreads).mean())


def _check_fits(path: Path, network: Generator | Discriminator, images: np.ndarray) -> None:
    _, height, _, channels = images.shape
    found = network.resolution, network.channels
    if found != (height, channels):
        raise InputError(
            f"{path}: a {type(network).__name__.lower()} of {found[0]} x {found[0]} pixels in "
            f"{found[1]} channels; the data set has {height} x {height} in {channels}"
        )

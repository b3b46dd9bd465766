"""LPIPS: the distance of two images as a network sees it."""

import functools
import pickle
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike

from rgi.errors import InputError

SMALLEST_SIDE = 64
BATCH = 32


def perceptual_distance(restored: ArrayLike, clean: ArrayLike) -> np.ndarray:
    """N values of LPIPS; see `rgi.evaluation.lpips`."""
    restored, clean = (torch.as_tensor(x).detach().cpu().float() for x in (restored, clean))
    if restored.shape != clean.shape or restored.ndim != 4 or restored.shape[1] not in (1, 3):
        raise InputError(
            f"lpips: images have shapes {tuple(restored.shape)} and {tuple(clean.shape)}; "
            "expected the same N x C x H x W with C = 1 or 3"
        )
    network = _network(torch.hub.get_dir())
    with torch.no_grad():
        values = [
            network(_prepared(a), _prepared(b)).reshape(-1).double()
            for a, b in zip(restored.split(BATCH), clean.split(BATCH), strict=True)
            if len(a)
        ]
    return torch.cat(values).numpy() if values else np.zeros(0)


def _prepared(images: torch.Tensor) -> torch.Tensor:
    images = images.expand(-1, 3, -1, -1)
    height, width = (max(side, SMALLEST_SIDE) for side in images.shape[-2:])
    if (height, width) == images.shape[-2:]:
        return images
    return torch.nn.functional.interpolate(images, (height, width), mode="bilinear")


@functools.cache
def _network(cache: str) -> torch.nn.Module:
    """LPIPS with its own linear layers and torchvision's backbone, kept per torch cache folder."""
    import lpips as package

    backbone = _backbone_weights(Path(cache))
    # The package would load the backbone by pickle; so build it empty and fill it here. Its slices
    # number their layers as torchvision's `features` does.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torchvision")
        network = package.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    layers = {
        name: backbone["features." + name.split(".", 1)[1]] for name in network.net.state_dict()
    }
    network.net.load_state_dict(layers)
    return network.eval()


def _backbone_weights(cache: Path) -> dict[str, torch.Tensor]:
    from torchvision.models import SqueezeNet1_1_Weights

    url = SqueezeNet1_1_Weights.IMAGENET1K_V1.url
    path = cache / "checkpoints" / url.rsplit("/", 1)[1]
    try:
        return torch.hub.load_state_dict_from_url(
            url,
            str(path.parent),
            map_location="cpu",
            progress=False,
            check_hash=True,
            weights_only=True,
        )
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"lpips needs the backbone {path} ({reason}): put the file from {url} there (or set "
            "TORCH_HOME), or take lpips out of `metrics:` in the config"
        ) from None

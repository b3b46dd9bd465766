"""The network behind LPIPS (Zhang et al. 2018), as a distance that can be minimised."""

import functools
import logging
import pickle
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgi.errors import InputError
from rgi.files import sha256_of

logger = logging.getLogger(__name__)

SMALLEST_SIDE = 64


def perceptual_network() -> "PerceptualDistance":
    """LPIPS with SqueezeNet, on the CPU, kept per torch cache folder; its weights are fixed.

    Raises:
        InputError: the backbone's weights are neither in torch's cache nor to be had by download.
    """
    return _network(torch.hub.get_dir())


class PerceptualDistance(nn.Module):
    """LPIPS of pairs of images: two N x C x H x W in [-1, 1], C = 1 or 3 -> N values."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap the package's network: its backbone, scaling and linear layers."""
        super().__init__()
        self.network = network

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return N distances; the gradient is finite everywhere."""
        pairs = zip(self._features(first), self._features(second), strict=True)
        layers = zip(self.network.lins, pairs, strict=True)
        return sum(layer((a - b).square()).mean((1, 2, 3)) for layer, (a, b) in layers)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Maps of each layer with channels scaled to length 1.

        The package's own root has no gradient where all channels are 0, as ReLU leaves them.
        """
        maps = self.network.net(self.network.scaling_layer(_prepared(images)))
        return [m / m.square().sum(1, keepdim=True).clamp_min(1e-20).sqrt() for m in maps]


def _prepared(images: Tensor) -> Tensor:
    images = images.expand(-1, 3, -1, -1)
    height, width = (max(side, SMALLEST_SIDE) for side in images.shape[-2:])
    if (height, width) == images.shape[-2:]:
        return images
    return F.interpolate(images, (height, width), mode="bilinear")


def untrained_network() -> PerceptualDistance:
    """The same with a backbone of random weights, which tells what a pass costs."""
    import lpips as package

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torchvision")
        network = package.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    return PerceptualDistance(network).eval().requires_grad_(False)


@functools.cache
def _network(cache: str) -> PerceptualDistance:
    """LPIPS with its own linear layers and torchvision's backbone, kept per torch cache folder."""
    backbone = _backbone_weights(Path(cache))
    # The package would load the backbone by pickle; so build it empty and fill it here. Its slices
    # number their layers as torchvision's `features` does.
    distance = untrained_network()
    inner = distance.network.net
    layers = {name: backbone["features." + name.split(".", 1)[1]] for name in inner.state_dict()}
    inner.load_state_dict(layers)
    return distance


def _backbone_weights(cache: Path) -> dict[str, torch.Tensor]:
    from torchvision.models import SqueezeNet1_1_Weights

    url = SqueezeNet1_1_Weights.IMAGENET1K_V1.url
    path = cache / "checkpoints" / url.rsplit("/", 1)[1]
    if path.exists():
        _check_bytes(path, url)
    try:
        return torch.hub.load_state_dict_from_url(
            url,
            str(path.parent),
            map_location="cpu",
            progress=False,
            check_hash=True,  # of what is downloaded
            weights_only=True,
        )
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"lpips needs the backbone {path} ({reason}): put the file from {url} there (or set "
            "TORCH_HOME), or do without: no lpips in `metrics:`, no perceptual_weight of a method"
        ) from None


def _check_bytes(path: Path, url: str) -> None:
    """Take the published file, or one that its owner vouches for: rounded, say, or saved anew.

    Torch puts the first digits of a file's SHA-256 into its name, and trusts a file of that name.
    """
    published = path.stem.rsplit("-", 1)[1]
    vouched = path.with_name(f"{path.name}.sha256")
    found = sha256_of(path)
    if found.startswith(published):
        return
    if vouched.exists() and vouched.read_text(errors="replace").split()[:1] == [found]:
        logger.warning("lpips: %s is not the published file; %s vouches for it", path, vouched.name)
        return
    raise InputError(
        f"lpips: the backbone {path} is not the published file: its sha256 is {found}, which "
        f"should begin with {published}; put the file from {url} there, or vouch for this one: "
        f"sha256sum {path} > {vouched}"
    )

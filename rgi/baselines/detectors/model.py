"""A model of anomalib: built by name, written, read and applied to images."""

import inspect
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import CenterCrop, Compose, Resize
from torchvision.transforms.v2.functional import resize
from tqdm import tqdm

from rgi.baselines.detectors.backbone import UNREADABLE, backbone_weights, check_file
from rgi.baselines.detectors.settings import MISSING, DetectorSettings, check_model
from rgi.errors import InputError
from rgi.files import check_content, write_whole

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of anomalib about its own modules
        import anomalib.models.image as models
        from anomalib.models import AnomalibModule
        from anomalib.pre_processing import PreProcessor
except ModuleNotFoundError as error:
    raise InputError(f"{MISSING} ({error})") from None

COMPONENTS = ("pre_processor", "post_processor", "evaluator", "visualizer")
TEXTURES = ("dtd_dir", "anomaly_source_path")  # folders that anomalib would else download


@dataclass(frozen=True)
class Detector:
    """A model of anomalib that takes N x 3 x size x size images in [0, 1]."""

    name: str
    settings: DetectorSettings
    size: int
    module: AnomalibModule


@dataclass(frozen=True)
class Detected:
    """Arrays of N images: score float32 N x H x W, higher = more surely corrupted; seconds: N."""

    score: np.ndarray
    seconds: np.ndarray


def build_detector(
    name: str, settings: DetectorSettings, *, size: int | None = None, restoring: bool = False
) -> Detector:
    """Build an untrained model.

    Without a folder of textures, anomalies are made of Perlin noise alone (DRAEM, GLASS).

    Args:
        name: see `check_model`.
        settings: see `DetectorSettings`.
        size: replaces settings.image_size.
        restoring: backbones stay unfilled, since all weights will be replaced.

    Raises:
        InputError: the model or an argument is unknown or not allowed, or a backbone's weights are
            not to be had.
    """
    plain = check_model(name)
    kind = next(getattr(models, n) for n in models.__all__ if n.lower() == plain)
    arguments = _arguments(kind, plain, settings.arguments or {})
    own = kind.configure_pre_processor().transform.transforms
    size = size or settings.image_size or _given_size(own)
    file = None if restoring else settings.backbone_weights
    path = None if file is None else check_file(Path(file), settings.sha256)
    with backbone_weights(path, restoring), _no_textures(kind, arguments) as complete:
        try:
            module = kind(
                **complete,
                pre_processor=PreProcessor(transform=_without_crop(own, size)),
                # What a post-processor makes of scores is clamped, which ties most of them.
                **dict.fromkeys(COMPONENTS[1:], False),
            )
        except InputError:
            raise
        except UNREADABLE as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise InputError(f"methods: anomalib: {plain} could not be built ({reason})") from None
    return Detector(plain, settings, size, module)


def save_detector(path: Path, detector: Detector) -> None:
    """Write a model and how it was built, whole or not at all."""
    content = {
        "model": detector.name,
        "settings": asdict(detector.settings),
        "size": detector.size,
        "weights": {key: value.cpu() for key, value in detector.module.state_dict().items()},
    }
    with write_whole(path, checksum=True) as temporary:
        torch.save(content, temporary)


def load_detector(path: Path) -> Detector:
    """Read a model onto the CPU, in eval() mode; it holds its backbone's weights.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    check_content(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        settings = DetectorSettings(**content["settings"])
        name, size, weights = (content[key] for key in ("model", "size", "weights"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnpicklingError, RuntimeError, EOFError, OSError, KeyError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path}: not a readable detector ({reason})") from None
    detector = build_detector(name, settings, size=size, restoring=True)
    try:
        detector.module.on_load_checkpoint({"state_dict": weights})
        detector.module.load_state_dict(weights)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: weights that do not fit {name} ({reason})") from None
    detector.module.eval()
    return detector


def detect(images: Tensor, detector: Detector, device: torch.device) -> Detected:
    """Score every pixel of images, one image at a time, so that none depends on another.

    A map of another size than the image's is resized to it bilinearly, as anomalib does.

    Args:
        images: N x C x H x W in [-1, 1], C is 1 or 3.
        detector: trained.
        device: where to compute.

    Raises:
        InputError: a score is not finite, or the model makes no map of one value per place.
    """
    module = detector.module.to(device).eval()
    score = np.empty((len(images), *images.shape[2:]), dtype=np.float32)
    seconds = np.empty(len(images))
    with torch.inference_mode():
        _score(
            images[:1], detector.name, module, device
        )  # what is set up at first is nobody's seconds
        for row in tqdm(range(len(images)), desc=detector.name, unit="image", disable=None):
            start = time.perf_counter()
            score[row] = _score(images[row : row + 1], detector.name, module, device)
            seconds[row] = time.perf_counter() - start
    if not np.isfinite(score).all():
        raise InputError(f"methods: {detector.name}: scores are not finite; the training diverged")
    return Detected(score, seconds)


def to_input(images: Tensor) -> Tensor:
    """Turn N x C x H x W in [-1, 1] into what anomalib's pre-processing takes: RGB in [0, 1]."""
    return ((images + 1) / 2).expand(-1, 3, -1, -1)


def _score(image: Tensor, name: str, module: AnomalibModule, device: torch.device) -> np.ndarray:
    """Score one image, 1 x C x H x W; before the map's h x w may be any number of ones."""
    found = module.model(module.pre_processor(to_input(image.to(device)))).anomaly_map
    shape = () if found is None else tuple(found.shape)
    if len(shape) < 2 or prod(shape[:-2]) != 1:
        raise InputError(f"methods: {name}: map of shape {shape}; expected 1 x 1 x height x width")
    scored = found.float().reshape(1, 1, *shape[-2:])
    return resize(scored, list(image.shape[2:]), antialias=True)[0, 0].cpu().numpy()


def _arguments(kind: type, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check a constructor's arguments; anomalib wants tuples where YAML has lists."""
    allowed = [key for key in inspect.signature(kind).parameters if key not in COMPONENTS]
    if unknown := sorted(set(given) - set(allowed)):
        raise InputError(
            f"methods: anomalib: arguments: {unknown[0]!r} is unknown to {name}; "
            f"allowed: {', '.join(allowed)}"
        )
    for key in TEXTURES:
        if given.get(key) is not None and not Path(given[key]).is_dir():
            raise InputError(
                f"methods: anomalib: arguments: {key}: {given[key]!r}; expected a folder"
            )
    return {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}


@contextmanager
def _no_textures(kind: type, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give DRAEM an empty folder of textures if it got none: it would begin a download."""
    if "dtd_dir" not in inspect.signature(kind).parameters or "dtd_dir" in arguments:
        yield arguments
        return
    with tempfile.TemporaryDirectory() as empty:
        yield {**arguments, "dtd_dir": empty}


def _given_size(transforms: list[Any]) -> int:
    """Side of the square that anomalib's own pre-processing gives the network, in pixels."""
    return Compose(transforms)(torch.zeros(1, 3, 8, 8)).shape[-1]


def _without_crop(transforms: list[Any], size: int) -> Compose:
    """Resize to size x size and keep the rest; a crop would lose the border's scores."""
    rest = [t for t in transforms if not isinstance(t, (Resize, CenterCrop))]
    return Compose([Resize((size, size), antialias=True), *rest])

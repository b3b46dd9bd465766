"""What can be said of a detector without importing anomalib, which takes seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rgi.errors import InputError
from rgi.settings import read_settings

MISSING = "anomalib is not installed; run: make anomalib"
# They say how odd an image is, not where.
IMAGE_LEVEL = ("dfkde", "ganomaly")
# They learn from no image, by text or from other people's data.
NOT_TRAINED = ("anomalyvfm", "vlmad", "winclip")


@dataclass(frozen=True)
class DetectorSettings:
    """How a model of anomalib is built and trained.

    `arguments` are those of anomalib's own constructor, by name. `image_size` (pixels; None: what
    anomalib's own pre-processing gives the network) is the side that images are resized to,
    bilinearly and never cropped. `images` (None: all, or BANK_IMAGES where the model keeps every
    training patch) are drawn from the training images. `epochs` or `steps` (None: the model's own
    number of epochs, or STEPS where it states none) is how long it is trained. `backbone_weights`
    is a file that takes the place of what timm or torchvision would download, of that `sha256`.
    """

    arguments: dict[str, Any] | None = None
    image_size: int | None = None
    images: int | None = None
    batch: int = 8
    epochs: int | None = None
    steps: int | None = None
    backbone_weights: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        for name in ("image_size", "images", "batch", "epochs", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"methods: anomalib: {name}: {value}; must be at least 1")
        if self.epochs is not None and self.steps is not None:
            raise InputError("methods: anomalib: epochs and steps: only one of them may be given")
        if self.sha256 is not None and self.backbone_weights is None:
            raise InputError("methods: anomalib: sha256: of what? backbone_weights is not given")


def read_detector(values: Mapping[str, Any], where: str) -> DetectorSettings:
    """Read a config entry's settings; `where` opens the error messages.

    Raises:
        InputError: a key is unknown, of the wrong type or out of bounds.
    """
    return read_settings(DetectorSettings, values, where)


def check_model(name: str) -> str:
    """Find an image model of anomalib that learns from defect-free images and scores pixels.

    Args:
        name: as anomalib's class or module is called; case, `-` and `_` do not matter.

    Returns:
        The name in lower case, without `-` and `_`.

    Raises:
        InputError: anomalib is not installed, or has no such model.
    """
    spec = find_spec("anomalib")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"methods: {name}: {MISSING}")
    folder = Path(spec.submodule_search_locations[0], "models", "image")
    found = {_plain(path.parent.name) for path in folder.glob("*/lightning_model.py")}
    usable = sorted(found - {*IMAGE_LEVEL, *NOT_TRAINED})
    plain = _plain(name)
    if plain in IMAGE_LEVEL:
        reason = "scores images, not pixels"
    elif plain in NOT_TRAINED:
        reason = "is not trained on defect-free images"
    elif plain not in found:
        reason = "is no image model of anomalib"
    else:
        return plain
    raise InputError(f"methods: anomalib: {name!r} {reason}; allowed: {', '.join(usable)}")


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()

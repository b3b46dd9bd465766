"""Where a pretrained backbone's weights come from: the user's cache, a download or a given file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from timm.models import load_checkpoint
from torch import Tensor
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models

from rgi.errors import InputError
from rgi.files import sha256_of

UNREADABLE = (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, UnpicklingError)


def check_file(path: Path, sha256: str | None) -> Path:
    """Return `path` if it is a file with that hash (None: any).

    Raises:
        InputError: it is missing, or another file.
    """
    if not path.is_file():
        raise InputError(f"backbone_weights: {path}: no such file")
    if sha256 is not None:
        found = sha256_of(path)
        if found != sha256.lower():
            raise InputError(f"backbone_weights: {path}: sha256 is {found}; expected {sha256}")
    return path


@contextmanager
def backbone_weights(file: Path | None, restoring: bool = False) -> Iterator[None]:
    """Fill the backbones of models that anomalib builds meanwhile from `file`, cache or network.

    anomalib's constructors cannot be told of a file, but all of them come to one of two doors:
    timm.create_model or torchvision's WeightsEnum.get_state_dict. Both are replaced for a while.

    Args:
        file: weights of the one backbone, as timm or torchvision publishes them.
        restoring: all weights will be replaced after the building, so none are looked for.

    Raises:
        InputError: the weights are neither in the cache nor to be had, or the file does not fit.
    """
    create, fetch = timm.create_model, WeightsEnum.get_state_dict

    def create_model(name: str, *args: Any, **options: Any) -> torch.nn.Module:
        if restoring:
            options["pretrained"] = False
        if file is not None and options.get("pretrained"):
            options["pretrained_cfg_overlay"] = {"state_dict": _read_timm(create, name, file)}
        try:
            return create(name, *args, **options)
        except OSError as error:
            configuration = timm.get_pretrained_cfg(name)
            source = configuration.hf_hub_id or configuration.url
            raise _not_to_be_had(name, f"{source} (Hugging Face)", error) from None

    def get_state_dict(weights: WeightsEnum, *args: Any, **options: Any) -> dict[str, Tensor]:
        if restoring:
            return _untrained(weights)
        if file is not None:
            return _read_torchvision(weights, file)
        try:
            return fetch(weights, *args, **options)
        except OSError as error:
            raise _not_to_be_had(str(weights), weights.url, error) from None

    timm.create_model, WeightsEnum.get_state_dict = create_model, get_state_dict
    try:
        yield
    finally:
        timm.create_model, WeightsEnum.get_state_dict = create, fetch


def _read_timm(create: Any, name: str, file: Path) -> dict[str, Tensor]:
    """Read every weight of a backbone; timm itself would leave missing ones random in silence."""
    whole = create(name, pretrained=False)
    try:
        load_checkpoint(whole, str(file), strict=True, weights_only=True)
    except UNREADABLE as error:
        raise _does_not_fit(file, name, error) from None
    return whole.state_dict()


def _read_torchvision(weights: WeightsEnum, file: Path) -> dict[str, Tensor]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise _does_not_fit(file, str(weights), error) from None


def _untrained(weights: WeightsEnum) -> dict[str, Tensor]:
    """Random weights of the same shapes."""
    name = next(n for n in list_models() if get_model_weights(n) is type(weights))
    return get_model(name).state_dict()


def _does_not_fit(file: Path, name: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"backbone_weights: {file}: does not hold the weights of {name} ({reason})")


def _not_to_be_had(name: str, source: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:160]
    return InputError(
        f"backbone {name}: its weights {source} are neither in the cache nor to be downloaded "
        f"({type(error).__name__}: {reason}); fill the cache (HF_HOME, TORCH_HOME) on a machine "
        "with a network, or give settings: backbone_weights: PATH of a file"
    )

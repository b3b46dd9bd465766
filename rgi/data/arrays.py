"""Images on disk (uint8 N x H x W x C) and in memory (float32 N x C x H x W in [-1, 1])."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rgi.errors import InputError
from rgi.files import DAMAGED_ARRAY, check_content

if TYPE_CHECKING:  # importing torch takes seconds, which scripts without a network need not wait
    import torch


def open_images(path: Path, *, partly: bool = False) -> np.ndarray:
    """Open a .npy file of images, memory-mapped and read-only.

    Args:
        path: of the file.
        partly: only some images will be looked at. To compare the checksum of them all, a second
            for each gigabyte, would take longer; then only the file's length is checked.

    Returns:
        uint8 N x H x W x C.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    if not partly:
        check_content(path)
    return _open(path, 4, "uint8 images, N x H x W x C")


def open_masks(path: Path) -> np.ndarray:
    """Open a .npy file of masks, memory-mapped and read-only.

    Returns:
        uint8 N x H x W, 1 = corrupted and 0 = clean.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    check_content(path)
    masks = _open(path, 3, "uint8 masks, N x H x W")
    if masks.size and masks.max() > 1:
        raise InputError(f"{path}: largest value {masks.max()}; expected masks of 0 and 1")
    return masks


def to_floats(images: np.ndarray) -> np.ndarray:
    """Scale uint8 N x H x W x C to float32 N x C x H x W in [-1, 1]."""
    channels_first = np.ascontiguousarray(np.moveaxis(images, -1, 1), dtype=np.float32)
    return channels_first / np.float32(127.5) - np.float32(1)


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Scale uint8 N x H x W x C to a tensor, float32 N x C x H x W in [-1, 1]."""
    import torch

    return torch.from_numpy(to_floats(images))


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Turn N x C x H x W in [-1, 1] into uint8 N x H x W x C, clamped and rounded."""
    scaled = ((images.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy().astype(np.uint8))


def _open(path: Path, dimensions: int, expected: str) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (*DAMAGED_ARRAY, OSError) as error:
        raise InputError(
            f"{path}: not a readable .npy file ({error}); expected {expected}"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != dimensions:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise InputError(f"{path}: {found}; expected {expected}")
    return array

"""Images: where they come from, how they lie on disk, and as tensors."""

from rgi.data.arrays import open_images, open_masks, to_floats, to_tensor, to_uint8
from rgi.data.preparation import prepare
from rgi.data.preview import save_preview

__all__ = [
    "open_images",
    "open_masks",
    "prepare",
    "save_preview",
    "to_floats",
    "to_tensor",
    "to_uint8",
]

"""Images: where they come from, how they lie on disk, and as tensors."""

from rgi.data.arrays import open_images, to_floats, to_tensor, to_uint8
from rgi.data.preparation import prepare
from rgi.data.preview import save_preview
from rgi.data.settings import choose, parse_json, read_settings

__all__ = [
    "choose",
    "open_images",
    "parse_json",
    "prepare",
    "read_settings",
    "save_preview",
    "to_floats",
    "to_tensor",
    "to_uint8",
]

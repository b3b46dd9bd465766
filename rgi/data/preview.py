"""A small labelled picture of some images, so that a person can see what was made."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from rgi.files import write_whole

_MARGIN = 4
_LABEL_HEIGHT = 16
_SHOWN_SIZE = 64


def save_preview(path: Path, groups: Mapping[str, np.ndarray], columns: int = 8) -> None:
    """Write one grid per group (uint8 N x H x W x C), each under its label, at most `columns` wide.

    Small images are enlarged by a whole factor, without smoothing.
    """
    panels = [_panel(label, images, columns) for label, images in groups.items()]
    width = max(panel.width for panel in panels)
    canvas = Image.new("RGB", (width, sum(panel.height for panel in panels)), "white")
    top = 0
    for panel in panels:
        canvas.paste(panel, (0, top))
        top += panel.height
    with write_whole(path, checksum=True) as temporary:
        canvas.save(temporary)


def _panel(label: str, images: np.ndarray, columns: int) -> Image.Image:
    height, width = (side * max(1, round(_SHOWN_SIZE / side)) for side in images.shape[1:3])
    rows = -(-len(images) // columns)
    across = columns * (width + _MARGIN) + _MARGIN
    panel = Image.new("RGB", (across, _LABEL_HEIGHT + rows * (height + _MARGIN)), "white")
    ImageDraw.Draw(panel).text((_MARGIN, 1), label, fill="black")
    for position, image in enumerate(images):
        row, column = divmod(position, columns)
        tile = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        corner = (
            _MARGIN + column * (width + _MARGIN),
            _LABEL_HEIGHT + row * (height + _MARGIN),
        )
        panel.paste(tile.resize((width, height), Image.Resampling.NEAREST).convert("RGB"), corner)
    return panel

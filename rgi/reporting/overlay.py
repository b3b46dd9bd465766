"""A picture with the outline of the pixels that count as corrupted."""

import numpy as np
from matplotlib.colors import to_rgb

from rgi.reporting.style import VERMILLION

SHOWN_SIZE = 512  # pixels a side at least: lines of one pixel between those of small images


def outline(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw a line around the masked pixels, on their outside.

    Args:
        image: uint8 H x W x C, C = 1 or 3.
        mask: bool H x W.

    Returns:
        uint8 of the image's size, times a whole factor where it is small, x 3.
    """
    from skimage.segmentation import find_boundaries

    factor = -(-SHOWN_SIZE // max(mask.shape))
    image, mask = (array.repeat(factor, 0).repeat(factor, 1) for array in (image, mask))
    drawn = np.broadcast_to(image, (*mask.shape, 3)).copy()
    drawn[find_boundaries(mask, mode="outer", background=0)] = np.array(to_rgb(VERMILLION)) * 255
    return drawn

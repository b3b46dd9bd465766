"""Images as the tiles that they are made of, for networks that see less than an image."""

from torch import Tensor

from rgi.errors import InputError


def to_tiles(images: Tensor, side: int) -> Tensor:
    """Cut images into squares that do not overlap, row by row.

    Args:
        images: N x C x H x W.
        side: of a tile; divides H and W.

    Returns:
        N T x C x side x side, an image's T tiles beside each other.

    Raises:
        InputError: the side does not divide H and W.
    """
    height, width = images.shape[-2:]
    if height % side or width % side:
        raise InputError(
            f"images are {height} x {width}; allowed: multiples of {side} x {side}, the "
            "autoencoder's own size"
        )
    cut = images.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # N x C x rows x side x ...
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def from_tiles(tiles: Tensor, height: int, width: int) -> Tensor:
    """Put tiles together again: the inverse of `to_tiles` for images of height x width."""
    side = tiles.shape[-1]
    cut = tiles.unflatten(0, (-1, height // side, width // side))
    return cut.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)

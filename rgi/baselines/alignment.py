"""Robust alignment by sparse and low-rank decomposition (RASL, Peng et al. 2012).

Images show the same thing, but for a small affine map each and for a few pixels. Sought are maps
t_i such that the warped images are low rank plus sparse:

    min ||L||_* + lam ||S||_1   subject to   [I_1(t_1), I_2(t_2), ...] = L + S

A map takes a point x of the common frame to x + P (x; 1) in the image's own frame. Points are
(row, column), 0 at the image's centre and 1 at its border, so that the 2 x 3 numbers of P are alike
in size. Beyond its border an image is continued by its mirror image.
"""

import numpy as np

from rgi.baselines.robust_pca import decompose, standard_weight

GROWTH = 1.1  # of the penalty: maps are more sensitive to an early end than low-rank images are
SETTLED = 0.02  # pixels: the linearisations end when no corner moves further
FLAT = 1e-6  # singular values of a Jacobian, relative to its largest, that count as 0


def align(
    images: np.ndarray,
    lam: float,
    iterations: int,
    reach: float,
    fixed: np.ndarray | None = None,
) -> np.ndarray:
    """Find the maps: linearise about the last ones, decompose, step, until the steps are small.

    Only the window is looked at that no map can move out of the image. Each image has length 1 in
    it (Peng et al., section 2.3), lest shrinking it to a dark spot lower the nuclear norm. A map
    common to all images is no alignment, but zooming all of them to where little is to be seen
    would lower it, too: the mean map stays the identity; with `fixed` images, these are the frame
    instead.

    Args:
        images: N x C x H x W, not negative.
        lam: the weight of the sparse part, as a multiple of `standard_weight`.
        iterations: most linearisations.
        reach: furthest that a map may move a corner, as a part of the image's side; below 0.5,
            every map has an inverse.
        fixed: K x C x H x W, already in the common frame.

    Returns:
        P of each image, N x 2 x 3.
    """
    window = _window(images.shape[2:], reach)
    frame = _frame(images[:0] if fixed is None else fixed, window)
    with_slopes = [np.stack([image, *_slopes(image)]) for image in images]
    maps = np.zeros((len(images), 2, 3))
    for _ in range(iterations):
        steps = _steps(with_slopes, maps, lam, frame, window)
        before, maps = maps, np.stack([_within(reach, affine) for affine in maps + steps])
        if max(map(reach_of, maps - before)) * max(images.shape[2:]) < SETTLED:
            break
    return maps


def warp(image: np.ndarray, affine: np.ndarray, order: int = 3) -> np.ndarray:
    """Read a C x H x W image at x + P (x; 1) for every pixel x, by splines of this order."""
    return _read(image, affine, points(image.shape[1:]), order).reshape(image.shape)


def inverse(affine: np.ndarray) -> np.ndarray:
    """P of the map that undoes the map of P."""
    linear = np.linalg.inv(np.eye(2) + affine[:, :2])
    return np.column_stack([linear - np.eye(2), -linear @ affine[:, 2]])


def stays_inside(shape: tuple[int, int], affine: np.ndarray) -> np.ndarray:
    """Whether x + P (x; 1) lies in the image for every pixel x, bool H x W."""
    place = points(shape)
    rounding = 1e-9
    return (np.abs(place[:2] + affine @ place) <= 1 + rounding).all(axis=0).reshape(shape)


def reach_of(affine: np.ndarray) -> float:
    """How far a map moves the corner that it moves furthest, as a part of the image's side."""
    corners = np.array([[-1, -1, 1, 1], [-1, 1, -1, 1], [1, 1, 1, 1]])
    return float(np.linalg.norm(affine @ corners, axis=0).max() / 2)


def points(shape: tuple[int, int]) -> np.ndarray:
    """Where the pixels of an H x W image lie: 3 x HW, each (row, column, 1)."""
    sides = [np.linspace(-1, 1, side) for side in shape]
    grid = np.stack(np.meshgrid(*sides, indexing="ij")).reshape(2, -1)
    return np.vstack([grid, np.ones(grid.shape[1])])


def length_of(values: np.ndarray) -> float:
    """Euclidean; 1 for a black image, which has no direction and keeps its zeros."""
    return float(np.linalg.norm(values)) or 1.0


def _window(shape: tuple[int, int], reach: float) -> np.ndarray:
    place = points(shape)
    return place[:, np.abs(place[:2]).max(axis=0) <= 1 - 2 * reach]


def _frame(fixed: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Images in the common frame as columns of length 1."""
    still = np.zeros((2, 3))
    columns = [_read(image, still, window).ravel() for image in fixed]
    return np.array([column / length_of(column) for column in columns]).T


def _read(image: np.ndarray, affine: np.ndarray, place: np.ndarray, order: int = 3) -> np.ndarray:
    """C x H x W at x + P (x; 1) for the M points x of `place`, C x M."""
    from scipy.ndimage import map_coordinates

    halves = (np.array(image.shape[1:])[:, None] - 1) / 2
    pixels = (place[:2] + affine @ place + 1) * halves
    return np.stack(
        [map_coordinates(channel, pixels, order=order, mode="mirror") for channel in image]
    )


def _within(reach: float, affine: np.ndarray) -> np.ndarray:
    return affine * (reach / max(reach_of(affine), reach))


def _steps(
    with_slopes: list[np.ndarray],
    maps: np.ndarray,
    lam: float,
    frame: np.ndarray,
    window: np.ndarray,
) -> np.ndarray:
    """Solve the linearised problem for the change of every P, N x 2 x 3."""
    columns, bases, backs = list(frame.T), {}, {}
    for image, affine in zip(with_slopes, maps, strict=True):
        column, jacobian = _linearised(image, affine, window)
        left, values, right = np.linalg.svd(jacobian, full_matrices=False)
        kept = values > FLAT * max(values[0], FLAT)
        number = len(columns)
        columns.append(column)
        bases[number] = left[:, kept]
        backs[number] = right[kept].T / values[kept]
    data = np.stack(columns, axis=1)
    balance = None if frame.size else backs
    weight = lam * standard_weight(data.shape)
    moved = decompose(data, weight, bases, balance, GROWTH).steps
    return np.stack([(backs[number] @ moved[number]).reshape(2, 3) for number in bases])


def _linearised(
    with_slopes: np.ndarray, affine: np.ndarray, window: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The warped image at length 1, m, and its derivative by the six numbers of P, m x 6."""
    channels, *shape = with_slopes.shape[1:]
    read = _read(with_slopes.reshape(-1, *shape), affine, window).reshape(3, channels, -1)
    image, slopes = read[0].ravel(), read[1:]
    jacobian = (slopes[:, None] * window[:, None]).reshape(6, -1).T
    length = length_of(image)
    column = image / length
    return column, (jacobian - np.outer(column, column @ jacobian)) / length


def _slopes(image: np.ndarray) -> list[np.ndarray]:
    """Derivatives of C x H x W by row and by column."""
    return [np.gradient(image, 2 / (image.shape[axis] - 1), axis=axis) for axis in (1, 2)]

"""What the baselines have in common: their result, and how their settings are checked."""

from dataclasses import dataclass

import numpy as np

from rgi.errors import InputError


@dataclass(frozen=True)
class Restored:
    """Arrays of N images.

    restored: float32 N x C x H x W in [-1, 1]; score: float32 N x H x W, higher = more surely
    corrupted; seconds: float64 N.
    """

    restored: np.ndarray
    score: np.ndarray
    seconds: np.ndarray


def check_lam(method: str, has_lambda: bool, lam: float | None) -> None:
    """Check that lambda is a number greater than 0, or None for a method without one.

    Raises:
        InputError: it is not.
    """
    where = f"methods: {method}: lam: {'none' if lam is None else lam}"
    if has_lambda and (lam is None or not 0 < lam < float("inf")):
        raise InputError(f"{where}; expected a number greater than 0")
    if not has_lambda and lam is not None:
        raise InputError(f"{where}; this method has no lambda, expected none")


def check_at_least(where: str, value: int, least: int) -> None:
    """Check a whole number against its lower bound.

    Raises:
        InputError: it is too small; the message opens with "methods: " and `where`.
    """
    if value < least:
        raise InputError(f"methods: {where}: {value}; must be at least {least}")

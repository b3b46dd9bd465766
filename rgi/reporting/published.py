"""What the papers printed, to stand beside our numbers.

RGI (Mou et al., ICLR 2023), and energy-based projection (Dehaene et al., ICLR 2020).
"""

from collections.abc import Mapping
from typing import Any

from rgi.data.counts import INSPECTED

METHODS = ("yeh-without-mask", "yeh-with-mask", "rgi", "pan-with-mask", "r-rgi")

# Table 1: (data set, case) -> (PSNR, SSIM) in the order of METHODS. The paper calls them means over
# 100 images of whole G(z); its published code takes medians, of images rescaled one by one.
_TABLE_1 = {
    ("celeba", "block"): (
        (11.50, 0.358),
        (20.82, 0.492),
        (19.70, 0.451),
        (21.74, 0.570),
        (20.05, 0.509),
    ),
    ("celeba", "random"): (
        (19.64, 0.440),
        (22.63, 0.536),
        (21.52, 0.490),
        (27.63, 0.766),
        (23.73, 0.655),
    ),
    ("cars", "block"): (
        (16.57, 0.359),
        (17.50, 0.377),
        (16.89, 0.363),
        (20.98, 0.636),
        (19.31, 0.618),
    ),
    ("cars", "random"): (
        (17.36, 0.361),
        (17.71, 0.382),
        (17.52, 0.363),
        (21.61, 0.650),
        (21.18, 0.588),
    ),
    ("lsun-bedroom", "block"): (
        (16.15, 0.405),
        (19.27, 0.428),
        (17.67, 0.416),
        (21.36, 0.587),
        (18.72, 0.567),
    ),
    ("lsun-bedroom", "random"): (
        (19.26, 0.419),
        (19.66, 0.433),
        (19.72, 0.420),
        (22.30, 0.599),
        (22.29, 0.557),
    ),
}

# Appendix: (data set, case) -> lambda chosen by (PSNR, SSIM), for RGI and R-RGI.
_LAMBDAS = {
    ("celeba", "block"): {"rgi": (0.07, 0.07), "r-rgi": (0.07, 0.07)},
    ("celeba", "random"): {"rgi": (0.5, 0.2), "r-rgi": (0.6, 0.25)},
    ("cars", "block"): {"rgi": (1.0, 0.9), "r-rgi": (0.9, 0.9)},
    ("cars", "random"): {"rgi": (1.0, 1.0), "r-rgi": (0.8, 0.8)},
    ("lsun-bedroom", "block"): {"rgi": (0.8, 0.8), "r-rgi": (0.7, 0.7)},
    ("lsun-bedroom", "random"): {"rgi": (1.0, 0.8), "r-rgi": (0.9, 0.6)},
}

# What it trains and tests on: data set -> its entry in a config, but for where the files are. The
# paper says "resize to 128" of CelebA's aligned faces; the central square is ours.
_FORMAT = {"resolution": 128, "channels": 3, "test": 100}
_DATASETS = {
    "celeba": {"source": "celeba", "held_out": 2000, "images": None, "crop": "centre"} | _FORMAT,
    "cars": {"source": "cars", "held_out": None} | _FORMAT,
    "lsun-bedroom": {"source": "lsun-bedroom"} | _FORMAT,
}

_FILL = {"kind": "noise", "mean": -1, "sd": 1}


def _block(size: int) -> Mapping[str, Any]:
    return {"corruption": "block", "size": size, "position": "centre", "fill": _FILL}


def _random(fraction: float) -> Mapping[str, Any]:
    return {"corruption": "random", "fraction": fraction, "fill": _FILL}


# How it corrupts: (data set, case) -> the case as an entry of a config.
_CASES = {
    ("celeba", "block"): _block(32),
    ("celeba", "random"): _random(0.5),
    ("cars", "block"): _block(16),
    ("cars", "random"): _random(0.25),
    ("lsun-bedroom", "block"): _block(16),
    ("lsun-bedroom", "random"): _random(0.25),
}

_PLACE = {"psnr": 0, "ssim": 1}


# Table 1 of Dehaene et al. 2020: category of MVTec AD -> pixel AUROC in the order of PROJECTIONS.
PROJECTIONS = (
    "l2-ae",
    "l2-ae-grad",
    "dsae",
    "dsae-grad",
    "vae",
    "vae-grad",
    "gamma-vae",
    "gamma-vae-grad",
)
_PROJECTED = {
    "carpet": (0.539, 0.734, 0.545, 0.774, 0.580, 0.735, 0.648, 0.727),
    "grid": (0.960, 0.981, 0.960, 0.980, 0.888, 0.961, 0.950, 0.979),
    "leather": (0.751, 0.921, 0.710, 0.602, 0.834, 0.925, 0.818, 0.897),
    "tile": (0.476, 0.575, 0.496, 0.626, 0.465, 0.654, 0.491, 0.581),
    "wood": (0.630, 0.805, 0.641, 0.738, 0.695, 0.838, 0.665, 0.809),
    "bottle": (0.909, 0.916, 0.933, 0.951, 0.902, 0.922, 0.913, 0.931),
    "cable": (0.732, 0.864, 0.790, 0.859, 0.828, 0.910, 0.777, 0.880),
    "capsule": (0.786, 0.952, 0.769, 0.884, 0.862, 0.917, 0.814, 0.917),
    "hazelnut": (0.976, 0.984, 0.966, 0.966, 0.977, 0.976, 0.977, 0.988),
    "metal-nut": (0.880, 0.899, 0.881, 0.920, 0.881, 0.907, 0.883, 0.914),
    "pill": (0.885, 0.912, 0.895, 0.927, 0.888, 0.930, 0.897, 0.935),
    "screw": (0.979, 0.980, 0.983, 0.925, 0.958, 0.945, 0.976, 0.972),
    "toothbrush": (0.971, 0.983, 0.973, 0.984, 0.971, 0.985, 0.971, 0.983),
    "transistor": (0.906, 0.921, 0.904, 0.934, 0.894, 0.919, 0.896, 0.931),
    "zipper": (0.680, 0.889, 0.828, 0.887, 0.814, 0.869, 0.706, 0.871),
}


def projected_auroc(category: str, method: str) -> float | None:
    """Pixel AUROC of a projection or its autoencoder, or None where the paper has none.

    Args:
        category: of MVTec AD, its words joined by a dash.
        method: its name in the config; the paper's are called as in rgi.projection.METHODS.
    """
    row = _PROJECTED.get(category)
    return row[PROJECTIONS.index(method)] if row and method in PROJECTIONS else None


def is_projected_as_published(
    dataset: str, entry: Mapping[str, Any], settings: Mapping[str, Any]
) -> bool:
    """Whether a data set is a whole category of MVTec AD, called so, with its real defects.

    At 128 pixels or more: of textures the paper shows crops of 128 from images of 512, which are
    not to be had here (at most 256).

    Args:
        dataset: its name in the config, as in `projected_auroc`.
        entry: what the config says of it, defaults filled in.
        settings: the case's entry in the config.
    """
    category = entry.get("category")
    if category is None or dataset != category.replace("_", "-"):
        return False
    count = INSPECTED[category]
    known = {"part": "defects", "crop": "whole", "test": count.defects, "normal": count.normal}
    is_whole = all(entry[key] == value for key, value in known.items()) and "train" not in entry
    return is_whole and entry["resolution"] >= 128 and settings["corruption"] == "given"


def is_as_published(
    dataset: str, entry: Mapping[str, Any], case: str, settings: Mapping[str, Any]
) -> bool:
    """Whether a case has the paper's name and is set up as there, on the paper's data set.

    A user's own copy of the files (`archive`) counts as the publisher's.

    Args:
        dataset: its name in the config.
        entry: what the config says of it, defaults filled in.
        case: its name in the config.
        settings: its entry in the config, defaults filled in.
    """
    known = {key: value for key, value in entry.items() if key != "archive"}
    is_known = known == _DATASETS.get(dataset)
    return is_known and settings == _CASES.get((dataset, case))


def published_value(dataset: str, case: str, method: str, metric: str) -> float | None:
    """Table 1's value (region whole, called a mean there), or None where the paper has none."""
    row = _TABLE_1.get((dataset, case))
    if row is None or method not in METHODS or metric not in _PLACE:
        return None
    return row[METHODS.index(method)][_PLACE[metric]]


def published_lambda(dataset: str, case: str, method: str, metric: str) -> float | None:
    """The lambda that the paper chose by `metric`, or None where the paper has none."""
    pair = _LAMBDAS.get((dataset, case), {}).get(method)
    return pair[_PLACE[metric]] if pair and metric in _PLACE else None

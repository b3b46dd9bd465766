"""Known corruption of clean images, so that restorations can be compared with the truth."""

from rgi.corruption.cases import (
    GIVEN,
    Case,
    given_case,
    image_generator,
    load_case,
    make_case,
    read_corruption,
    save_case,
    save_case_preview,
)
from rgi.corruption.fills import FILLS, Constant, Noise, Patch
from rgi.corruption.masks import MASKS, Block, Irregular, RandomPixels

__all__ = [
    "FILLS",
    "GIVEN",
    "MASKS",
    "Block",
    "Case",
    "Constant",
    "Irregular",
    "Noise",
    "Patch",
    "RandomPixels",
    "given_case",
    "image_generator",
    "load_case",
    "make_case",
    "read_corruption",
    "save_case",
    "save_case_preview",
]

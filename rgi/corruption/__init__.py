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
from rgi.corruption.defects import Crack, IrregularDefect, MixedLarge, Scratch
from rgi.corruption.degradations import DEGRADATIONS
from rgi.corruption.fills import FILLS, Constant, MeanColour, Noise, Patch
from rgi.corruption.library import Library, collect_masks, library_hash
from rgi.corruption.masks import MASKS, Block, Irregular, RandomPixels

__all__ = [
    "DEGRADATIONS",
    "FILLS",
    "GIVEN",
    "MASKS",
    "Block",
    "Case",
    "Constant",
    "Crack",
    "Irregular",
    "IrregularDefect",
    "Library",
    "MeanColour",
    "MixedLarge",
    "Noise",
    "Patch",
    "RandomPixels",
    "Scratch",
    "collect_masks",
    "given_case",
    "image_generator",
    "library_hash",
    "load_case",
    "make_case",
    "read_corruption",
    "save_case",
    "save_case_preview",
]

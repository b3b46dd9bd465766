"""Other people's methods, behind the same restoration file."""

from rgi.baselines.filters import FILTERS, Filter, apply_filter
from rgi.baselines.interface import Restored
from rgi.baselines.low_rank import LOW_RANK, LowRank, decompose_images, draw_references

__all__ = [
    "FILTERS",
    "LOW_RANK",
    "Filter",
    "LowRank",
    "Restored",
    "apply_filter",
    "decompose_images",
    "draw_references",
]

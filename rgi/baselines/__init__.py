"""Other people's methods, behind the same restoration file."""

from rgi.baselines.filters import FILTERS, Filter, apply_filter
from rgi.baselines.interface import Restored

__all__ = ["FILTERS", "Filter", "Restored", "apply_filter"]

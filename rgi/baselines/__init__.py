"""Other people's methods, behind the same restoration file."""

from rgi.baselines.filters import FILTERS, Filter, Filtered, apply_filter

__all__ = ["FILTERS", "Filter", "Filtered", "apply_filter"]

"""What an experiment will cost, before it is run: operations, time at a measured rate, bytes."""

from rgi.planning.rates import Estimate, Rates, read_rates
from rgi.planning.sizes import (
    case_bytes,
    images_bytes,
    restoration_bytes,
    training_bytes,
)
from rgi.planning.work import Work, inversion_work, training_work

__all__ = [
    "Estimate",
    "Rates",
    "Work",
    "case_bytes",
    "images_bytes",
    "inversion_work",
    "read_rates",
    "restoration_bytes",
    "training_bytes",
    "training_work",
]

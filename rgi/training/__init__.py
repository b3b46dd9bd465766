"""Training of generators."""

from rgi.training.progressive import train
from rgi.training.samples import draw_samples, save_sheet
from rgi.training.settings import TrainingSettings, read_training
from rgi.training.team import join_team, launched_processes

__all__ = [
    "TrainingSettings",
    "draw_samples",
    "join_team",
    "launched_processes",
    "read_training",
    "save_sheet",
    "train",
]

"""Training of generators."""

from rgi.training.progressive import train
from rgi.training.settings import TrainingSettings, read_training
from rgi.training.team import join_team

__all__ = ["TrainingSettings", "join_team", "read_training", "train"]

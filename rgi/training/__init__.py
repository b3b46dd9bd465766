"""Training of generators."""

from rgi.training.progressive import train
from rgi.training.settings import TrainingSettings, read_training

__all__ = ["TrainingSettings", "read_training", "train"]

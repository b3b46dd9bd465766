"""One seed for each purpose, so that no two draws of a training share their numbers."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What the random numbers are for; a number, once given, stays."""

    GENERATOR = 0
    DISCRIMINATOR = 1
    SAMPLES = 2
    STEP = 3
    AUTOENCODER = 4
    ENCODER = 5


def derive_seed(seed: int, purpose: Purpose, step: int = 0) -> int:
    """Return the seed for torch, in [0, 2^63)."""
    sequence = np.random.SeedSequence((seed, int(purpose), step))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

"""Fixtures that several test files share."""

import numpy as np
import pytest


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (20, 16, 16, 1), dtype=np.uint8)

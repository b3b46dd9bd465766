"""Fixtures that several test files share."""

from dataclasses import replace

import numpy as np
import pytest


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (20, 16, 16, 1), dtype=np.uint8)


@pytest.fixture
def needed_backbone(name, request):
    """The backbone of `random_backbone` for tests of methods by `name` that look through one."""
    from rgi.inversion import METHODS

    if METHODS[name].perceptual_weight:
        request.getfixturevalue("random_backbone")


@pytest.fixture
def random_backbone(tmp_path, monkeypatch):
    """A torch cache whose SqueezeNet has random weights: the path, not the perception, counts."""
    import torch
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    from rgi.files import sha256_of
    from rgi.models.perceptual import _network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = squeezenet1_1().state_dict()
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(weights, checkpoints / "new.pth")
    # As torch names what it downloads; the file stands where that of the published weights would.
    name = f"squeezenet1_1-{sha256_of(checkpoints / 'new.pth')[:8]}.pth"
    (checkpoints / "new.pth").rename(checkpoints / name)
    member = SqueezeNet1_1_Weights.IMAGENET1K_V1
    published = replace(member.value, url=f"http://127.0.0.1:9/models/{name}")
    monkeypatch.setattr(member, "_value_", published)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    yield
    _network.cache_clear()

"""A training of seconds, and how to look at what it left; used by several test files."""

import json

import torch

from rgi.models import Architecture, load_discriminator, load_generator
from rgi.training import TrainingSettings, progressive, train
from rgi.training.schedule import Schedule

SMALL = Architecture(resolution=16, channels=1, latent_dim=6, widths=(5, 4, 3))
SHORT = TrainingSettings(
    images_stable=16, images_fade=32, batch=8, averaging_halflife=20, tick_images=16
)
LAST_STEP = Schedule(SHORT, SMALL.levels).steps
IN_MID_FADE = 10
CPU = torch.device("cpu")


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def uniform(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(2))


def start(pictures, directory, settings=SHORT, seed=0, architecture=SMALL, device=CPU):
    train(pictures, architecture, settings, directory, seed=seed, device=device)


def weights(directory):
    networks = (
        load_generator(directory / "generator.pt"),
        load_discriminator(directory / "discriminator.pt"),
    )
    return [tensor for network in networks for tensor in network.state_dict().values()]


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def lines(directory):
    return [json.loads(line) for line in (directory / "training.jsonl").read_text().splitlines()]


def kill_at(monkeypatch, step):
    """Break off training before `step` is computed, as a kill would."""
    original = progressive.train_step

    def breaking(state, *rest):
        if state.step == step:
            raise KeyboardInterrupt
        return original(state, *rest)

    monkeypatch.setattr(progressive, "train_step", breaking)

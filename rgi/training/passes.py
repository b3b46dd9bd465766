"""What a step computes of the networks, as modules: a team's gradients are averaged around them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from rgi.models import Discriminator, Generator
from rgi.training.losses import critic_loss, gradient_penalty, judge_both
from rgi.training.settings import TrainingSettings
from rgi.training.team import Team


class Growth(nn.Module):
    """A network's `grow` in the settings' precision; what goes in and out keeps its own."""

    def __init__(self, network: Generator | Discriminator, precision: str) -> None:
        super().__init__()
        self.network = network
        self.mixed = precision == "bfloat16"

    def forward(self, inputs: Tensor, level: int, fade: float) -> Tensor:
        """Latent -> images of the level, or images of the level -> critic values."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.mixed):
            return self.network.grow(inputs, level, fade).to(inputs.dtype)


class CriticLoss(nn.Module):
    """The critic's whole loss; its spread learns from reals and fakes, not from mixed images."""

    def __init__(self, judge: Growth, settings: TrainingSettings) -> None:
        super().__init__()
        self.judge = judge
        self.settings = settings

    def forward(
        self, reals: Tensor, fakes: Tensor, mixing: Tensor, level: int, fade: float
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and, without gradient, penalty, mean of D(real) and mean of D(fake)."""
        critic = partial(self.judge, level=level, fade=fade)
        real, fake = judge_both(critic, reals, fakes)
        with spread_kept(self.judge.network):
            penalty = gradient_penalty(critic, reals, fakes, mixing)
        loss = critic_loss(real, fake, self.settings.drift)
        loss = loss + self.settings.gradient_penalty * penalty
        return loss, torch.stack([penalty, real.mean(), fake.mean()]).detach()


@dataclass(frozen=True)
class Passes:
    """The passes of a step; DistributedDataParallel follows what it wraps, called as a module."""

    generate: nn.Module  # as Growth of the generator
    judge: nn.Module  # as Growth of the discriminator; its gradients stay in this process
    criticise: nn.Module  # as CriticLoss

    @classmethod
    def of(
        cls,
        generator: Generator,
        discriminator: Discriminator,
        settings: TrainingSettings,
        team: Team,
    ) -> "Passes":
        """Make the passes of both networks."""
        judge = Growth(discriminator, settings.precision)
        return cls(
            generate=team.share(Growth(generator, settings.precision)),
            judge=judge,
            criticise=team.share(CriticLoss(judge, settings)),
        )


@contextmanager
def spread_kept(discriminator: Discriminator) -> Iterator[None]:
    """Let the spread's average learn from reals and fakes as the critic judges them, no others."""
    discriminator.spread.learns = False
    try:
        yield
    finally:
        discriminator.spread.learns = True

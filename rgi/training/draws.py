"""The random part of a step, and its preparation while the step before is computed."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from rgi.data.arrays import to_tensor
from rgi.training.samples import at_level
from rgi.training.schedule import Position
from rgi.training.seeds import Purpose, derive_seed
from rgi.training.settings import TrainingSettings

T = TypeVar("T")
AHEAD = 2  # steps prepared before they are asked for
WHOLE = slice(None)


@dataclass(frozen=True)
class Draw:
    """The random part of one step."""

    reals: Tensor  # N x C x H x W at the level's resolution
    latent: Tensor  # N x d
    mixing: Tensor  # N, between reals (0) and fakes (1)

    def pinned(self) -> "Draw":
        """Move it to memory from which a GPU copies on its own, while the CPU goes on."""
        return Draw(self.reals.pin_memory(), self.latent.pin_memory(), self.mixing.pin_memory())

    def to(self, device: torch.device) -> "Draw":
        """Move it to the device; from pinned memory without waiting for the copy."""
        parts = (self.reals, self.latent, self.mixing)
        return Draw(*(part.to(device, non_blocking=True) for part in parts))


def draw_step(
    images: np.ndarray,
    latent_dim: int,
    position: Position,
    settings: TrainingSettings,
    seed: int,
    step: int,
    part: slice = WHOLE,
) -> Draw:
    """Draw a step's batch from a random generator of its own, so that a restart repeats it.

    The numbers are those of the whole batch whatever the `part` of it that is asked for.
    """
    random = torch.Generator().manual_seed(derive_seed(seed, Purpose.STEP, step))
    batch = position.batch
    rows = torch.randint(len(images), (batch,), generator=random)[part].numpy()
    reals = images[rows]
    if settings.mirror:
        flip = (torch.rand(batch, generator=random) < 0.5)[part].numpy()
        reals[flip] = reals[flip, :, ::-1]
    return Draw(
        reals=at_level(to_tensor(reals), position.level, position.fade),
        latent=torch.randn(batch, latent_dim, generator=random)[part],
        mixing=torch.rand(batch, generator=random)[part],
    )


def prefetch(prepare: Callable[[int], T], steps: range) -> Iterator[T]:
    """Yield `prepare(step)` of every step, in order, prepared in a thread a little ahead.

    What `prepare` raises is raised here, at its own step. Close the iterator when leaving early:
    that drops what is not begun, so that nothing is left to wait for.
    """
    pool = ThreadPoolExecutor(max_workers=1)
    waiting: deque[Future[T]] = deque()
    try:
        for step in steps:
            waiting.append(pool.submit(prepare, step))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)

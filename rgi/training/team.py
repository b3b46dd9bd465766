"""Several processes that train one GAN together, each on its own part of every batch.

Started by torchrun; one process alone needs nothing of this.
"""

import ctypes
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rgi.errors import InputError

SET_PARENT_DEATH_SIGNAL = 1  # of Linux's prctl


@dataclass(frozen=True)
class Team:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and shows progress."""
        return self.rank == 0

    def part(self, batch: int) -> slice:
        """Return the images of a batch that are this process's own; equally many for each."""
        own = batch // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def share(self, network: nn.Module) -> nn.Module:
        """Have the network's gradients averaged among the processes whenever it was called.

        Of a network that grows, each level uses some of the weights only.
        """
        if self.size == 1:
            return network
        # The running average of the spread is averaged, not copied from one process: see `average`.
        return DistributedDataParallel(
            network, find_unused_parameters=True, forward_sync_buffers=False
        )

    def average(self, *tensors: Tensor) -> None:
        """Replace tensors, in place, by their means over the processes."""
        if self.size == 1:
            return
        together = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(together)
        means = (together / self.size).split([tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the leader run the block before all others."""
        if not self.leads:
            dist.barrier()
        yield
        if self.leads and self.size > 1:
            dist.barrier()


ALONE = Team()


@contextmanager
def join_team(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """Join the processes that torchrun started, if it did; yield the team and this one's device.

    GPUs talk by nccl, CPUs by gloo. When one process fails, torchrun ends the others, which may
    wait for it; when torchrun itself is killed, they end too, lest two runs write the same files.

    Raises:
        InputError: more processes than GPUs.
    """
    size = launched_processes()
    if size == 1:
        yield ALONE, device
        return
    _end_with_parent()
    team = Team(rank=int(os.environ["RANK"]), size=size)
    if not team.leads:
        logging.disable(logging.INFO)
    own = _own_device(device, int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    yield team, own
    # Only in success: after an error the others would be waited for.
    dist.destroy_process_group()


def launched_processes() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _own_device(device: torch.device, local_rank: int) -> torch.device:
    if device.type == "cpu":
        return device
    if local_rank >= torch.cuda.device_count():
        raise InputError(
            f"gpus: process {local_rank + 1} on this machine has no GPU of its own; allowed: at "
            f"most {torch.cuda.device_count()} processes"
        )
    own = torch.device("cuda", local_rank)
    torch.cuda.set_device(own)
    return own


def _end_with_parent() -> None:
    """Ask Linux to kill this process when torchrun dies."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)

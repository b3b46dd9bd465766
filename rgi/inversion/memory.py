"""How many rows go through the networks at once: what a budget holds, halved when memory runs out.

Another number of rows changes a result by rounding only.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from rgi.errors import InputError
from rgi.inversion.methods import Method
from rgi.inversion.problem import Problem, Render
from rgi.inversion.progress import UNKEPT_PART, Part

logger = logging.getLogger(__name__)

# A pass holds the tensors that it keeps for the way back, and in between up to twice as much.
PASS = 3
OWN_WEIGHTS = 5  # a row's weights, their gradient, a copy of it and two moments
# A row's features: lowest, now, moments, centre, gradient, new step and its copies.
OWN_FEATURES = 10

TOO_SMALL = "memory: one image alone does not fit; use a machine or GPU with more"

Result = TypeVar("Result")
Work = Callable[[Tensor, Tensor], Result]  # (rows, the same filled up to the batch's size)


class Batch:
    """The number of rows in every pass; it can only fall."""

    def __init__(self, size: int) -> None:
        self.size = size

    def first(self, rows: Tensor, work: Work[Result]) -> tuple[Tensor, Result]:
        """Do the work for as many of the rows as one batch holds; return them and its result.

        Raises:
            InputError: not even one row fits into memory.
        """
        while True:
            chosen = rows[: self.size]
            # Filled up with the last row: every batch has the same shape.
            missing = self.size - len(chosen)
            try:
                return chosen, work(chosen, torch.cat([chosen, chosen[-1:].expand(missing)]))
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
            # Not in the handler: there the failed pass still holds its memory.
            self._halve()

    def all(
        self, count: int, device: torch.device, work: Work[Result], part: Part = UNKEPT_PART
    ) -> list[Result]:
        """Do the work for rows 0 to count - 1, batch after batch; results are kept in `part`."""
        done, results = part.take() or (0, [])
        part.hold(lambda: (done, results))
        while done < count:
            chosen, result = self.first(torch.arange(done, count, device=device), work)
            results.append(result)
            done += len(chosen)
            part.reach()
        return results

    def _halve(self) -> None:
        if self.size == 1:
            raise InputError(TOO_SMALL)
        self.size //= 2
        logger.warning("memory ran out; going on with %d rows at a time", self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class OneBatch(Batch):
    """All rows in one pass, within a batch; where memory runs out, that one has to be smaller."""

    def _halve(self) -> None:
        raise MemoryError


def fitting_batch(problem: Problem, generator: nn.Module, render: Render, budget: int) -> Batch:
    """The method's batch, or less if the budget (bytes) holds less.

    What a row takes is what a pass of two rows keeps more than a pass of one.
    """
    heaviest = problem if problem.method.critic_weight else problem.exploring()
    try:
        one, two = (_kept_bytes(heaviest, generator, render, rows) for rows in (1, 2))
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise InputError(TOO_SMALL) from error
    needed = PASS * (two - one)
    if problem.method.learns_weights:
        needed += OWN_WEIGHTS * sum(p.nbytes for p in generator.parameters())
    needed += OWN_FEATURES * _feature_bytes(problem.method, generator)
    fitting = budget // needed
    if fitting < problem.method.batch:
        logger.warning(
            "%d MB hold %d rows of %d asked for; at least 1 is taken; memory_mb allows more",
            budget // 10**6,
            fitting,
            problem.method.batch,
        )
    return Batch(max(1, min(problem.method.batch, fitting)))


def _feature_bytes(method: Method, generator: nn.Module) -> int:
    """Bytes of one row's features, of the largest that a round is about."""
    widths = generator.architecture.widths
    return max((4 * widths[k - 1] * (4 * 2 ** (k - 1)) ** 2 for k, _ in method.rounds), default=0)


def _kept_bytes(problem: Problem, generator: nn.Module, render: Render, rows: int) -> int:
    """Bytes of all tensors that autograd keeps for the gradients of some rows."""
    part = problem.rows(torch.zeros(rows, dtype=torch.long, device=problem.images.device))
    if problem.method.feature_weight:
        part = replace(part, features=part.observed_features(part.images))
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    latent = part.images.new_ones(rows, generator.latent_dim, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        part.objective(render(latent), part.given)
    return sum(kept.values())


def _is_out_of_memory(error: BaseException) -> bool:
    """The CPU's allocator raises a plain RuntimeError."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    words = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, kinds) or any(word in str(error) for word in words)

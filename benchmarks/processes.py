"""Fresh processes with a number of threads each, whose times and peak memory are their own."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

# Imported once, before the processes fork off; torch's optimisers import torch._dynamo when used.
PRELOADED = ["torch._dynamo", "torch.utils.flop_counter", "rgi.inversion.engine"]


class Processes:
    """Processes that begin their calls together.

    Args:
        threads: of torch in each process; 0: torch's default.
    """

    def __init__(self, count: int, threads: int) -> None:
        os.environ.setdefault("TQDM_DISABLE", "1")  # which the processes inherit
        context = get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.executors = [
            ProcessPoolExecutor(1, context, initializer=_begin, initargs=(threads,))
            for _ in range(count)
        ]

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *reason: object) -> None:
        for executor in self.executors:
            executor.shutdown()

    def each(self, function: Callable, parts: Iterable[tuple]) -> list[Any]:
        """Call the function once per part, each in a process of its own; at most `count` parts."""
        pairs = zip(self.executors, parts, strict=False)
        futures = [executor.submit(function, *part) for executor, part in pairs]
        return [future.result() for future in futures]

    def all(self, function: Callable, *arguments: Any) -> list[Any]:
        """Call the function in every process."""
        return self.each(function, [arguments] * len(self.executors))


def _begin(threads: int) -> None:
    """Convolutions and products in the same, full precision."""
    if threads:
        torch.set_num_threads(threads)
    convolutions, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    convolutions.fp32_precision = products.fp32_precision = "ieee"

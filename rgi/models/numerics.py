"""How a GPU computes: the same in every run, and where asked for in full float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable() -> Iterator[None]:
    """Have cuDNN choose the same algorithms in every run, or a restart would end elsewhere."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


@contextmanager
def full_precision() -> Iterator[None]:
    """Have no convolution or product round to TF32's 10 bits, as PyTorch lets convolutions do.

    A descent along a narrow valley stops where its gradient is rounding.
    """
    convolutions, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = convolutions.fp32_precision, products.fp32_precision
    convolutions.fp32_precision = products.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision, products.fp32_precision = before

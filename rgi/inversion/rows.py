"""Independent descents side by side: tensors whose first dimension counts the rows."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Self

import torch
from torch import Tensor


class Rows:
    """Base of dataclasses all of whose fields are tensors with one entry per row."""

    def take(self, rows: Tensor) -> Self:
        """A copy of some rows, in any order and any number of times."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self._names()})

    def put(self, rows: Tensor, others: Self) -> None:
        """Overwrite some rows by the first of `others`."""
        for name in self._names():
            getattr(self, name)[rows] = getattr(others, name)[: len(rows)]

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows of all parts, in order."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.cat([getattr(p, name) for p in parts]) for name in names})

    def learn(self, other: Self) -> None:
        """Take over, before the first step, what descents of nearly the same objectives know.

        By default that is nothing.
        """

    def _names(self) -> list[str]:
        return [field.name for field in fields(self)]

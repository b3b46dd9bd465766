"""One line of JSON per tick: how the training goes."""

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rgi.files import room_for, write_whole


@dataclass
class Tick:
    """Sums since the last line; they stay on the device until the line is written."""

    measures: tuple[str, ...]  # what is summed, by name
    sums: Tensor
    steps: int = 0
    images: int = 0
    seconds: float = 0.0  # of earlier runs, when a tick was interrupted
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, measures: tuple[str, ...], device: torch.device) -> "Tick":
        """Start with nothing counted."""
        return cls(measures, torch.zeros(len(measures), device=device))

    def following(self) -> "Tick":
        """Start anew, of the same measures."""
        return Tick.begin(self.measures, self.sums.device)

    def resumed(self, state: Mapping[str, Any]) -> "Tick":
        """Go on counting from a `state_dict`."""
        return Tick(self.measures, **{**state, "sums": state["sums"].to(self.sums.device)})

    def add(self, values: Tensor, images: int) -> None:
        """Count one step; `values` are in the order of `measures`."""
        self.sums += values
        self.steps += 1
        self.images += images

    def means(self) -> dict[str, float]:
        """Mean of every measure over the tick's steps."""
        means = (self.sums / max(1, self.steps)).tolist()
        return dict(zip(self.measures, means, strict=True))

    def elapsed(self) -> float:
        """Seconds of work since the tick began, without the time between two runs."""
        return self.seconds + time.monotonic() - self.started

    def state_dict(self) -> dict[str, Any]:
        """Everything a later run needs to go on counting."""
        return {
            "sums": self.sums,
            "steps": self.steps,
            "images": self.images,
            "seconds": self.elapsed(),
        }


def append_line(path: Path, tick: Tick, step: int, place: Mapping[str, Any]) -> None:
    """Add the tick's line to training.jsonl; `place` says where in the training it ends."""
    seconds = tick.elapsed()
    line = {
        "step": step,
        **place,
        **tick.means(),
        "seconds": seconds,
        "images_per_second": tick.images / max(seconds, 1e-9),
        "memory_mib": peak_memory(tick.sums.device),
    }
    with room_for(path), path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def drop_lines_after(path: Path, step: int) -> None:
    """Keep the lines up to `step`: what follows will be trained, and written, again."""
    kept = [line for line in _lines(path) if _step_of(line) <= step]
    with write_whole(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in kept))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line cut off by a kill


def peak_memory(device: torch.device) -> float:
    """MiB: of the GPU if it is used, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)

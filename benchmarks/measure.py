"""What the benchmarks share: the machine, its best rates, times, counted operations, a table."""

import json
import os
import platform
import re
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from rgi.files import write_whole

Step = Callable[[], object]
Columns = Mapping[str, Callable[[dict], str]]  # heading -> cell of a row


def machine(device: torch.device) -> dict[str, object]:
    """Say what the figures were taken on, and how busy it was."""
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),
    }


def wait(device: torch.device) -> None:
    """Wait until the GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(steps: int, step: Step, device: torch.device) -> float:
    """Time one step, as the mean of several in a row."""
    wait(device)
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return (time.perf_counter() - begin) / steps


def ended_cpu_seconds() -> float:
    """Processor time of all processes that this one has started and seen the end of."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_memories(pid: int) -> dict[int, float]:
    """Peak resident memory in MiB of a process and all its descendants, as far as they live."""
    found = {}
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = [
            path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")
        ]
    except OSError:  # ended meanwhile
        return {}
    if peak := re.search(r"VmHWM:\s*(\d+) kB", status):
        found[pid] = int(peak[1]) / 1024
    for child in sum(children, []):
        found |= peak_memories(int(child))
    return found


def product_rate(device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """GFLOP/s of a large matrix product, the most that can be hoped for."""
    size = 8192 if device.type == "cuda" else 1024
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    return _rate(lambda: matrix @ matrix, 2 * size**3, device, repeats)


def convolution_rate(device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """GFLOP/s of a large 3 x 3 convolution, the most that a convolutional network can hope for."""
    images, width, side = (64, 512, 64) if device.type == "cuda" else (8, 128, 32)
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    features = torch.randn(images, width, side, side, device=device, dtype=dtype)
    features = features.contiguous(memory_format=layout)
    weight = torch.randn(width, width, 3, 3, device=device, dtype=dtype)
    weight = weight.contiguous(memory_format=layout)
    operations = 2 * 9 * width**2 * images * side**2
    return _rate(lambda: F.conv2d(features, weight, padding=1), operations, device, repeats)


def _rate(step: Step, operations: int, device: torch.device, repeats: int) -> float:
    times = [seconds(1, step, device) for _ in range(1 + repeats)]  # the first one warms up
    return operations / statistics.median(times[1:]) / 1e9


def count_flops(step: Step) -> int:
    """Count what convolutions and matrix products of a step compute."""
    with FlopCounterMode(display=False) as counter:
        # Its hooks on modules, which the total does without, do not bear autograd.grad.
        counter.mod_tracker.__exit__()
        step()
    return counter.get_total_flops()


def headings(columns: Columns) -> str:
    """Format the first line of a table."""
    return "  ".join(f"{heading:>{_width(heading)}}" for heading in columns)


def line(columns: Columns, row: dict) -> str:
    """Format one line of a table."""
    return "  ".join(f"{cell(row):>{_width(heading)}}" for heading, cell in columns.items())


def _width(heading: str) -> int:
    return max(8, len(heading))


def write_report(path: Path, before: dict[str, object], **content: object) -> None:
    """Write a JSON file: the machine before and after, and the content."""
    report = {"machine": before, "load_average_after": os.getloadavg(), **content}
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n")

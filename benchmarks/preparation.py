"""Speed and memory of preparing a data set of JPEG files, beside a bare loop with the same cores.

The bare loop opens, cuts and scales each file with Pillow and drops the result; it runs in one
process per core, which has been started before the clock is. Ours is the pipeline's own command
from start to end, with as many processes: it imports, lists and hashes the files, holds images out,
decodes, checks, scales, writes train.npy and brings it to the disk, hashes that and draws the
preview. `reading` is what its log says of the training images alone, without some half a second of
starting, listing and drawing; `its ratio` compares that rate. Repeats take turns; medians.
On a machine with other work, which takes cores from either side at random, `CPU ratio` says more:
it compares processor time, of all processes. Memory is the sum of our processes' peaks.

    python benchmarks/preparation.py --json preparation.json
    python benchmarks/preparation.py --pictures 20000 --resolution 128 --processes 2 --repeats 5
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from measure import (
    Columns,
    ended_cpu_seconds,
    headings,
    line,
    machine,
    peak_memories,
    write_report,
)
from PIL import Image
from processes import Processes

from rgi.command import run
from rgi.models import choose_device

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "workflow/scripts/prepare_dataset.py"
SIZE = 178, 218  # columns, rows: aligned CelebA
HELD_OUT = 10
Times = dict[str, float]
POLL_SECONDS = 0.05
COLUMNS: Columns = {
    "pictures": lambda row: f"{row['pictures']}",
    "processes": lambda row: f"{row['processes']}",
    "bare/s": lambda row: f"{row['bare']['images_per_second']:.0f}",
    "ours/s": lambda row: f"{row['ours']['images_per_second']:.0f}",
    "ratio": lambda row: f"{row['ratio']:.2f}",
    "CPU ratio": lambda row: f"{row['cpu_ratio']:.2f}",
    "reading/s": lambda row: f"{row['ours']['reading_per_second']:.0f}",
    "its ratio": lambda row: f"{row['reading_ratio']:.2f}",
    "MiB": lambda row: f"{row['ours']['peak_memory_mib']:.0f}",
}


def make_picture(folder: Path, number: int) -> None:
    """Save smooth noise as a JPEG file of some 10 kB, as a photograph of that size has."""
    coarse = np.random.default_rng(number).integers(0, 256, (28, 23, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
    picture.save(folder / f"{number:06}.jpg", quality=85)


def bare_loop(paths: list[Path], resolution: int) -> tuple[float, float, float]:
    """Decode, cut and scale; return when it began and ended, and its processor time."""
    began, processor = time.monotonic(), time.process_time()
    side = min(SIZE)
    top = (SIZE[1] - side) // 2
    for path in paths:
        square = Image.open(path).convert("RGB").crop((0, top, side, top + side))
        np.asarray(square.resize((resolution, resolution), Image.Resampling.LANCZOS))
    return began, time.monotonic(), time.process_time() - processor


def time_bare(paths: list[Path], resolution: int, processes: Processes) -> Times:
    """Share the files out among the processes; seconds are from the first start to the last end."""
    count = len(processes.executors)
    shares = [(paths[first::count], resolution) for first in range(count)]
    began, ended, processor = zip(*processes.each(bare_loop, shares), strict=True)
    return {"seconds": max(ended) - min(began), "cpu_seconds": sum(processor)}


def time_ours(folder: Path, resolution: int, processes: int) -> Times:
    """Run the pipeline's command; its times, the rate in its log, its peak memory."""
    settings = {"source": "folder", "path": str(folder), "resolution": resolution, "channels": 3}
    options = [
        "--settings",
        json.dumps(settings | {"test": HELD_OUT}),
        "--processes",
        str(processes),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as directory, Path(directory, "log").open("w+") as log:
        command = [sys.executable, SCRIPT, *options, "--directory", Path(directory, "out")]
        began, processor = time.monotonic(), ended_cpu_seconds()
        process = subprocess.Popen(command, stderr=log, env=environment)
        peaks: dict[int, float] = {}
        while process.poll() is None:
            peaks |= peak_memories(process.pid)
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - began
        log.seek(0)
        report = log.read()
    if process.returncode:
        sys.exit(report)
    return {
        "seconds": seconds,
        "cpu_seconds": ended_cpu_seconds() - processor,
        "reading_per_second": float(re.findall(r"(\d+) images/s", report)[-1]),
        "peak_memory_mib": sum(peaks.values()),
    }


def compare(folder: Path, paths: list[Path], resolution: int, count: int, repeats: int) -> dict:
    """Time both sides, taking turns; before them, a bare loop brings the files into memory."""
    bare, ours = [], []
    with Processes(count, 1) as processes:
        time_bare(paths, resolution, processes)
        for _ in range(repeats):
            bare.append(time_bare(paths, resolution, processes))
            ours.append(time_ours(folder, resolution, count))
    return {
        "pictures": len(paths),
        "processes": count,
        "ratio": ratio("seconds", bare, ours),
        "cpu_ratio": ratio("cpu_seconds", bare, ours),
        "reading_ratio": statistics.median(
            other["reading_per_second"] * one["seconds"] / len(paths)
            for one, other in zip(bare, ours, strict=True)
        ),
        "bare": summary(bare, len(paths)),
        "ours": summary(ours, len(paths))
        | {
            "reading_per_second": statistics.median(each["reading_per_second"] for each in ours),
            "peak_memory_mib": max(each["peak_memory_mib"] for each in ours),
        },
    }


def ratio(name: str, bare: list[Times], ours: list[Times]) -> float:
    """Median over the turns."""
    pairs = zip(bare, ours, strict=True)
    return statistics.median(one[name] / other[name] for one, other in pairs)


def summary(turns: list[Times], pictures: int) -> dict[str, object]:
    """The median rate and all times."""
    seconds = [each["seconds"] for each in turns]
    return {
        "images_per_second": pictures / statistics.median(seconds),
        "seconds": seconds,
        "cpu_seconds": [each["cpu_seconds"] for each in turns],
    }


def main(
    *,
    pictures: Annotated[int, typer.Option(min=2 * HELD_OUT, help="synthetic, 178 x 218")] = 20000,
    resolution: Annotated[int, typer.Option(min=1, help="to which they are scaled")] = 128,
    processes: Annotated[
        int | None, typer.Option(min=1, help="of either side; default: all cores")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="times of each side, taken in turns")] = 3,
    json_path: Annotated[Path | None, typer.Option("--json", help="also write this file")] = None,
) -> None:
    """Time the preparation of JPEG files beside a bare loop; images per second, ratio, memory."""
    processes = processes or len(os.sched_getaffinity(0))
    before = machine(choose_device("cpu"))
    print(json.dumps(before), headings(COLUMNS), sep="\n")
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(partial(make_picture, folder), range(pictures)))
        row = compare(folder, sorted(folder.iterdir()), resolution, processes, repeats)
    print(line(COLUMNS, row))
    if json_path is not None:
        options = {"resolution": resolution, "repeats": repeats}
        write_report(json_path, before, options=options, rows=[row])


if __name__ == "__main__":
    run(main)

"""What Snakemake itself costs: dry-runs of an experiment that grows, and jobs that do nothing.

A dry-run reads the config, builds the graph of all jobs and prints it; smaller shards make the same
experiment larger. It takes one core, and on a machine with other work the processor's seconds say
more than those of the clock. `growth` is the processor time per job, as a multiple of the first
line's: 1 means linear. Jobs that do nothing (`true`, one after the other) show what each job of a
real run costs beside its own command.

    python benchmarks/dag.py --json dag.json
    python benchmarks/dag.py --configfile experiments/paper.yaml --shard-size 10 --shard-size 1
"""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

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

from rgi.command import run
from rgi.models import choose_device

ROOT = Path(__file__).parent.parent
POLL_SECONDS = 0.05
NOTHING = """\
rule all:
    input:
        expand("done/{{number}}", number=range({count})),


rule nothing:
    output:
        touch("done/{{number}}"),
    shell:
        "true"
"""
COLUMNS: Columns = {
    "what": lambda row: row["what"],
    "jobs": lambda row: f"{row['jobs']}",
    "s": lambda row: f"{row['seconds']:.1f}",
    "CPU s": lambda row: f"{row['cpu_seconds']:.1f}",
    "CPU ms/job": lambda row: f"{1000 * row['cpu_seconds'] / row['jobs']:.2f}",
    "growth": lambda row: f"{row['growth']:.2f}",
    "MiB": lambda row: f"{row['peak_memory_mib']:.0f}",
    "load": lambda row: f"{row['load']:.1f}",
}


@dataclass(frozen=True)
class Taken:
    """What a run of Snakemake took, all of its processes together."""

    jobs: int
    seconds: float
    cpu_seconds: float
    peak_memory_mib: float  # the sum of its processes' peaks
    load: float  # of the machine, over the last minute


def snakemake(directory: Path, *arguments: str) -> Taken:
    """Run Snakemake and see what it took."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    output = directory / "output"
    began, processor = time.monotonic(), ended_cpu_seconds()
    peaks: dict[int, float] = {}
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
            cwd=directory,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            peaks |= peak_memories(process.pid)
            time.sleep(POLL_SECONDS)
    seconds, text = time.monotonic() - began, output.read_text()
    if process.returncode:
        sys.exit(text)
    (jobs,) = {int(count) for count in re.findall(r"^total\s+(\d+)$", text, re.M)}
    cpu_seconds = ended_cpu_seconds() - processor
    return Taken(jobs, seconds, cpu_seconds, sum(peaks.values()), os.getloadavg()[0])


def dry_run(configfiles: list[Path], shard_size: int) -> Taken:
    """Build the graph of an experiment of which nothing has been made."""
    with TemporaryDirectory() as folder:
        overlay = Path(folder, "shards.yaml")
        overlay.write_text(f"shard_size: {shard_size}\n")
        files = [str(path.resolve()) for path in (*configfiles, overlay)]
        options = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", *files]
        return snakemake(Path(folder), "--dry-run", "--quiet", "rules", *options)


def nothing(count: int) -> Taken:
    """Run jobs that do nothing, one after the other."""
    with TemporaryDirectory() as folder:
        Path(folder, "Snakefile").write_text(NOTHING.format(count=count))
        return snakemake(Path(folder), "--quiet", "rules")


def rows(what: str, found: list[Taken]) -> list[dict]:
    """Lines of the table, each beside the first."""
    each = [taken.cpu_seconds / taken.jobs for taken in found]
    return [
        {"what": what, **asdict(taken), "growth": one / each[0]}
        for taken, one in zip(found, each, strict=True)
    ]


def main(
    *,
    configfile: Annotated[
        list[Path] | None, typer.Option(help="of the experiment; default: that of the paper")
    ] = None,
    shard_size: Annotated[
        list[int] | None, typer.Option(min=1, help="images per job; default: 10 and 1")
    ] = None,
    nothings: Annotated[
        list[int] | None, typer.Option(min=1, help="jobs that do nothing; default: 100 and 1000")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="also write this file")] = None,
) -> None:
    """Time dry-runs and empty jobs: jobs, seconds, processor time per job, memory."""
    before = machine(choose_device("cpu"))
    print(json.dumps(before), headings(COLUMNS), sep="\n", flush=True)
    files = configfile or [ROOT / "experiments/paper.yaml"]
    found = rows("dry-run", [dry_run(files, size) for size in shard_size or (10, 1)])
    found += rows("empty", [nothing(count) for count in nothings or (100, 1000)])
    for row in found:
        print(line(COLUMNS, row))
    if json_path is not None:
        write_report(json_path, before, rows=found)


if __name__ == "__main__":
    run(main)

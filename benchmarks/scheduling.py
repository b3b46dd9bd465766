"""Simulate an experiment's GPU jobs on a cluster: how long, and how busy, by shard_size.

What each job computes is counted (rgi.planning), batches that are filled up with it. How fast a GPU
is comes from what benchmarks/inversion.py and benchmarks/training.py wrote on one (--inversion,
--training), or is assumed (--teraflops). A job holds its GPU for `overhead` seconds more: SLURM's
and Snakemake's start, Python's, the networks'. Snakemake submits one job after the other, at most
`in-flight` at a time, and sees at the next poll what has ended; a job that fails is submitted
again. SLURM starts jobs in their order. Jobs without a GPU are left out, and so is who else waits.

    python benchmarks/scheduling.py --figure scaling.png
    python benchmarks/scheduling.py --inversion inversion.json --training training.json
"""

import heapq
import statistics
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from math import ceil, inf
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import typer
from measure import Columns, headings, line, machine, write_report

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow"))

from config_reading import read_config  # noqa: E402
from experiment import Experiment  # noqa: E402

from rgi.command import run  # noqa: E402
from rgi.errors import InputError  # noqa: E402
from rgi.inversion.methods import configured  # noqa: E402
from rgi.models import choose_device  # noqa: E402
from rgi.planning import Rates, inversion_work, read_rates, training_work  # noqa: E402
from rgi.planning.rates import Rate  # noqa: E402
from rgi.reporting.style import figure_style  # noqa: E402
from rgi.training import read_training  # noqa: E402

SIZES = (1, 2, 4, 8, 10, 16, 20, 25, 32, 50, 100)
COLUMNS: Columns = {
    "TFLOP/s": lambda row: row["rate"],
    "shard_size": lambda row: f"{row['shard_size']}",
    "jobs": lambda row: f"{row['jobs']}",
    "median min": lambda row: f"{row['median_seconds'] / 60:.1f}",
    "longest h": lambda row: f"{row['longest_seconds'] / 3600:.1f}",
    "GPU-h": lambda row: f"{row['work'] / 3600:.0f}",
    "makespan h": lambda row: f"{row['makespan'] / 3600:.1f}",
    "busy": lambda row: f"{row['utilisation']:.0%}",
    "overhead": lambda row: f"{row['overhead'] / row['work']:.1%}",
    "lost": lambda row: f"{row['lost'] / row['work']:.1%}",
}


@dataclass(frozen=True)
class Job:
    """What a job computes, and the number of the job that it waits for, if it does."""

    seconds: float
    after: int | None = None


@dataclass(frozen=True)
class Cluster:
    """GPUs, each of which runs one job at a time, and Snakemake in front of them.

    Times are in seconds. `between_failures` is the mean time of a running job to a failure that
    loses all of its work; a job is tried again `retries` times.
    """

    gpus: int
    in_flight: int
    overhead: float = 0.0
    submission: float = 0.0
    poll: float = 0.0
    between_failures: float = inf
    retries: int = 0
    spread: float = 0.0  # standard deviation of log(a job's time); its mean stays


@dataclass(frozen=True)
class Outcome:
    """How it went: all in seconds, but for the number of jobs that failed for good."""

    makespan: float
    work: float  # of jobs that ended well, without overhead
    overhead: float  # of jobs that ended well
    lost: float  # on GPUs, to failures
    failed: int


class Simulation:
    """Events in the order of their times: a job is submitted, ends, and is seen to have ended."""

    def __init__(self, jobs: Sequence[Job], cluster: Cluster, seed: int) -> None:
        self.jobs, self.cluster = jobs, cluster
        self.random = np.random.default_rng(seed)
        self.seconds = [job.seconds * self._factor() for job in jobs]
        self.ready = deque(number for number, job in enumerate(jobs) if job.after is None)
        self.waiting: dict[int, list[int]] = {}
        for number, job in enumerate(jobs):
            if job.after is not None:
                self.waiting.setdefault(job.after, []).append(number)
        self.queue: deque[int] = deque()  # SLURM's
        self.free, self.in_flight, self.submitting = cluster.gpus, 0, False
        self.tries = [0] * len(jobs)
        self.events: list[tuple] = []
        self.order = count()  # of events at the same time
        self.work = self.overhead = self.lost = self.makespan = 0.0
        self.failed = 0

    def run(self) -> Outcome:
        """Go on until nothing happens any more."""
        self._submit(0.0)
        while self.events:
            now, _, happen, arguments = heapq.heappop(self.events)
            happen(now, *arguments)
        return Outcome(self.makespan, self.work, self.overhead, self.lost, self.failed)

    def _factor(self) -> float:
        spread = self.cluster.spread
        return float(np.exp(self.random.normal(-(spread**2) / 2, spread))) if spread else 1.0

    def _at(self, time: float, happen: object, *arguments: object) -> None:
        heapq.heappush(self.events, (time, next(self.order), happen, arguments))

    def _submit(self, now: float) -> None:
        if self.ready and not self.submitting and self.in_flight < self.cluster.in_flight:
            self.submitting = True
            self.in_flight += 1
            self._at(now + self.cluster.submission, self._submitted, self.ready.popleft())

    def _submitted(self, now: float, number: int) -> None:
        self.submitting = False
        self.queue.append(number)
        self._start(now)
        self._submit(now)

    def _start(self, now: float) -> None:
        while self.free and self.queue:
            number = self.queue.popleft()
            self.free -= 1
            self.tries[number] += 1
            whole = self.cluster.overhead + self.seconds[number]
            failure = inf
            if self.cluster.between_failures < inf:
                failure = self.random.exponential(self.cluster.between_failures)
            self._at(now + min(whole, failure), self._ended, number, failure < whole, failure)

    def _ended(self, now: float, number: int, has_failed: bool, after: float) -> None:
        self.free += 1
        self.makespan = now
        if has_failed:
            self.lost += after
        else:
            self.work += self.seconds[number]
            self.overhead += self.cluster.overhead
        self._start(now)
        poll = self.cluster.poll
        self._at(ceil(now / poll) * poll if poll else now, self._noticed, number, has_failed)

    def _noticed(self, now: float, number: int, has_failed: bool) -> None:
        self.in_flight -= 1
        if not has_failed:
            self.ready.extend(self.waiting.pop(number, ()))
        elif self.tries[number] <= self.cluster.retries:
            self.ready.append(number)
        else:
            self.failed += 1
        self._submit(now)


def simulate(jobs: Sequence[Job], cluster: Cluster, seed: int = 0) -> Outcome:
    """Run jobs on a cluster."""
    return Simulation(jobs, cluster, seed).run()


def no_work(cluster: Cluster) -> float:
    """The part of the GPUs' time that is no work, when each runs ten jobs of ten minutes."""
    found = simulate([Job(600)] * 10 * cluster.gpus, replace(cluster, spread=0))
    return 1 - found.work / (found.makespan * cluster.gpus)


def gpu_jobs(experiment: Experiment, rates: Rates, shard_size: int, trains: bool) -> list[Job]:
    """The inversions of an experiment, after the trainings of their generators where asked."""
    config, jobs = experiment.config, []
    generators: dict[str, int | None] = {}
    networks = {}
    for name in experiment.datasets():
        if experiment.imported(name) is not None:
            raise InputError(f"generators.{name}: is imported; only those trained here are counted")
        entry, source = config["generators"][name], config["datasets"][name]
        networks[name], settings = read_training(
            entry, resolution=source["resolution"], channels=source["channels"]
        )
        generators[name] = len(jobs) if trains else None
        if trains:
            work = training_work(networks[name], settings)
            jobs.append(Job(rates.estimate(work).hours * 3600))
    rows = dict.fromkeys(row for table in experiment.tables() for row in experiment.rows(table))
    for dataset, case, name in rows:
        method = experiment.methods[name]
        if method.family != "inversion":
            continue
        known = configured(method.preset, experiment.settings(case, name))
        lambdas = len(method.lams) if method.together else 1
        images = experiment.images(dataset, case)
        for first in range(0, images, shard_size):
            number = min(shard_size, images - first)
            work = inversion_work(known, networks[dataset], number, lambdas)
            job = Job(rates.estimate(work).hours * 3600, generators[dataset])
            jobs += [job] * (len(method.lams) // lambdas)
    return jobs


def assumed(teraflops: float) -> Rates:
    """A GPU that computes everything at one rate."""
    kinds = ("descent", "fine-tuning", "training")
    gflops = (1000 * teraflops,) * 3
    return Rates("assumed", "GPU", tuple(Rate(kind, 128, *gflops) for kind in kinds))


def row(rate: str, shard_size: int, jobs: list[Job], cluster: Cluster, repeats: int) -> dict:
    """One line of the table: means over seeds."""
    outcomes = [simulate(jobs, cluster, seed) for seed in range(repeats)]
    mean = {
        key: statistics.fmean(asdict(outcome)[key] for outcome in outcomes)
        for key in asdict(outcomes[0])
    }
    seconds = [job.seconds for job in jobs]
    return {
        "rate": rate,
        "shard_size": shard_size,
        "jobs": len(jobs),
        "median_seconds": statistics.median(seconds),
        "longest_seconds": max(seconds),
        "utilisation": mean["work"] / (mean["makespan"] * cluster.gpus),
        **mean,
    }


def draw(rows: list[dict], path: Path) -> None:
    """Makespan and how busy GPUs are against shard_size, a line for each rate."""
    with figure_style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
        for rate in dict.fromkeys(each["rate"] for each in rows):
            own = [each for each in rows if each["rate"] == rate]
            sizes = [each["shard_size"] for each in own]
            spans = np.array([each["makespan"] for each in own])
            left.plot(sizes, spans / spans.min(), "o-", label=f"{rate} TFLOP/s")
            right.plot(sizes, [100 * each["utilisation"] for each in own], "o-")
        ticks = sorted({each["shard_size"] for each in rows})
        for axis in (left, right):
            axis.set_xscale("log")
            axis.set_xticks(ticks, map(str, ticks))
            axis.minorticks_off()
            axis.set_xlabel("shard_size, images per job")
        left.set_ylabel("makespan, multiple of the shortest")
        right.set_ylabel("GPUs at work, %")
        left.legend()
        figure.savefig(path, dpi=110)
        plt.close(figure)


def main(
    *,
    configfile: Annotated[
        list[Path] | None, typer.Option(help="of the experiment; default: that of the paper")
    ] = None,
    shard_size: Annotated[list[int] | None, typer.Option(min=1, help="images per job")] = None,
    teraflops: Annotated[
        list[float] | None, typer.Option(min=0.001, help="assumed rate of a GPU; default: 2, 5, 15")
    ] = None,
    inversion: Annotated[
        Path | None, typer.Option(help="what benchmarks/inversion.py wrote with --json")
    ] = None,
    training: Annotated[
        Path | None, typer.Option(help="what benchmarks/training.py wrote with --json")
    ] = None,
    trains: Annotated[bool, typer.Option(help="begin with the generators' training")] = False,
    gpus: Annotated[int, typer.Option(min=1)] = 64,
    in_flight: Annotated[int, typer.Option(min=1, help="Snakemake's --jobs")] = 200,
    overhead: Annotated[float, typer.Option(min=0, help="seconds of a GPU per job")] = 25,
    submission: Annotated[float, typer.Option(min=0, help="seconds of Snakemake per job")] = 0.5,
    poll: Annotated[float, typer.Option(min=0, help="seconds between looks at the queue")] = 60,
    between_failures: Annotated[float, typer.Option(min=0.01, help="hours of a GPU")] = 500,
    retries: Annotated[int, typer.Option(min=0)] = 2,
    spread: Annotated[float, typer.Option(min=0, help="of the logarithm of a job's time")] = 0.2,
    repeats: Annotated[int, typer.Option(min=1, help="seeds; means are shown")] = 10,
    figure: Annotated[Path | None, typer.Option(help="also draw this PNG")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="also write this file")] = None,
) -> None:
    """Simulate a cluster: jobs, makespan, how busy its GPUs are, by images per job."""
    experiment = read_config(configfile or [ROOT / "experiments/paper.yaml"])
    if (inversion is None) != (training is None):
        raise InputError("--inversion and --training: both or none, measured on one machine")
    rates = {f"{rate:g}": assumed(rate) for rate in teraflops or (2, 5, 15)}
    if inversion is not None and training is not None:
        rates = {"measured": read_rates(inversion, training)}
    cluster = Cluster(
        gpus, in_flight, overhead, submission, poll, between_failures * 3600, retries, spread
    )
    print(f"{cluster}\n{no_work(cluster):.1%} of 10 rounds of 10-minute jobs is no work")
    print(headings(COLUMNS))
    found = []
    for name, rate in rates.items():
        for size in shard_size or SIZES:
            found.append(
                row(name, size, gpu_jobs(experiment, rate, size, trains), cluster, repeats)
            )
            print(line(COLUMNS, found[-1]), flush=True)
    if figure is not None:
        draw(found, figure)
    if json_path is not None:
        before = machine(choose_device("cpu"))
        write_report(json_path, before, cluster=asdict(cluster), rows=found)


if __name__ == "__main__":
    run(main)

"""The simulated cluster agrees with what can be computed by hand, and with Graham's bounds."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from scheduling import Cluster, Job, assumed, gpu_jobs, simulate  # noqa: E402

sys.path.insert(0, str(ROOT / "workflow"))

from config_reading import read_config  # noqa: E402

PAPER = ROOT / "experiments/paper.yaml"


@pytest.mark.parametrize("jobs", [1, 63, 64, 65, 640])
def test_equal_jobs_run_in_rounds(jobs):
    cluster = Cluster(gpus=64, in_flight=1000, overhead=25)
    found = simulate([Job(600)] * jobs, cluster)
    assert found.makespan == math.ceil(jobs / 64) * 625
    assert (found.work, found.overhead, found.lost, found.failed) == (jobs * 600, jobs * 25, 0, 0)


def test_no_more_run_than_may_be_in_flight():
    cluster = Cluster(gpus=64, in_flight=50)
    assert simulate([Job(600)] * 100, cluster).makespan == 2 * 600


def test_a_slow_submission_sets_the_pace_of_short_jobs():
    cluster = Cluster(gpus=64, in_flight=1000, submission=2)
    assert simulate([Job(10)] * 500, cluster).makespan == 500 * 2 + 10


def test_one_slot_waits_for_the_next_look_at_the_queue():
    cluster = Cluster(gpus=1, in_flight=1, poll=60)
    assert simulate([Job(61)] * 3, cluster).makespan == 120 + 120 + 61


def test_a_job_begins_after_the_one_it_waits_for():
    jobs = [Job(100), Job(10), Job(10, after=0), Job(10, after=2)]
    assert simulate(jobs, Cluster(gpus=8, in_flight=8)).makespan == 120


@pytest.mark.parametrize("seed", range(20))
def test_any_jobs_keep_the_bounds_of_list_scheduling(seed):
    """Graham 1969: sum/m and the longest from below, sum/m + (1 - 1/m) longest from above."""
    random = np.random.default_rng(seed)
    gpus = int(random.integers(1, 20))
    seconds = random.exponential(100, int(random.integers(1, 100)))
    makespan = simulate(list(map(Job, seconds)), Cluster(gpus, in_flight=1000)).makespan
    mean, longest = seconds.sum() / gpus, seconds.max()
    assert max(mean, longest) <= makespan * (1 + 1e-12)
    assert makespan <= (mean + (1 - 1 / gpus) * longest) * (1 + 1e-12)


def test_what_failures_cost_is_as_for_a_poisson_process():
    """A job of t seconds that begins anew takes (exp(rate t) - 1) / rate on average.

    The variance of a job's time is (exp(2 rate t) - 1 - 2 rate t exp(rate t)) / rate^2.
    """
    t, rate, jobs = 1000, 1 / 2000, 4000
    cluster = Cluster(gpus=1, in_flight=1, between_failures=1 / rate, retries=10**6)
    found = simulate([Job(t)] * jobs, cluster, seed=1)
    mean = math.expm1(rate * t) / rate
    variance = (math.exp(2 * rate * t) - 1 - 2 * rate * t * math.exp(rate * t)) / rate**2
    assert found.makespan / jobs == pytest.approx(mean, abs=4 * math.sqrt(variance / jobs))
    assert found.makespan == pytest.approx(found.work + found.lost)
    assert found.failed == 0


def test_a_job_fails_for_good_after_its_retries():
    cluster = Cluster(gpus=1, in_flight=1, between_failures=1e-6, retries=2)
    found = simulate([Job(10)] * 5, cluster)
    assert (found.failed, found.work) == (5, 0)


def test_the_spread_keeps_the_mean():
    found = simulate([Job(100)] * 20000, Cluster(gpus=1, in_flight=1, spread=0.3))
    error = 100 * math.sqrt(math.expm1(0.3**2) / 20000)
    assert found.work / 20000 == pytest.approx(100, abs=4 * error)


def test_the_paper_s_jobs_are_those_of_a_dry_run():
    """With 10 images a job: as `snakemake -n` lists them, less what needs no GPU."""
    experiment = read_config([PAPER])
    jobs = gpu_jobs(experiment, assumed(5), 10, trains=True)
    together = 120 + 120 + 170 + 170 + 40 + 40
    assert len(jobs) == 4 + together + 550
    assert {job.after for job in jobs} == {None, 0, 1, 2, 3}
    twice = gpu_jobs(experiment, assumed(10), 10, trains=True)
    assert sum(job.seconds for job in jobs) == pytest.approx(2 * sum(j.seconds for j in twice))

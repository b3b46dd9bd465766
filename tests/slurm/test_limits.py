"""On a real cluster: a job that is to make room goes back into the queue and on from there."""

import subprocess

import pytest
import runs
from long_job import JOB, LOG, assert_finished, prepare, start, wait_for_work

pytestmark = pytest.mark.slurm
PATIENCE = 900  # seconds until a run must have ended
FACTOR = 15  # some fifteen seconds of work: SLURM's scheduler takes a few to act


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A directory in which the job has run without a cluster."""
    directory = tmp_path_factory.mktemp("whole")
    prepare(directory, FACTOR)
    run = start(directory, "--cores", "1")
    said, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said
    return directory


def asked(*command):
    """What a command of SLURM's prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_warned_job_puts_itself_back_and_goes_on(cluster, whole, tmp_path):
    prepare(tmp_path, FACTOR)
    run = start(tmp_path, *runs.PROFILE, "--retries", "0")
    wait_for_work(run, tmp_path)
    (job,) = cluster.jobs()
    # What --signal=USR1@SECONDS does before the limit: all processes of the job's steps.
    asked("scancel", "--signal=USR1", job)
    said, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said
    assert "going on from there" in (tmp_path / LOG).read_text()
    assert_finished(tmp_path, whole)


def test_a_preempted_job_uses_its_grace_time_and_goes_on(cluster, whole, tmp_path):
    prepare(tmp_path, FACTOR)
    run = start(tmp_path, *runs.PROFILE, "--retries", "0")
    wait_for_work(run, tmp_path)
    asked("sbatch", "--partition=urgent", "--gpus=2", "--output=/dev/null", "--wrap=sleep 1")
    said, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said
    assert "going on from there" in (tmp_path / LOG).read_text()
    assert_finished(tmp_path, whole)


@pytest.mark.slow
def test_a_job_that_needs_more_than_its_time_limit_ends_finished(cluster, tmp_path):
    """The profile's warning comes two minutes before the limit of three, then again if needed."""
    whole, limited = tmp_path / "whole", tmp_path / "limited"
    prepare(whole, factor=40)
    said, _ = start(whole, "--cores", "1").communicate()
    assert (whole / JOB).exists(), said
    prepare(limited, factor=40)
    limit = ["--set-resources", "restore_all_lambdas_of_r-rgi:runtime=3"]
    run = start(limited, *runs.PROFILE, "--retries", "0", *limit)
    wait_for_work(run, limited, "going on from there")
    said, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said
    assert_finished(limited, whole)

"""On a real cluster: a job whose time is up goes back into the queue and on from there."""

import subprocess
import time

import pytest
from long_job import LOG, ROOT, assert_finished, prepare, start, wait_for_work

pytestmark = pytest.mark.slurm

PROFILE = [
    *("--profile", ROOT / "slurm"),
    *("--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "1"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A directory in which the job has run without a cluster."""
    directory = tmp_path_factory.mktemp("whole")
    prepare(directory)
    run = start(directory, "--cores", "1")
    said, _ = run.communicate()
    assert run.returncode == 0, said
    return directory


def asked(*command):
    """What a command of SLURM's prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def run_again_at_once(run, job):
    """A job that was put back would wait until its old credential is no longer valid: minutes."""
    while "Restarts=1" not in asked("scontrol", "show", "job", job) or "JobState=PENDING" not in (
        asked("scontrol", "show", "job", job)
    ):
        assert run.poll() is None, run.stdout.read()
        time.sleep(0.2)
    asked("scontrol", "update", f"JobId={job}", "StartTime=now")


def test_a_warned_job_puts_itself_back_and_goes_on(cluster, whole, tmp_path):
    prepare(tmp_path)
    run = start(tmp_path, *PROFILE, "--retries", "0")
    wait_for_work(run, tmp_path)
    (job,) = cluster.jobs()
    # What --signal=USR1@SECONDS does before the limit: all processes of the job's steps.
    asked("scancel", "--signal=USR1", job)
    run_again_at_once(run, job)
    said, _ = run.communicate()
    assert run.returncode == 0, said
    assert "going on from there" in (tmp_path / LOG).read_text()
    assert_finished(tmp_path, whole)


@pytest.mark.slow
def test_a_job_that_needs_more_than_its_time_limit_ends_finished(cluster, tmp_path):
    """The profile's warning comes two minutes before the limit of three, then again if needed."""
    whole, limited = tmp_path / "whole", tmp_path / "limited"
    prepare(whole, factor=40)
    assert start(whole, "--cores", "1").wait() == 0
    prepare(limited, factor=40)
    limit = ["--set-resources", "restore_all_lambdas_of_r-rgi:runtime=3"]
    run = start(limited, *PROFILE, "--retries", "0", *limit)
    wait_for_work(run, limited)
    (job,) = cluster.jobs()
    run_again_at_once(run, job)
    wait_for_work(run, limited, "going on from there")
    while run.poll() is None:  # it may be put back more than once
        if "JobState=PENDING" in asked("scontrol", "show", "job", job):
            asked("scontrol", "update", f"JobId={job}", "StartTime=now")
        time.sleep(1)
    assert run.returncode == 0, run.stdout.read()
    assert_finished(limited, whole)

"""A job of Snakemake's whose processes are all told to end, as SLURM tells them, goes on later."""

import os
import signal

import pytest
from long_job import JOB, LOG, assert_finished, prepare, start, wait_for_work


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed")
    prepare(directory)
    run = start(directory, "--cores", "1")
    said, _ = run.communicate()
    assert run.returncode == 0, said
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on_when_it_is_started_again(number, undisturbed, tmp_path):
    prepare(tmp_path)
    run = start(tmp_path, "--cores", "1")
    wait_for_work(run, tmp_path)
    os.killpg(run.pid, number)
    said, _ = run.communicate()
    assert run.returncode != 0, said
    assert "not finished: " in (tmp_path / LOG).read_text()
    assert not (tmp_path / JOB).exists()
    again = start(tmp_path, "--cores", "1")
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert "going on from there" in (tmp_path / LOG).read_text()
    assert_finished(tmp_path, undisturbed)


def test_a_warning_ends_the_job_alone_and_a_retry_goes_on(undisturbed, tmp_path):
    prepare(tmp_path)
    run = start(tmp_path, "--cores", "1", "--retries", "1")
    wait_for_work(run, tmp_path)
    os.killpg(run.pid, signal.SIGUSR1)
    said, _ = run.communicate()
    assert run.returncode == 0, said
    assert "Trying to restart job" in said
    assert "going on from there" in (tmp_path / LOG).read_text()
    assert_finished(tmp_path, undisturbed)

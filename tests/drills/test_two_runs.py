"""Two runs in one folder, and runs that were killed: the second one says what to do."""

import fcntl
import os
import re
import signal
import time
from pathlib import Path

import drill
import pytest


def wait_for(path, process):
    """Wait until a job of a run has begun."""
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def test_an_experiment_of_make_keeps_snakemake_out(selected, copy):
    """As the Makefile does it, with flock; Snakemake's own lock knows nothing of that."""
    directory = copy(selected)
    drill.forget(directory, drill.SELECTION)
    with (directory / ".snakemake/demo.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        output = drill.failing(directory, drill.SELECTION)
    assert f"error: {directory}: another experiment is at work here (make or snakemake)" in output
    assert "wait for it or stop it, or work in another folder: snakemake --directory" in output
    assert not (directory / drill.SELECTION).exists()
    drill.snakemake(directory, drill.SELECTION)


@pytest.mark.slow
def test_of_two_snakemakes_the_second_says_what_to_do(undisturbed, tmp_path):
    first = drill.begin(tmp_path)
    wait_for(tmp_path / "results/logs/generator/digits.log", first)
    second = drill.failing(tmp_path)
    assert "no other Snakemake process" in second and "--unlock" in second
    # Who removes the lock of a living run, as that text may suggest, is kept out all the same.
    drill.snakemake(tmp_path, "--unlock")
    assert "another experiment is at work here" in drill.failing(tmp_path)
    output = first.communicate()[0]
    assert first.returncode == 0, output
    drill.check_tables(tmp_path, undisturbed)


@pytest.mark.slow
def test_after_a_kill_of_snakemake_alone_the_lock_says_what_to_do(undisturbed, tmp_path):
    """Its job goes on as an orphan while the next run does the same work."""
    killed = drill.begin(tmp_path)
    wait_for(tmp_path / "results/logs/generator/digits.log", killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert "--unlock" in drill.failing(tmp_path)
    drill.snakemake(tmp_path, "--unlock")
    drill.snakemake(tmp_path)
    drill.check_tables(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train_generator", "restore_inversion", "score_restorations"])
def test_a_killed_job_is_done_again_by_the_next_run(undisturbed, tmp_path, script):
    run = drill.begin(tmp_path)
    job = None
    while job is None:
        assert run.poll() is None, run.communicate()[0]
        job = process_of(tmp_path, script)
        time.sleep(0.02)
    os.kill(job, signal.SIGKILL)
    output = run.communicate()[0]
    assert run.returncode == 1
    assert re.search("SIGKILL|exit status 137", output)  # of the script or of its shell
    drill.snakemake(tmp_path)
    drill.check_tables(tmp_path, undisturbed)


def process_of(directory, script):
    """The process of a script that works in a directory; none but one's own is found by that."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            here = (entry / "cwd").samefile(directory)
        except OSError:  # it has ended, or is not one's own
            continue
        if here and len(words) > 1 and words[1].endswith(f"/{script}.py".encode()):
            return int(entry.name)
    return None

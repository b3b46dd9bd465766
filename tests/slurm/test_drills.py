"""What clusters do to runs: each drill ends in the tables of an undisturbed run."""

import re
import signal
import subprocess
import time

import pytest
import runs

pytestmark = pytest.mark.slurm
PATIENCE = 300  # seconds until a job must run


def running_job(cluster, run, rule):
    """The number of a running job of a rule, once there is one."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert run.poll() is None, f"the run ended before a job of {rule} was seen"
        for number, comment in cluster.jobs().items():
            if comment.startswith(f"rule_{rule}_"):
                return number
        time.sleep(0.1)
    raise AssertionError(f"no job of {rule} within {PATIENCE} s")


def finish(run, directory):
    """Wait for the end of a run that must succeed; what it has said."""
    try:
        status = run.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        run.kill()
        raise
    said = (directory / "run.log").read_text()
    assert status == 0, said[-8000:]
    return said


def test_a_cancelled_gpu_job_is_run_again_with_more_memory_and_time(
    cluster, undisturbed, tmp_path, monkeypatch
):
    monkeypatch.setenv("RGI_TEST_TOKEN", "not to be seen")
    run = runs.start(tmp_path, *runs.PROFILE)
    number = running_job(cluster, run, "restore_inversion")
    subprocess.run(["scancel", number], check=True)
    said = finish(run, tmp_path)
    error = said[said.index(f"SLURM-job '{number}' failed, SLURM status is: 'CANCELLED'") :]
    log = re.search(r"results/logs/slurm/rule_restore_inversion/\S+/" + number + r"\.log", error)
    assert log and (tmp_path / log[0]).exists()  # the message leads to it in one step
    assert "Trying to restart job" in error
    asked = re.findall(r"rule restore_inversion:.*?mem_mb=(\d+).*?runtime=(\d+)", said, re.DOTALL)
    first = asked[0]
    assert any(int(m) > int(first[0]) and int(t) == 2 * int(first[1]) for m, t in asked)
    logs = [*tmp_path.rglob("*.log"), tmp_path / "reports/report.html"]
    assert not [path for path in logs if "not to be seen" in path.read_text(errors="replace")]
    runs.assert_same_tables(tmp_path, undisturbed)


def test_jobs_outlive_a_killed_controller(cluster, undisturbed, tmp_path):
    run = runs.start(tmp_path, *runs.PROFILE)
    number = running_job(cluster, run, "generator")
    cluster.await_saved_state()  # SLURM itself forgets what it has not saved
    assert number in cluster.jobs()
    cluster.kill_controller()
    time.sleep(5)
    cluster.start_controller()
    cluster.register_node()
    said = finish(run, tmp_path)
    assert f"SLURM-job '{number}' failed" not in said
    runs.assert_same_tables(tmp_path, undisturbed)


def test_after_a_killed_snakemake_the_same_command_goes_on(cluster, undisturbed, tmp_path):
    run = runs.start(tmp_path, *runs.PROFILE)
    running_job(cluster, run, "restore_inversion")
    trained = (tmp_path / "results/generators/digits/generator.pt").stat().st_mtime_ns
    run.send_signal(signal.SIGKILL)
    run.wait()
    said = runs.run(tmp_path, *runs.PROFILE, check=False)
    assert "--unlock" in said  # the message says what to do
    while cluster.jobs("PENDING,RUNNING,COMPLETING"):  # as it also says: none may be at work
        time.sleep(0.5)
    runs.run(tmp_path, *runs.PROFILE, "--unlock")
    runs.run(tmp_path, *runs.PROFILE)
    assert (tmp_path / "results/generators/digits/generator.pt").stat().st_mtime_ns == trained
    runs.assert_same_tables(tmp_path, undisturbed)

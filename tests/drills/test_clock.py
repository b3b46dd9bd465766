"""The clock jumps: results with a time to come, and results of the far past."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import drill
import pytest

sys.path.insert(0, str(drill.ROOT / "workflow"))

from working_directory import check_times  # noqa: E402


def set_times(directory, moment):
    for name in ("results", ".snakemake"):
        for path in (directory / name).rglob("*"):
            os.utime(path, (moment, moment))


def test_results_of_the_future_are_refused_with_the_remedy(selected, copy):
    """Snakemake alone would do each job that reads them, and throw its result away."""
    directory = copy(selected)
    set_times(directory, time.time() + 3 * 3600)
    drill.forget(directory, drill.SELECTION)
    output = drill.failing(directory, drill.SELECTION)
    assert re.search(r"error: results/\S+: written 10\d{3} seconds in the future", output)
    assert "rule selection:" not in output
    remedy = re.search(r"times of these files: (find .*)", output)[1]
    subprocess.run(remedy, shell=True, cwd=directory, check=True)
    output = drill.snakemake(directory, drill.SELECTION)
    assert "rule scores:" not in output  # nothing is made again but what is missing
    expected = (selected / drill.SELECTION).read_text()
    assert (directory / drill.SELECTION).read_text() == expected
    assert "Nothing to be done" in drill.snakemake(directory, drill.SELECTION, "-n")


def test_results_of_the_far_past_end_in_the_same_numbers_and_come_to_rest(selected, copy):
    """As on a machine that starts in 1970 until it has asked for the time."""
    directory = copy(selected)
    set_times(directory, 86400)
    drill.forget(directory, drill.SELECTION)
    drill.snakemake(directory, drill.SELECTION)
    expected = (selected / drill.SELECTION).read_text()
    assert (directory / drill.SELECTION).read_text() == expected
    assert "Nothing to be done" in drill.snakemake(directory, drill.SELECTION, "-n")


def test_a_difference_of_seconds_between_two_machines_is_let_pass(selected, copy):
    directory = copy(selected)
    path = directory / "results/scores/digits/block/median.csv"
    os.utime(path, (time.time() + 5, time.time() + 5))
    drill.forget(directory, drill.SELECTION)
    time.sleep(5)
    drill.snakemake(directory, drill.SELECTION)
    expected = (selected / drill.SELECTION).read_text()
    assert (directory / drill.SELECTION).read_text() == expected


def test_a_file_that_goes_while_times_are_read_is_no_fault(tmp_path, monkeypatch):
    """As those of a job that outlived its snakemake do."""
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: [self / ".0.partial.npz"])
    monkeypatch.chdir(tmp_path)
    check_times()


@pytest.mark.slow
def test_a_whole_experiment_of_the_far_past_ends_in_the_same_tables(undisturbed, copy):
    directory = copy(undisturbed)
    set_times(directory, 86400)
    drill.forget(directory, "reports", "results/scores/digits/block/rgi.csv")
    drill.snakemake(directory)
    drill.check_tables(directory, undisturbed)

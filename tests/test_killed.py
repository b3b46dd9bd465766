"""kill -9 of everything, again and again: the tables end as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
TABLES = ("inpainting", "simulation", "lambda-sensitivity", "cost")


def start(directory):
    """The tiny experiment as a session of its own; --nolock as in the Makefile."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--nolock"]
    return subprocess.Popen(
        [*command, "--cores", "2", "--configfile", ROOT / "tests/tiny.yaml"],
        cwd=directory,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def tables(directory):
    found = {name: pd.read_csv(directory / f"reports/tables/{name}.csv") for name in TABLES}
    cost = found["cost"]
    found["cost"] = cost[cost["metric"] != "seconds"]  # a measured time is never the same
    return found


@pytest.mark.slow
def test_tables_are_the_same_after_five_kills(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert start(whole).wait() == 0
    moment = random.Random(0)
    for _ in range(5):
        run = start(killed)
        time.sleep(moment.uniform(4, 25))
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert start(killed).wait() == 0
    expected, found = tables(whole), tables(killed)
    for name in TABLES:
        pd.testing.assert_frame_equal(found[name], expected[name], check_exact=True)
    assert not list(killed.rglob("*.partial*"))

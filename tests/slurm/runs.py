"""Runs of the small experiment, on the test cluster and without it, and their tables."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent.parent
SMALL = [ROOT / "tests/tiny.yaml", ROOT / "tests/slurm/small.yaml"]
# The profile as it is, but looking often, since jobs take seconds here.
PROFILE = [
    *("--profile", ROOT / "slurm"),
    *("--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "1"),
]
MEASURED = ("seconds", "cost")  # differ from run to run


def start(directory, *arguments) -> subprocess.Popen:
    """Start snakemake on the small experiment; what it says goes to run.log."""
    directory.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    command = ["setpriv", "--pdeathsig", "KILL"]  # whatever ends the tests also ends the run
    command += [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += [*arguments, "--configfile", *SMALL]
    with (directory / "run.log").open("ab") as log:
        return subprocess.Popen(
            list(map(str, command)), cwd=directory, stdout=log, stderr=log, env=environment
        )


def run(directory, *arguments, check=True) -> str:
    """Run snakemake on the small experiment to its end; all that it has said in this directory."""
    status = start(directory, *arguments).wait()
    said = (directory / "run.log").read_text()
    assert status == 0 or not check, said[-8000:]
    return said


def tables(directory) -> dict[str, pd.DataFrame]:
    """Every table as text, digit by digit, without what is a measured time."""
    found = {}
    for path in sorted((directory / "reports/tables").glob("*.csv")):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        if path.stem not in MEASURED:
            found[path.stem] = table[~table["metric"].isin(MEASURED)].reset_index(drop=True)
    return found


def assert_same_tables(one, other) -> None:
    """Fail unless two runs printed the same tables to the last digit."""
    one, other = tables(one), tables(other)
    assert set(one) == set(other) >= {"inpainting", "anomaly-detection", "simulation"}
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, other[name])

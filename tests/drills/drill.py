"""What the fault drills share: an experiment of a minute, its tables, and ways to spoil it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent.parent
DRILL = ROOT / "tests/drills/drill.yaml"
TABLES = ("inpainting", "anomaly-detection", "lambda-sensitivity", "cost")
# What needs no network: seconds, where the whole takes a minute.
SELECTION = "results/selection/digits/block/median.csv"


def begin(directory, *arguments):
    """Start snakemake as a user would, as a session of its own; no job sees a GPU.

    All tables are made, if no target is among the arguments; figures and report would double the
    time.
    """
    named = any(str(word).startswith(("results/", "reports/")) for word in arguments)
    targets = [] if named else [f"reports/tables/{name}.csv" for name in TABLES]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    return subprocess.Popen(
        [*command, *targets, "--cores", "1", *map(str, arguments), "--configfile", DRILL],
        cwd=directory,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def snakemake(directory, *arguments):
    """Run it to its end; its output."""
    run = begin(directory, *arguments)
    output = run.communicate()[0]
    assert run.returncode == 0, output
    return output


def failing(directory, *arguments):
    """Run what must fail; its output."""
    run = begin(directory, *arguments)
    output = run.communicate()[0]
    assert run.returncode == 1, output
    return output


def tables(directory):
    """All tables of an experiment; a measured time is never the same, hence without seconds."""
    found = {name: pd.read_csv(directory / f"reports/tables/{name}.csv") for name in TABLES}
    found["cost"] = found["cost"].query("metric != 'seconds'")
    return found


def check_tables(directory, expected):
    """The tables are those of the undisturbed run, and nothing is left half-written."""
    found = tables(directory)
    for name in TABLES:
        pd.testing.assert_frame_equal(found[name], tables(expected)[name], check_exact=True)
    assert not list(directory.rglob("*.partial*"))


def forget(directory, *names):
    """Take away results, so that what they are made of is read again."""
    for name in names:
        path = directory / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def flip(path):
    """Turn one bit of a file over, as a failing disk does: its length and time stay."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) * 3 // 5] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(path):
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

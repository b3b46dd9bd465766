"""The benchmark's report: its shape, and that both sides compute the same thing. Never a time."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from rgi.errors import InputError

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SIDE = {
    "seconds",
    "image_steps_per_second",
    "gflop_per_image_step",
    "gflop_per_second",
    "of_matrix_product",
    "of_convolution",
    "peak_memory_mib",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "report.json"
    small = "--resolution 8 --images 1 --lambdas 2 --steps 2 --batch 2 --repeats 1 --jobs 1"
    command = [sys.executable, BENCHMARKS / "inversion.py", *small.split(), "--loop-threads", "1"]
    done = subprocess.run([*command, "--json", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6  # headings, one line per method
    return json.loads(path.read_text())


def test_a_method_without_lambda_takes_one(report):
    cases = [(row["method"], row["lambdas"]) for row in report["rows"]]
    many = [("rgi", 2), ("rgi-profile", 2), ("r-rgi-fine-tuning", 2)]
    assert cases == [("l2", 1), *many, ("pan", 1)]


def test_each_row_describes_both_sides(report):
    assert {"cpu", "cores", "torch", "load_average"} <= report["machine"].keys()
    for row in report["rows"]:
        for side in ("loop", "ours"):
            assert set(row[side]) == SIDE
            assert all(value > 0 for value in row[side]["seconds"])
        # The loop also computes gradients that it never uses.
        loop, ours = (row[side]["gflop_per_image_step"] for side in ("loop", "ours"))
        assert 0 < 0.9 * ours < loop


def test_both_sides_reach_the_same_objective_up_to_rounding(report):
    for row in report["rows"]:
        if row["method"] != "rgi-profile":
            assert abs(row["objective_difference"]) < 1e-5


@pytest.mark.parametrize("option", [{"method": ["7"]}, {"resolution": [7]}])
def test_an_unknown_choice_is_named(option, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    with pytest.raises(InputError, match=f"--{next(iter(option))} 7: allowed: "):
        import_module("inversion").main(**option)

"""The benchmark's report: its shape, and that both sides compute the same thing. Never a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "inversion.py"
METHODS = ["l2", "rgi", "r-rgi-fine-tuning", "pan"]
SIDE = {
    "seconds",
    "image_steps_per_second",
    "gflop_per_image_step",
    "gflops",
    "product_gflops",
    "fraction_of_product",
    "peak_mib",
}


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "report.json"
    done = run("--quick", "--lambdas", 1, "--lambdas", 2, "--loop-threads", 1, "--json", path)
    assert done.returncode == 0, done.stderr
    assert "speedup" in done.stdout
    return json.loads(path.read_text())


def test_one_row_per_method_and_number_of_lambdas_where_it_has_lambdas(report):
    cases = [(row["method"], row["lambdas"]) for row in report["rows"]]
    assert cases == [
        ("l2", 1),
        ("rgi", 1),
        ("rgi", 2),
        *[(METHODS[2], n) for n in (1, 2)],
        ("pan", 1),
    ]


def test_each_row_describes_both_sides(report):
    for row in report["rows"]:
        for side in ("loop", "ours"):
            assert set(row[side]) == SIDE
            assert all(value > 0 for value in row[side]["seconds"])
            assert row[side]["gflop_per_image_step"] > 0
        # The loop also computes gradients that it never uses.
        assert row["loop"]["gflop_per_image_step"] > 0.9 * row["ours"]["gflop_per_image_step"]
    assert {"torch", "cores", "load_before", "load_after", "jobs"} <= set(report["environment"])


def test_both_sides_reach_the_same_objective_up_to_rounding(report):
    assert all(row["objective_difference"] < 1e-4 for row in report["rows"])


@pytest.mark.parametrize("option", ["--method", "--resolution"])
def test_an_unknown_choice_is_named_in_one_line(option):
    done = run(option, "7")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {option} 7: allowed: ")

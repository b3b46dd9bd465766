"""The benchmarks run, and write what they promise; how fast anything was is no test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(name, *arguments):
    command = [sys.executable, BENCHMARKS / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_benchmark_of_training_writes_a_table_and_json(tmp_path):
    options = ["--resolution", 8, "--resolution", 16, "--width", 0.05, "--batch", 4]
    options += ["--steps", 1, "--repeats", 2, "--device", "cpu"]
    done = run("training.py", *options, "--json", tmp_path / "training.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "training.json").read_text())
    assert {"cpu", "cores", "gpu", "torch", "threads", "load_average"} <= found["machine"].keys()
    assert found["matrix_product_gflop_per_second"] > 0
    assert [row["resolution"] for row in found["rows"]] == [8, 16]
    for row in found["rows"]:
        assert row["ratio"] > 0
        assert row["peak_memory_mib"] > 0
        for side in ("plain", "own"):
            assert len(row[side]["seconds_per_step"]) == 2
            assert row[side]["images_per_second"] > 0
            assert row[side]["of_matrix_product"] > 0
        assert row["own"]["gflop_per_step"] < row["plain"]["gflop_per_step"]
    table = [line.split() for line in done.stdout.splitlines()[-2:]]
    assert [line[0] for line in table] == ["8", "16"]


@pytest.mark.parametrize("option", [("--resolution", 20), ("--batch", 6), ("--precision", "half")])
def test_a_wrong_option_of_the_benchmark_is_named(option):
    done = run("training.py", *option, "--device", "cpu")
    assert done.returncode == 1
    assert str(option[1]) in done.stderr.splitlines()[-1]


def test_the_benchmark_of_preparation_writes_a_table_and_json(tmp_path):
    options = ["--pictures", 60, "--resolution", 16, "--processes", 2, "--repeats", 2]
    done = run("preparation.py", *options, "--json", tmp_path / "preparation.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "preparation.json").read_text())
    assert {"cpu", "cores", "load_average"} <= found["machine"].keys()
    (row,) = found["rows"]
    assert (row["pictures"], row["processes"]) == (60, 2)
    assert row["ratio"] > 0 and row["cpu_ratio"] > 0 and row["reading_ratio"] > 0
    for side in ("bare", "ours"):
        assert len(row[side]["seconds"]) == len(row[side]["cpu_seconds"]) == 2
        assert row[side]["images_per_second"] > 0
    assert row["ours"]["reading_per_second"] > 0
    assert 20 < row["ours"]["peak_memory_mib"] < 1024
    assert done.stdout.splitlines()[-1].split()[:2] == ["60", "2"]


def test_the_benchmark_of_snakemake_counts_jobs_and_what_they_took(tmp_path):
    options = ["--configfile", BENCHMARKS.parent / "tests/tiny.yaml", "--shard-size", 4]
    done = run("dag.py", *options, "--nothings", 3, "--json", tmp_path / "dag.json")
    assert done.returncode == 0, done.stderr
    dry, empty = json.loads((tmp_path / "dag.json").read_text())["rows"]
    assert (empty["what"], empty["jobs"]) == ("empty", 4)  # with rule all
    assert dry["jobs"] > 40 and dry["growth"] == empty["growth"] == 1
    for row in (dry, empty):
        assert row["cpu_seconds"] > 0 and row["seconds"] > 0
        assert 20 < row["peak_memory_mib"] < 1024

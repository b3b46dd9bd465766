"""`make plan`: the jobs of a dry run, the operations of its networks, a table and a CSV."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from test_planning import INVERSION, TRAINING
from test_workflow import TINY, jobs, snakemake

ROOT = Path(__file__).parent.parent


@pytest.fixture
def reports(tmp_path):
    """Files of both benchmarks, of a machine that is known."""
    paths = tmp_path / "inversion.json", tmp_path / "training.json"
    for path, report in zip(paths, (INVERSION, TRAINING), strict=True):
        path.write_text(json.dumps(report))
    return paths


def plan(directory, *arguments, check=True):
    """Run the script in a directory; what it prints."""
    command = [sys.executable, ROOT / "workflow/plan.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout + done.stderr


def test_the_bill_has_the_jobs_of_a_dry_run_and_adds_up(tmp_path, reports):
    shown = plan(
        tmp_path, "--configfile", TINY, "--inversion", reports[0], "--training", reports[1]
    )
    table = pd.read_csv(tmp_path / "reports/plan.csv").set_index("rule")
    expected = jobs(snakemake(tmp_path, "--configfile", TINY, "-n"))
    # Jobs of a grid have a name with a dash, which the expression for names leaves out.
    assert {rule: table["jobs"][rule] for rule in expected} == expected
    rules = table.drop("total")
    assert rules["jobs"].sum() == expected["total"]
    assert rules["core_hours"].sum() == pytest.approx(table["core_hours"]["total"])
    assert set(table.index[table["core_hours"].isna()]).isdisjoint({"generator", "total"})
    assert "Some CPU; hours are of one core" in shown
    assert "time not estimated" in table["note"]["scores"]


def test_the_sizes_are_those_of_the_files(tmp_path, reports):
    plan(tmp_path, "--configfile", TINY, "--inversion", reports[0], "--training", reports[1])
    table = pd.read_csv(tmp_path / "reports/plan.csv").set_index("rule")
    targets = ["results/cases/digits/block.npz", "results/generators/digits/generator.pt"]
    snakemake(tmp_path, *targets, "--configfile", TINY)
    arrays = list((tmp_path / "results/datasets").glob("*/t*.npy"))
    written = sum(path.stat().st_size - 128 for path in arrays)  # numpy's header
    assert written == table["bytes"]["dataset"]
    networks = tmp_path / "results/generators/digits"
    names = ("generator.pt", "discriminator.pt", "checkpoint.pt")
    written = sum((networks / name).stat().st_size for name in names)
    planned = table["bytes"]["generator"]
    assert planned <= written < planned + 150_000


def test_what_is_done_is_not_on_the_bill(tmp_path, reports):
    snakemake(tmp_path, "results/datasets/digits/train.npy", "--configfile", TINY)
    options = ("--inversion", reports[0], "--training", reports[1])
    plan(tmp_path, "--configfile", TINY, *options)
    table = pd.read_csv(tmp_path / "reports/plan.csv").set_index("rule")
    assert "dataset" not in table.index


def test_an_experiment_without_its_data_is_planned(tmp_path, reports):
    overlay = ROOT / "experiments/paper.yaml"
    options = ("--inversion", reports[0], "--training", reports[1])
    plan(tmp_path, "--configfile", overlay, *options)
    table = pd.read_csv(tmp_path / "reports/plan.csv").set_index("rule")
    config = yaml.safe_load(overlay.read_text())
    assert table["jobs"]["generator"] == len(config["datasets"])
    assert table["jobs"]["archive"] > 0
    assert not list(tmp_path.glob("results/*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--configfile", "nowhere.yaml"), "error: --configfile nowhere.yaml: no such file"),
        (("--inversion", "one.json"), "error: --inversion and --training: both or none"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, options, message):
    assert message in plan(tmp_path, *options, check=False).splitlines()[-1]


def test_a_generator_that_is_not_here_yet_is_left_out_and_said(tmp_path, reports):
    content = yaml.safe_load(TINY.read_text())
    content["generators"]["faces"] = {
        "import": {"format": "rgi", "url": "https://example.org/g.pt", "sha256": "0" * 64}
    }
    content["datasets"]["faces"] = {"source": "digits", "resolution": 8, "test": 4}
    table = {"datasets": ["faces"], "cases": ["block"], "methods": ["l2"]}
    content["tables"] = {"inpainting": table, "anomaly-detection": None, "simulation": None}
    path = tmp_path / "faces.yaml"
    path.write_text(yaml.safe_dump(content))
    options = ("--inversion", reports[0], "--training", reports[1])
    plan(tmp_path, "--configfile", path, *options)
    table = pd.read_csv(tmp_path / "reports/plan.csv").set_index("rule")
    assert "is not here yet: its architecture is unknown" in table["note"]["restore_inversion"]


@pytest.mark.slow
def test_without_files_this_machine_is_measured(tmp_path):
    shown = plan(tmp_path, "--configfile", TINY)
    assert "this machine, measured just now and briefly" in shown
    table = pd.read_csv(tmp_path / "reports/plan.csv").set_index("rule")
    assert table["core_hours"]["total"] > 0

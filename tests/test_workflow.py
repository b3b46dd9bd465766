"""The whole line on a tiny experiment: from source to report, through snakemake itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from rgi.inversion.methods import INVERSION_VERSION

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests/tiny.yaml"
TOKEN = "s3cret-0f-the-3nvironment"


def snakemake(directory, *arguments, root=ROOT, check=True):
    """Run snakemake in a directory as a user would; its output as text."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "HUB_TOKEN": TOKEN}
    command = [sys.executable, "-m", "snakemake", "--snakefile", root / "Snakefile"]
    done = subprocess.run(
        [*command, "--cores", "1", *map(str, arguments)],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0 or not check, output
    return output


def jobs(output):
    """How many jobs of each rule a dry-run would start."""
    return {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", output, re.M)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A directory in which the tiny experiment has run."""
    directory = tmp_path_factory.mktemp("tiny")
    snakemake(directory, "--configfile", TINY)
    return directory


@pytest.fixture(scope="module")
def configured():
    overlay = yaml.safe_load(TINY.read_text())
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    tables = {name: config["tables"][name] | table for name, table in overlay["tables"].items()}
    return overlay | {"methods": config["methods"], "tables": tables}


def changed(tmp_path, change):
    """The tiny overlay with a change, as a file."""
    overlay = yaml.safe_load(TINY.read_text())
    change(overlay)
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(overlay))
    return path


def copied(root):
    """A copy of the project without what it has made."""
    ignored = shutil.ignore_patterns(".git", ".venv", "results", "reports", ".snakemake", "tests")
    return shutil.copytree(ROOT, root, ignore=ignored)


def test_every_artifact_is_there(finished):
    for name in ("inpainting", "anomaly-detection", "simulation", "cost", "lambda-sensitivity"):
        for suffix in ("csv", "md", "tex"):
            assert (finished / f"reports/tables/{name}.{suffix}").stat().st_size
    drawn = ["restorations", "simulation", "lambda-sensitivity"]
    for name in [*drawn, "detections", "detection-curves", "dice-by-defect"]:
        for suffix in ("png", "pdf"):
            assert (finished / f"reports/figures/{name}.{suffix}").stat().st_size
    assert "<html" in (finished / "reports/report.html").read_text()
    for method in ("median", "rgi"):
        table = pd.read_csv(finished / f"results/defects/digits/block/{method}.csv")
        assert {"index", "area", "length", "width"} < set(table.columns)


def test_no_file_holds_what_the_environment_does(finished):
    """Logs and reports are sent to others, and so may be Snakemake's own records."""
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert {"results", "reports", ".snakemake"} <= {p.relative_to(finished).parts[0] for p in files}
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_every_method_of_the_config_keeps_the_contract(finished, configured):
    case = np.load(finished / "results/cases/digits/block.npz", allow_pickle=False)
    tables = [configured["tables"][name] for name in ("inpainting", "anomaly-detection")]
    for method in {method for table in tables for method in table["methods"]}:
        files = sorted((finished / f"results/restorations/digits/block/{method}").glob("*/*.npz"))
        assert files, method
        for path in files:
            with np.load(path, allow_pickle=False) as arrays:
                rows = arrays["index"]
                assert arrays["restored"].shape == (len(rows), *case["clean"].shape[1:])
                assert arrays["restored"].dtype == np.float32
                assert np.abs(arrays["restored"]).max() <= 1
                assert arrays["score"].shape == (len(rows), *case["mask"].shape[1:])
                assert arrays["score"].dtype == np.float32
                assert np.isfinite(arrays["score"]).all()
                assert (arrays["seconds"] > 0).all()
        scores = pd.read_csv(finished / f"results/scores/digits/block/{method}.csv")
        assert list(scores.columns) == ["index", "lam", "metric", "region", "value"]
        assert set(scores["index"]) == set(case["index"])
        table = pd.read_csv(finished / "reports/tables/cost.csv")
        assert method in set(table["method"])


def test_nothing_is_left_half_written(finished):
    assert not list(finished.rglob("*.partial*"))


def test_one_more_lambda_runs_only_what_follows_from_it(finished, tmp_path):
    path = changed(tmp_path, lambda overlay: overlay["methods"]["rgi"]["lam"].append(0.5))
    found = jobs(snakemake(finished, "--configfile", path, "-n"))
    assert found.pop("total") > 0
    assert found["restore_inversion"] == found["scores"] == found["selection"] == 1
    assert set(found) == {
        "restore_inversion",
        "scores",
        "selection",
        "detection",
        "defects",
        "table",
        "figure",
        "figure_restorations",
        "figure_detections",
        "figure_detection_lines",
        "report",
        "all",
    }


def test_one_more_method_runs_only_that_method(finished, tmp_path):
    def change(overlay):
        settings = {"stages": [[1, 4]], "pool": 16}
        overlay["methods"]["l1-long"] = {
            "family": "inversion",
            "preset": "l1",
            "settings": settings,
        }
        overlay["tables"]["simulation"]["methods"].append("l1-long")

    found = jobs(snakemake(finished, "--configfile", changed(tmp_path, change), "-n"))
    assert found["restore_inversion"] == found["scores"] == 1
    assert not {"generator", "dataset", "case", "simulation", "restore_filter"} & set(found)


def test_low_rank_methods_need_no_generator_and_forget_the_shard_size(finished, tmp_path):
    def change(overlay):
        entry = {"family": "low-rank", "lam": [1], "settings": {"references": 12}}
        overlay["methods"] |= {"rpca": entry, "rasl": entry}
        overlay["tables"]["inpainting"]["methods"] = ["rpca", "rasl"]

    names = [f"digits/block/{method}" for method in ("rpca", "rasl")]
    targets = [f"results/scores/{name}.csv" for name in names]
    path = changed(tmp_path, change)
    alone = tmp_path / "alone"
    alone.mkdir()
    snakemake(alone, *targets, "--configfile", path, "--config", "shard_size=3")
    snakemake(finished, *targets, "--configfile", path)
    assert not (alone / "results/generators").exists()
    for target in targets:
        keys = ["index", "lam", "metric", "region"]
        one, other = (pd.read_csv(path / target).set_index(keys) for path in (finished, alone))
        one, other = (x.drop("seconds", level="metric").sort_index() for x in (one, other))
        assert set(one.index.unique("metric")) == {"psnr", "ssim", "rmse", "auroc"}
        pd.testing.assert_frame_equal(one, other)


def test_again_runs_nothing_even_after_a_remark_in_the_code(finished, tmp_path):
    root = copied(tmp_path / "project")
    for name in ("rgi/corruption/cases.py", "workflow/scripts/synthesise_case.py"):
        path = root / name
        path.write_text(path.read_text() + "\n# a remark\n")
    output = snakemake(finished, "--configfile", TINY, "-n", root=root)
    assert "Nothing to be done" in output


def test_an_engine_that_finds_something_else_restores_anew(finished, tmp_path):
    root = copied(tmp_path / "project")
    path, line = root / "rgi/inversion/methods.py", f"INVERSION_VERSION = {INVERSION_VERSION}\n"
    assert line in path.read_text()
    path.write_text(path.read_text().replace(line, "INVERSION_VERSION = 0\n"))
    found = jobs(snakemake(finished, "--configfile", TINY, "-n", root=root))
    restoring = {name for name in found if name.startswith("restore_")}
    assert restoring == {
        name
        for name in jobs(snakemake(finished, "--configfile", TINY, "-n", "--forceall"))
        if name == "restore_inversion" or name.startswith("restore_all_lambdas_of_")
    }
    assert not {"generator", "dataset", "case", "simulation"} & set(found)


def test_several_gpus_train_through_torchrun_and_are_no_reason_to_train_again(finished, tmp_path):
    path = changed(tmp_path, lambda overlay: overlay.update(gpus=4))
    assert "generator" not in jobs(snakemake(finished, "--configfile", path, "-n"))
    target = "results/generators/digits/generator.pt"
    found = snakemake(tmp_path, target, "--configfile", path, "-n", "-p")
    assert "torchrun --standalone --nproc-per-node 4 $SCRIPTS/train_generator.py" in found
    assert "gpu=4" in found
    assert "python $SCRIPTS/train_generator.py" in snakemake(
        tmp_path, target, "--configfile", TINY, "-n", "-p"
    )


def test_tables_do_not_depend_on_the_shard_size(finished, tmp_path):
    methods = ["pan-with-mask"]  # what could couple images: the discriminator, many weights

    def change(overlay):
        overlay["shard_size"] = 3  # of four images: two shards, the last of them not full
        overlay["tables"]["inpainting"]["methods"] = methods

    for name in ("cases", "datasets", "generators"):
        shutil.copytree(finished / "results" / name, tmp_path / "results" / name)
    path = changed(tmp_path, change)
    snakemake(tmp_path, "reports/tables/inpainting.csv", "--configfile", path)
    left, right = (
        pd.read_csv(directory / "reports/tables/inpainting.csv")
        for directory in (finished, tmp_path)
    )
    left = left[left["method"].isin(methods)].reset_index(drop=True)
    pd.testing.assert_frame_equal(left, right, rtol=1e-4)


@pytest.mark.parametrize(
    ("kept", "shown", "figures"),
    [
        ("simulation", {"simulation"}, 2),
        ("inpainting", {"inpainting", "cost", "lambda-sensitivity"}, 3),
        ("anomaly-detection", {"anomaly-detection", "cost", "lambda-sensitivity"}, 5),
    ],
)
def test_any_table_can_be_had_alone(tmp_path, kept, shown, figures):
    def change(overlay):
        overlay["tables"] |= {name: None for name in overlay["tables"] if name != kept}

    found = jobs(snakemake(tmp_path, "--configfile", changed(tmp_path, change), "-n"))
    assert found["table"] == len(shown)
    assert sum(count for name, count in found.items() if name.startswith("figure")) == figures
    assert found["report"] == 1
    assert ("detection" in found) == ("defects" in found) == (kept == "anomaly-detection")


def test_tables_may_differ_in_data_sets_cases_and_methods(tmp_path):
    """What they have in common, cost and sensitivity to lambda, is about the rows of both."""

    def change(overlay):
        table = {"datasets": ["brick"], "cases": ["random"], "methods": ["median", "rgi"]}
        overlay["tables"]["anomaly-detection"] = table
        overlay["tables"]["inpainting"]["methods"] = ["median"]
        overlay["tables"]["simulation"] = None

    path = changed(tmp_path, change)
    found = jobs(snakemake(tmp_path, "--configfile", path, "-n"))
    assert found["scores"] == 3
    assert found["detection"] == 2
    output = snakemake(tmp_path, "reports/tables/cost.csv", "--configfile", path, "-n", "-p")
    assert output.count("--table") == 2


def test_results_against_the_training_set_are_drawn_where_it_alone_differs(tmp_path):
    def change(overlay):
        overlay["datasets"]["brick-32"] = {**overlay["datasets"]["brick"], "source": "brick"}
        overlay["datasets"]["brick-32"]["train"] = 32
        default = yaml.safe_load((ROOT / "config.yaml").read_text())
        generator = default["generators"]["brick"] | overlay["generators"]["brick"]
        autoencoder = default["autoencoders"]["brick"]["l2-ae"]
        autoencoder |= overlay["autoencoders"]["brick"]["l2-ae"]
        overlay["generators"]["brick-32"] = generator
        overlay["autoencoders"]["brick-32"] = {"l2-ae": autoencoder}
        overlay["tables"]["anomaly-detection"]["datasets"] = ["brick", "brick-32"]

    found = jobs(snakemake(tmp_path, "--configfile", changed(tmp_path, change), "-n"))
    assert found["figure_training_size"] == 1


def test_the_study_of_solvers_makes_its_table_and_figures(tmp_path):
    overlay = ROOT / "experiments/solver.yaml"
    found = jobs(snakemake(tmp_path, "--configfile", overlay, "-n"))
    lines = yaml.safe_load(overlay.read_text())["tables"]["solver"]["lines"]
    methods = {method for line in lines.values() for method in line}
    simulated = 3  # methods of the simulation at its one level, one of them of a line, too
    assert found["table"] == 2
    assert found["figure"] == 3
    assert found["scores"] == len(methods) * 2 * 2 + simulated - 1
    assert "restore_filter" not in found


def test_of_ones_own_images_nothing_else_is_computed(tmp_path):
    (tmp_path / "images").mkdir()
    place = tmp_path / "place.yaml"
    place.write_text(yaml.safe_dump({"datasets": {"mine": {"path": "images"}}}))
    overlay = ROOT / "experiments/own-images.yaml"
    found = jobs(snakemake(tmp_path, "--configfile", overlay, place, "-n"))
    assert (found["dataset"], found["generator"], found["case"]) == (1, 1, 1)


def test_ones_own_corrupted_images_with_masks_are_a_case(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()

    def change(overlay):
        source = {"source": "folder", "path": "images", "masks": "masks"}
        overlay["datasets"] = {"mine": source | {"resolution": 8, "channels": 1, "test": 4}}
        overlay["generators"] = {"mine": overlay["generators"]["digits"]}
        overlay["cases"]["own"] = {"corruption": "given"}
        table = {"datasets": ["mine"], "cases": ["own"], "methods": ["rgi", "median"]}
        overlay["tables"] = {"inpainting": table, "anomaly-detection": None, "simulation": None}

    found = jobs(snakemake(tmp_path, "--configfile", changed(tmp_path, change), "-n"))
    assert found["case"] == 1
    assert found["scores"] == 2


def test_a_level_may_be_so_small_that_it_has_an_exponent(tmp_path):
    change = {"inpainting": None, "simulation": {"levels": [0.00001], "methods": ["l2"]}}
    path = changed(tmp_path, lambda overlay: overlay.update(tables=change))
    assert jobs(snakemake(tmp_path, "--configfile", path, "-n"))["simulation"] == 1


def test_the_report_names_the_overlays_it_was_made_with(tmp_path):
    """By path: an overlay may be called config.yaml too, and hold a space."""
    path = tmp_path / "my own" / "config.yaml"
    path.parent.mkdir()
    shutil.copy(TINY, path)
    output = snakemake(tmp_path, "--configfile", path, "-n", "-p")
    assert "snakemake --configfile 'my own/config.yaml'" in output.replace("'\"'\"'", "'")


def test_the_documented_example_of_a_method_works(tmp_path):
    """docs/adding-a-method.md, word for word, in a copy of the project."""
    root = copied(tmp_path / "project")
    page = (ROOT / "docs/adding-a-method.md").read_text()
    blocks = re.findall(r"```\w+\n# file: (\S+)\n(.*?)```", page, re.S)
    assert len(blocks) == 4
    for name, text in blocks:
        (root / name).write_text(text)
    overlay = root / "experiments/mean-image.yaml"
    small = tmp_path / "small.yaml"
    small.write_text("datasets: {digits: {test: 4}}\nfolds: 2\n")
    arguments = ["reports/tables/inpainting.csv", "--configfile", overlay, small]
    snakemake(tmp_path, *arguments, root=root)
    table = pd.read_csv(tmp_path / "reports/tables/inpainting.csv")
    assert set(table["method"]) == {"median", "mean-image"}
    assert np.isfinite(table["value"]).all()

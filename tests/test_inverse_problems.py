"""Known operators and rounds of features through snakemake itself, on tiny settings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from test_workflow import TINY, snakemake

from rgi.corruption import load_case, save_case
from rgi.corruption.degradations import SuperResolution
from rgi.corruption.operators import observation, observe
from rgi.inversion import METHODS, invert
from rgi.inversion.methods import configured
from rgi.models import Architecture, Generator, load_generator, save_generator

ROOT = Path(__file__).parent.parent
EXPERIMENTS = ROOT / "experiments"
SHORT = {"stages": [[1, 3]], "pool": 8}
ROUNDS = {"rounds": [[1, 2], [2, 2]]}


def shortened(name):
    """An experiment's overlay on top of the tiny one, its methods with few steps."""
    tiny = yaml.safe_load(TINY.read_text())
    overlay = yaml.safe_load((EXPERIMENTS / f"{name}.yaml").read_text())
    for method, entry in overlay["methods"].items():
        preset = METHODS[entry.get("preset", method)]
        entry["settings"] = SHORT | (ROUNDS if preset.rounds else {})
        if preset.explore_lam:
            entry["settings"]["stages"] = [[3, 2], [1, 3]]
    for case in overlay.get("cases", {}).values():
        case |= {"size": 3} if "size" in case else {}
    tiny["cases"] |= overlay.get("cases", {})
    tiny["methods"] |= overlay["methods"]
    tiny["tables"] = overlay["tables"]
    tiny["tables"]["inpainting"]["datasets"] = ["digits"]
    return tiny


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inverse-problems", "robust-ilo"])
def test_an_experiment_ends_in_a_table_with_every_method_on_every_case(tmp_path, name):
    config = shortened(name)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake(tmp_path, "--configfile", "config.yaml")
    table = pd.read_csv(tmp_path / "reports/tables/inpainting.csv")
    asked = config["tables"]["inpainting"]
    found = set(zip(table["case"], table["method"], strict=True))
    assert found == {(case, method) for case in asked["cases"] for method in asked["methods"]}
    psnr = table[(table["metric"] == "psnr") & (table["region"] == "whole")]
    assert psnr["value"].notna().all()
    assert "<html" in (tmp_path / "reports/report.html").read_text()


@pytest.mark.parametrize("name", ["inverse-problems", "robust-ilo", "super-resolution"])
def test_methods_of_an_experiment_have_the_same_number_of_passes(name):
    """Those that are compared as equally costly: with a known operator or mask."""
    overlay = yaml.safe_load((EXPERIMENTS / f"{name}.yaml").read_text())
    entries = yaml.safe_load((ROOT / "config.yaml").read_text())["methods"] | overlay["methods"]
    asked = {m: entries[m] for m in overlay["tables"]["inpainting"]["methods"]}
    methods = {
        m: configured(entry.get("preset", m), entry.get("settings", {}))
        for m, entry in asked.items()
        if entry["family"] == "inversion"
    }
    told = {
        m: total(method)
        for m, method in methods.items()
        if method.needs_operator or method.needs_mask
    }
    assert len(told) > 1
    assert len(set(told.values())) == 1, told


def total(method):
    stages = sum(starts * steps for starts, steps in method.stages)
    return stages + sum(steps for _, steps in method.rounds) + method.weights_iterations


def test_the_script_restores_what_the_library_does(tmp_path):
    """A case by its file: the shard's observations, and the operator made again."""
    generator = Generator(Architecture(8, 1, 8, (8, 8)), seed=1).eval()
    save_generator(tmp_path / "generator.pt", generator)
    clean = np.random.default_rng(0).uniform(-1, 1, (4, 1, 8, 8)).astype(np.float32)
    save_case(tmp_path / "case.npz", observe(clean, SuperResolution(factor=4), 0, "coarse"))
    script = ROOT / "workflow/scripts/restore_inversion.py"
    command = [sys.executable, script, "--case", tmp_path / "case.npz", "--method", "ilo-mse"]
    command += ["--generator", tmp_path / "generator.pt", "--first", "1", "--last", "3"]
    command += ["--lam", "none", "--output", tmp_path / "found.npz", "--device", "cpu"]
    settings = '{"stages": [[1, 3]], "pool": 8, "rounds": [[1, 2], [2, 2]]}'
    subprocess.run([*command, "--settings", settings], check=True)
    observed, operator = observation(load_case(tmp_path / "case.npz"))
    method = configured("ilo-mse", SHORT | ROUNDS)
    expected = invert(
        observed[1:3],
        load_generator(tmp_path / "generator.pt"),
        method,
        operator=operator,
        index=[1, 2],
    )
    with np.load(tmp_path / "found.npz") as found:
        assert np.array_equal(found["restored"], expected.restored)
        assert np.array_equal(found["objective"], expected.objective)
        assert (found["score"] == 1).all()
        assert found["index"].tolist() == [1, 2]
        assert torch.equal(torch.from_numpy(found["passes"]), expected.passes)

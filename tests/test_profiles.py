"""Profiles: what they make of the machine they find themselves on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yte

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests/tiny.yaml"
CASE = "results/cases/digits/block.npz"
RESTORATION = "results/restorations/digits/block/rgi/0.05/0.npz"
OF_ALL_LAMBDAS = "results/restorations/digits/block/rgi-profile/0.1/0.npz"
NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


def snakemake(directory, *arguments, nvidia_smi=None, experiment=TINY):
    """What snakemake says on a machine whose nvidia-smi prints something."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    if nvidia_smi is not None:
        (programs / "nvidia-smi").write_text(f'#!/bin/sh\necho "{nvidia_smi}"\n')
        (programs / "nvidia-smi").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *arguments]
    done = subprocess.run(
        [*map(str, command), "--configfile", str(experiment)],
        cwd=directory,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_jobs_share_the_gpu_of_this_machine_as_far_as_its_memory_goes(tmp_path):
    said = snakemake(tmp_path, "--cores", "1", CASE, nvidia_smi="24564")
    assert re.search(r"Provided resources: .*\bgpu_mb\b.*\b24564\b", said)


@pytest.mark.parametrize("nvidia_smi", [None, NO_DRIVER])
def test_without_a_gpu_the_cores_alone_limit_the_jobs(tmp_path, nvidia_smi):
    said = snakemake(tmp_path, "--cores", "1", CASE, nvidia_smi=nvidia_smi)
    assert "Provided cores: 1" in said and "gpu_mb" not in said


@pytest.mark.parametrize(
    ("device", "memory", "asked"), [("auto", None, 2000), ("auto", "1500", 1500), ("cpu", None, 0)]
)
def test_an_inversion_asks_for_no_more_of_a_gpu_than_there_is(tmp_path, device, memory, asked):
    options = ["-n", RESTORATION, "--config", f"device={device}"]
    said = snakemake(tmp_path, *options, nvidia_smi=memory)
    restorations = re.findall(r"rule restore_\S*:.*?gpu_mb=(\d+)", said, re.DOTALL)
    assert restorations == [str(asked)]


# On a cluster


def slurm(directory, **settings):
    """Copy the SLURM profile with settings at its top changed; snakemake's options for it."""
    text = (ROOT / "profiles/slurm/config.yaml").read_text()
    for name, value in settings.items():
        text, found = re.subn(rf"(?m)^( {{2,4}}{name}:).*", rf"\1 {value}", text)
        assert found == 1
    (directory / "profile").mkdir()
    (directory / "profile/config.yaml").write_text(text)
    return ["--profile", directory / "profile", "-n"]


def resources(said, rule):
    """What a job of a rule asks for."""
    line = re.search(rf"^rule {rule}:.*?resources: (.*?)$", said, re.DOTALL | re.MULTILINE)[1]
    return dict(word.split("=", 1) for word in line.split(", "))


@pytest.mark.parametrize("gpu", ["", "fast"])
@pytest.mark.parametrize("cpu", ["", "many"])
def test_a_job_goes_to_the_partition_of_its_kind_or_to_the_cluster_s_own(tmp_path, gpu, cpu):
    options = slurm(tmp_path, gpu_partition=f'"{gpu}"', cpu_partition=f'"{cpu}"', gpu_model="a100")
    said = snakemake(tmp_path, *options, RESTORATION, OF_ALL_LAMBDAS)
    for rule in ("generator", "restore_inversion", "restore_all_lambdas_of_rgi-profile"):
        asked = resources(said, rule)
        assert (asked["slurm_partition"], asked["gpu_model"], asked["nodes"]) == (gpu, "a100", "1")
    for rule in ("dataset", "case"):
        asked = resources(said, rule)
        assert asked.get("slurm_partition", "") == cpu and "gpu_model" not in asked


def test_a_setting_for_data_sets_holds_for_those_with_masks_and_kinds_too(tmp_path):
    options = slurm(tmp_path, dataset="77", longest="70")
    target = "results/datasets/magnetic-tile/train.npy"
    experiment = ROOT / "experiments/magnetic-tile.yaml"
    said = snakemake(tmp_path, *options, target, experiment=experiment)
    assert resources(said, "grouped_dataset")["runtime"] == "70"


def test_the_slurm_profile_names_rules_that_there_are(tmp_path):
    profile = yte.process_yaml((ROOT / "profiles/slurm/config.yaml").read_text())
    assert set(profile["set-resources"]) <= set(snakemake(tmp_path, "--list-rules").split())

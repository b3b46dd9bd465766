"""Profiles: what they make of the machine they find themselves on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests/tiny.yaml"
CASE = "results/cases/digits/block.npz"
RESTORATION = "results/restorations/digits/block/rgi/0.05/0.npz"
NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


def snakemake(directory, *arguments, nvidia_smi=None):
    """What snakemake says on a machine whose nvidia-smi prints something."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    if nvidia_smi is not None:
        (programs / "nvidia-smi").write_text(f'#!/bin/sh\necho "{nvidia_smi}"\n')
        (programs / "nvidia-smi").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *arguments]
    done = subprocess.run(
        [*map(str, command), "--configfile", str(TINY)],
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

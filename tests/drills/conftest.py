"""Fixtures of the fault drills."""

import os
import shutil
import subprocess

import drill
import pytest


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A folder in which the whole experiment has run; not to be changed."""
    directory = tmp_path_factory.mktemp("undisturbed")
    drill.snakemake(directory)
    return directory


@pytest.fixture(scope="session")
def selected(tmp_path_factory):
    """A folder in which the part without a network has run; not to be changed."""
    directory = tmp_path_factory.mktemp("selected")
    drill.snakemake(directory, drill.SELECTION)
    return directory


@pytest.fixture
def copy(tmp_path):
    """Copy a finished folder, times and Snakemake's records too, to spoil the copy."""
    return lambda source: shutil.copytree(source, tmp_path / "copy")


@pytest.fixture
def disk(tmp_path):
    """A disk of 3 MB, in memory: what fills it disturbs nobody else."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", path]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk of one's own can be mounted by root alone")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)

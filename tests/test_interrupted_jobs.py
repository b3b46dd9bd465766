"""A job of Snakemake's whose processes are all told to end, as SLURM tells them, goes on later."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_inversion import ARCHITECTURE, corrupt

from rgi.files import load_arrays
from rgi.models import Discriminator, Generator, save_discriminator, save_generator

ROOT = Path(__file__).parent.parent
JOB = "results/restorations/digits/block/r-rgi/0.1/0.npz"
LOG = "results/logs/restore/digits/block/r-rgi/0.log"
SAVED = ("index", "restored", "score", "objective", "passes")


def prepare(directory):
    """What the job needs, and an experiment in which it takes some seconds."""
    generator, discriminator = Generator(ARCHITECTURE).eval(), Discriminator(ARCHITECTURE).eval()
    images, mask, clean = (tensor[:4].numpy() for tensor in corrupt(generator))
    arrays = {"clean": clean, "corrupted": images, "mask": mask, "index": np.arange(4)}
    for folder in ("results/cases/digits", "results/generators/digits"):
        (directory / folder).mkdir(parents=True)
    np.savez(directory / "results/cases/digits/block.npz", **arrays)
    save_generator(directory / "results/generators/digits/generator.pt", generator)
    save_discriminator(directory / "results/generators/digits/discriminator.pt", discriminator)
    overlay = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    long = {"stages": [[2, 10], [1, 300]], "pool": 16, "weights_iterations": 100}
    overlay["methods"]["r-rgi"]["settings"] = long
    (directory / "long.yaml").write_text(yaml.safe_dump(overlay))


def start(directory, *options):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--nolock"]
    command += [JOB, "--cores", "1", "--configfile", "long.yaml", *options]
    return subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed")
    prepare(directory)
    run = start(directory)
    said, _ = run.communicate()
    assert run.returncode == 0, said
    return load_arrays(directory / JOB, *SAVED)


def tell(run, log, number):
    """Signal all of the run's processes when the job is at work."""
    while not log.exists() or "4 x 2 descents" not in log.read_text():
        assert run.poll() is None, run.stdout.read()
        time.sleep(0.05)
    os.killpg(run.pid, number)


def assert_finished(directory, undisturbed):
    found = load_arrays(directory / JOB, *SAVED)
    for name in SAVED:
        assert np.array_equal(found[name], undisturbed[name]), name
    assert [path.name for path in (directory / JOB).parent.iterdir()] == ["0.npz"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on_when_it_is_started_again(number, undisturbed, tmp_path):
    prepare(tmp_path)
    log = tmp_path / LOG
    run = start(tmp_path)
    tell(run, log, number)
    said, _ = run.communicate()
    assert run.returncode != 0, said
    assert "not finished: " in log.read_text()
    assert not (tmp_path / JOB).exists()
    again = start(tmp_path)
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert "going on from there" in log.read_text()
    assert_finished(tmp_path, undisturbed)


def test_a_warning_ends_the_job_alone_and_a_retry_goes_on(undisturbed, tmp_path):
    prepare(tmp_path)
    log = tmp_path / LOG
    run = start(tmp_path, "--retries", "1")
    tell(run, log, signal.SIGUSR1)
    said, _ = run.communicate()
    assert run.returncode == 0, said
    assert "Trying to restart job" in said
    assert "going on from there" in log.read_text()
    assert_finished(tmp_path, undisturbed)

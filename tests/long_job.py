"""An inversion of some seconds as a job of Snakemake's; used by several test files."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml
from small_inversion import ARCHITECTURE, corrupt

from rgi.files import load_arrays
from rgi.models import Discriminator, Generator, save_discriminator, save_generator

ROOT = Path(__file__).parent.parent
JOB = "results/restorations/digits/block/r-rgi/0.1/0.npz"
LOG = "results/logs/restore/digits/block/r-rgi/0.log"
SAVED = ("index", "restored", "score", "objective", "passes")


def prepare(directory, factor=1):
    """What the job needs, and an experiment in which it takes `factor` times some seconds."""
    generator, discriminator = Generator(ARCHITECTURE).eval(), Discriminator(ARCHITECTURE).eval()
    images, mask, clean = (tensor[:4].numpy() for tensor in corrupt(generator))
    arrays = {"clean": clean, "corrupted": images, "mask": mask, "index": np.arange(4)}
    for folder in ("results/cases/digits", "results/generators/digits"):
        (directory / folder).mkdir(parents=True)
    np.savez(directory / "results/cases/digits/block.npz", **arrays)
    save_generator(directory / "results/generators/digits/generator.pt", generator)
    save_discriminator(directory / "results/generators/digits/discriminator.pt", discriminator)
    overlay = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    long = {"stages": [[2, 10], [1, 300 * factor]], "pool": 16, "weights_iterations": 100 * factor}
    overlay["methods"]["r-rgi"]["settings"] = long
    (directory / "long.yaml").write_text(yaml.safe_dump(overlay))


def start(directory, *options):
    """Snakemake with this one job, in a session of its own."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--nolock"]
    return subprocess.Popen(
        [*command, JOB, "--configfile", "long.yaml", *options],
        cwd=directory,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_work(run, directory, words="4 x 2 descents"):
    """Return as soon as the job's log holds `words`; the first stage of two is over early."""
    log = directory / LOG
    while not log.exists() or words not in log.read_text():
        assert run.poll() is None, run.stdout.read()
        time.sleep(0.05)


def assert_finished(directory, undisturbed):
    """The job's arrays are those of an undisturbed directory, and nothing else is left."""
    found, expected = (load_arrays(path / JOB, *SAVED) for path in (directory, undisturbed))
    for name in SAVED:
        assert np.array_equal(found[name], expected[name]), name
    left = {path.name for path in (directory / JOB).parent.iterdir()}
    assert left == {"0.npz", ".0.npz.sha256"}

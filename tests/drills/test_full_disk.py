"""The disk is full: one line says so and names the file, nothing is left half-written."""

import os
import re
import subprocess

import drill
import numpy as np
import pandas as pd
import pytest
from short_training import same_weights, start

from rgi.data.preview import save_preview
from rgi.errors import OutputError
from rgi.evaluation.scoring import write_scores
from rgi.files import save_arrays, write_whole
from rgi.training import progressive


def fill(disk, left=0):
    """Leave so many bytes of the disk."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "filler").write_bytes(bytes(max(0, free - left)))


def make_room(disk):
    (disk / "filler").unlink()


@pytest.mark.parametrize(
    ("step", "named"),
    [
        ("append_line", "training.jsonl"),
        ("save_checkpoint", "checkpoint.pt"),
        ("save_sheet", r"samples(_\d+)?.png"),
        ("save_discriminator", "discriminator.pt"),
        ("save_generator", "generator.pt"),
    ],
)
def test_in_training(pictures, disk, tmp_path, monkeypatch, step, named):
    start(pictures, tmp_path / "whole")
    original = getattr(progressive, step)

    def write(path, *rest):
        fill(disk)
        return original(path, *rest)

    place = disk / "digits"
    with monkeypatch.context() as patch:
        patch.setattr(progressive, step, write)
        with pytest.raises(OutputError, match=f"{place}/{named}: .* the disk is full; make room"):
            start(pictures, place)
    assert not (place / "generator.pt").exists()
    assert not list(place.glob("*partial*"))
    make_room(disk)
    start(pictures, place)
    assert same_weights(tmp_path / "whole", place)


WRITERS = {
    "0.npz": lambda path: save_arrays(path, {"restored": np.random.default_rng(0).random(10**5)}),
    "scores.csv": lambda path: write_scores(path, pd.DataFrame({"value": np.arange(10**5)})),
    "picture.png": lambda path: save_noise(path),
}


def save_noise(path):
    noise = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
    save_preview(path, {"train": noise})


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("left", [0, 20_000])
def test_in_a_result(disk, name, left):
    (disk / "results").mkdir()
    path = disk / "results" / name
    fill(disk, left)
    with pytest.raises(OutputError, match=f"{path}: cannot be written: the disk is full") as it:
        WRITERS[name](path)
    assert "\n" not in str(it.value)
    assert not list((disk / "results").iterdir())
    make_room(disk)
    WRITERS[name](path)


def test_no_other_error_is_taken_for_a_full_disk(tmp_path):
    for error in (RuntimeError("other"), OSError("other"), OSError(5, "Input/output error")):
        expected = pytest.raises(type(error), match=re.escape(str(error)))
        with expected as it, write_whole(tmp_path / "a.npz"):
            raise error
        assert it.value is error


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",  # what is there when the disk gets full
    [
        "results/cases/digits/block.npz",
        "results/generators/digits/generator.pt",
        "results/restorations/digits/block/rgi/0.1/1.npz",
    ],
)
def test_an_experiment_goes_on_once_there_is_room(undisturbed, disk, before):
    drill.snakemake(disk, before)
    fill(disk, 60_000)  # Snakemake's own records need some
    output = drill.failing(disk)
    # Of a job and of Snakemake's records, either may be the first to meet the end of the disk.
    assert re.search(r"cannot be written: the disk is full; make room|No space left on", output)
    make_room(disk)
    drill.snakemake(disk)
    drill.check_tables(disk, undisturbed)


@pytest.mark.parametrize("name", ["results", "reports"])
def test_read_only_results_are_refused_before_the_first_job(selected, disk, name):
    (disk / "results").mkdir()
    (disk / "reports").mkdir()
    bind = ["mount", "--bind", disk / name, disk / name]
    subprocess.run(bind, check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", disk / name], check=True)
        output = drill.failing(disk, drill.SELECTION)
        assert f"error: {name}: may not be written to, but results belong there" in output
        assert "rule dataset:\n    output" not in output
        assert not list((disk / "results").iterdir())
        drill.snakemake(disk, drill.SELECTION, "-n")
    finally:
        subprocess.run(["umount", disk / name], check=True)
    drill.snakemake(disk, drill.SELECTION)
    assert (disk / drill.SELECTION).read_text() == (selected / drill.SELECTION).read_text()

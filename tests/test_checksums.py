"""Results stay as they were written: what is damaged is named and put aside, whatever reads it."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rgi.corruption.library import collect_masks, library_hash
from rgi.data import open_groups, open_images, open_kinds, open_masks
from rgi.data.kinds import save_names
from rgi.data.preview import save_preview
from rgi.data.streams import stream_array
from rgi.errors import InputError
from rgi.evaluation.scoring import read_table, write_scores
from rgi.files import check_content, load_arrays, save_arrays, sha256_of, write_whole
from rgi.models import (
    Architecture,
    Discriminator,
    Generator,
    load_discriminator,
    load_generator,
    save_discriminator,
    save_generator,
)
from rgi.reporting.report import Sources, write_report

SMALL = Architecture(resolution=8, channels=1, latent_dim=4, widths=(4, 4))


def stream(path, shape):
    rows = np.random.default_rng(0).integers(0, 2, (6, *shape), dtype=np.uint8)
    with stream_array(path, shape, rows):
        pass


def save_library(path):
    folder = path.parent / "library/ground_truth/crack"
    folder.mkdir(parents=True)
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(folder / "000_mask.png")
    collect_masks(path.parent / "library", path)


def report_of(path):
    write_report(path.with_name("report.html"), Sources([], [], [path], []), {}, "snakemake")


# Every kind of file that one job writes and another reads: its writer and its reader.
KINDS = {
    "case.npz": (
        lambda path: save_arrays(path, {"a": np.arange(99)}),
        lambda p: load_arrays(p, "a"),
    ),
    "train.npy": (lambda path: stream(path, (8, 8, 1)), open_images),
    "test_masks.npy": (lambda path: stream(path, (8, 8)), open_masks),
    "test_kinds.txt": (lambda path: save_names(path, ["good", "crack"]), open_kinds),
    "test_groups.txt": (lambda path: save_names(path, ["1", "2"]), open_groups),
    "generator.pt": (lambda path: save_generator(path, Generator(SMALL, seed=0)), load_generator),
    "discriminator.pt": (
        lambda path: save_discriminator(path, Discriminator(SMALL, seed=0)),
        load_discriminator,
    ),
    "scores.csv": (
        lambda path: write_scores(path, pd.DataFrame({"index": [1, 2], "value": [0.25, 0.5]})),
        lambda path: read_table(path, ["index", "value"]),
    ),
    "library.zip": (save_library, library_hash),
    "preview.png": (
        lambda path: save_preview(path, {"train": np.zeros((2, 8, 8, 1), np.uint8)}),
        report_of,
    ),
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    write, read = KINDS[request.param]
    path = tmp_path / "results" / request.param
    path.parent.mkdir()
    write(path)
    return path, read


def flip(path, place=0.6):
    """Turn one bit of a file over, as a failing disk does: its length and time stay."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_file_is_named_and_put_aside(kind, damage):
    path, read = kind
    damage(path)
    content = path.read_bytes()
    with pytest.raises(InputError, match=f"{path}: damaged, or changed .* run again to make") as it:
        read(path)
    assert "\n" not in str(it.value)
    assert not path.exists()
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content
    # Another job that comes later, or a second try of the same.
    with pytest.raises(InputError, match=f"{path}: damaged and put aside as {path.name}.damaged"):
        read(path)


@pytest.mark.parametrize("place", np.linspace(0, 0.999, 12))
def test_a_bit_anywhere_in_weights_counts(tmp_path, place):
    """torch.load compares no checksum: of weights, one flipped bit is another weight."""
    path = tmp_path / "generator.pt"
    save_generator(path, Generator(SMALL, seed=0))
    flip(path, place)
    with pytest.raises(InputError, match="damaged"):
        load_generator(path)


def test_a_copy_is_as_good_as_the_original(kind, tmp_path):
    """Content counts, neither times nor inodes; the checksums are copied with the folder."""
    path, read = kind
    copy = Path(shutil.copytree(path.parent, tmp_path / "copy", copy_function=shutil.copyfile))
    read(copy / path.name)
    flip(copy / path.name)
    with pytest.raises(InputError, match="damaged"):
        read(copy / path.name)
    read(path)


def test_a_file_without_a_checksum_is_taken_as_it_is(kind):
    """As other people's programs write them, and versions before there were checksums."""
    path, read = kind
    path.with_name(f".{path.name}.sha256").unlink()
    read(path)
    assert path.exists()


def test_a_file_that_something_else_wrote_over_is_put_aside_and_may_come_back(tmp_path):
    path = tmp_path / "0.npz"
    save_arrays(path, {"a": np.zeros(3)})
    np.savez(path, a=np.ones(3))
    with pytest.raises(InputError, match="changed by something else.*rename it back to keep"):
        load_arrays(path, "a")
    (tmp_path / "0.npz.damaged").rename(path)
    assert load_arrays(path, "a")["a"].tolist() == [1, 1, 1]


def test_what_something_else_makes_anew_is_not_measured_by_the_old_checksum(tmp_path):
    path = tmp_path / "0.npz"
    save_arrays(path, {"a": np.zeros(3)})
    flip(path)
    with pytest.raises(InputError):
        load_arrays(path, "a")
    np.savez(path, a=np.ones(3))
    load_arrays(path, "a")
    with write_whole(path) as temporary:  # nor what is written without a checksum
        np.savez(temporary, a=np.zeros(3))
    load_arrays(path, "a")


def test_the_checksum_is_one_that_sha256sum_reads(tmp_path):
    path = tmp_path / "a b.npz"
    save_arrays(path, {"a": np.zeros(3)})
    assert (tmp_path / ".a b.npz.sha256").read_text() == f"{sha256_of(path)}  a b.npz\n"


def test_a_kill_between_file_and_checksum_leaves_a_file_without_one(tmp_path, monkeypatch):
    path = tmp_path / "0.npz"
    save_arrays(path, {"a": np.zeros(3)})
    original = Path.replace

    def killed(self, target):
        original(self, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        save_arrays(path, {"a": np.ones(3)})
    assert load_arrays(path, "a")["a"].tolist() == [1, 1, 1]


def test_of_readers_at_once_each_says_the_same(tmp_path, monkeypatch):
    """One renames the file while the other still hashes it."""
    path = tmp_path / "0.npz"
    save_arrays(path, {"a": np.zeros(3)})
    flip(path)
    original = Path.replace

    def late(self, target):
        original(self, target)
        return original(self, target)  # raises: the other one was first

    monkeypatch.setattr(Path, "replace", late)
    with pytest.raises(InputError, match="put aside as 0.npz.damaged"):
        check_content(path)


def test_rows_of_a_large_file_are_had_without_reading_it_all(tmp_path):
    stream(tmp_path / "train.npy", (8, 8, 1))
    flip(tmp_path / "train.npy")
    assert len(open_images(tmp_path / "train.npy", partly=True)) == 6
    cut(tmp_path / "train.npy")
    with pytest.raises(InputError, match="not a readable .npy file"):
        open_images(tmp_path / "train.npy", partly=True)

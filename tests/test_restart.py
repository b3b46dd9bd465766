"""A training that was killed goes on from its checkpoint and ends with the same weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from short_training import (
    CPU,
    IN_MID_FADE,
    LAST_STEP,
    SHORT,
    SMALL,
    kill_at,
    lines,
    same_weights,
    start,
)

from rgi.training import checkpoint, progressive
from rgi.training.schedule import Schedule


@pytest.mark.parametrize("killed_at", [2, IN_MID_FADE, LAST_STEP - 1])
@pytest.mark.parametrize("every", [0, 3])
def test_a_killed_training_ends_as_if_it_had_not_been(
    pictures, tmp_path, monkeypatch, killed_at, every
):
    start(pictures, tmp_path / "whole")
    clock = iter(range(10**6))
    monkeypatch.setattr(progressive.time, "monotonic", lambda: next(clock))
    settings = replace(SHORT, checkpoint_seconds=every)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        kill_at(patch, killed_at)
        start(pictures, tmp_path / "killed", settings)
    start(pictures, tmp_path / "killed", settings)
    assert same_weights(tmp_path / "whole", tmp_path / "killed")
    timing = ("seconds", "images_per_second", "memory_mib")
    for one, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "killed"), strict=True):
        for key in one.keys() - set(timing):
            assert one[key] == other[key]
    assert 0 < Schedule(SHORT, SMALL.levels).at(IN_MID_FADE).fade < 1


def test_a_restart_goes_on_and_does_not_begin_again(pictures, tmp_path, monkeypatch):
    eager = replace(SHORT, checkpoint_seconds=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        kill_at(patch, IN_MID_FADE)
        start(pictures, tmp_path, eager)
    done = []
    original = progressive.train_step
    monkeypatch.setattr(
        progressive,
        "train_step",
        lambda state, *rest: (done.append(state.step), original(state, *rest))[1],
    )
    start(pictures, tmp_path, eager)
    assert done == list(range(IN_MID_FADE, LAST_STEP))


def test_a_log_line_cut_off_by_a_kill_is_replaced(pictures, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        kill_at(patch, IN_MID_FADE)
        start(pictures, tmp_path, replace(SHORT, checkpoint_seconds=0))
    with (tmp_path / "training.jsonl").open("a") as file:
        file.write('{"step": 9, "im')
    start(pictures, tmp_path)
    steps = [line["step"] for line in lines(tmp_path)]
    assert steps == sorted(set(steps))
    assert steps[-1] == LAST_STEP


def test_a_checkpoint_of_other_settings_is_kept_aside_with_a_warning(pictures, tmp_path, caplog):
    start(pictures, tmp_path / "used", replace(SHORT, learning_rate=0.01), seed=3)
    content = (tmp_path / "used" / "checkpoint.pt").read_bytes()
    start(pictures, tmp_path / "used")
    start(pictures, tmp_path / "fresh")
    assert same_weights(tmp_path / "used", tmp_path / "fresh")
    assert "other learning_rate, seed; kept as checkpoint.old.pt" in caplog.text
    assert (tmp_path / "used" / "checkpoint.old.pt").read_bytes() == content


def test_a_damaged_checkpoint_is_kept_aside_with_a_warning(pictures, tmp_path, caplog):
    start(pictures, tmp_path / "whole")
    (tmp_path / "used").mkdir()
    content = (tmp_path / "whole" / "checkpoint.pt").read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    for damaged in (b"", content[:middle], flipped):
        (tmp_path / "used" / "checkpoint.pt").write_bytes(damaged)
        caplog.clear()
        start(pictures, tmp_path / "used")
        assert "checkpoint.pt: damaged" in caplog.text
        assert (tmp_path / "used" / "checkpoint.old.pt").read_bytes() == damaged
        assert same_weights(tmp_path / "whole", tmp_path / "used")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("out of memory"), OSError(116, "Stale file handle")]
)
def test_what_may_pass_leaves_the_checkpoint_alone(pictures, tmp_path, monkeypatch, error):
    start(pictures, tmp_path)
    content = (tmp_path / "checkpoint.pt").read_bytes()

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(checkpoint.torch, "load", fail)
    with pytest.raises(type(error)):
        start(pictures, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == content
    assert not (tmp_path / "checkpoint.old.pt").exists()


def test_a_finished_training_says_so_and_a_new_version_trains_anew(
    pictures, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    start(pictures, tmp_path)
    start(pictures, tmp_path)
    assert "already finished" in caplog.text
    assert "delete checkpoint.pt to train anew" in caplog.text
    monkeypatch.setattr(checkpoint, "TRAINING_VERSION", checkpoint.TRAINING_VERSION + 1)
    start(pictures, tmp_path)
    assert "made with other training version" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_training_killed_on_a_gpu_ends_as_if_it_had_not_been(pictures, tmp_path, monkeypatch):
    device = torch.device("cuda")
    start(pictures, tmp_path / "whole", device=device)
    eager = replace(SHORT, checkpoint_seconds=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        kill_at(patch, IN_MID_FADE)
        start(pictures, tmp_path / "killed", eager, device=device)
    start(pictures, tmp_path / "killed", eager, device=device)
    assert same_weights(tmp_path / "whole", tmp_path / "killed")


def test_training_leaves_cudnns_switches_as_they_were(pictures, tmp_path, monkeypatch):
    cudnn, seen = torch.backends.cudnn, []
    monkeypatch.setattr(cudnn, "benchmark", True)
    original = progressive.train_step

    def spying(*arguments):
        seen.append((cudnn.deterministic, cudnn.benchmark))
        return original(*arguments)

    monkeypatch.setattr(progressive, "train_step", spying)
    before = cudnn.deterministic
    start(pictures, tmp_path)
    assert set(seen) == {(True, False)}
    assert (cudnn.deterministic, cudnn.benchmark) == (before, True)


def identity(pictures, settings=SHORT, device=CPU):
    return checkpoint.identify(SMALL, settings, 0, device, images=pictures)


@pytest.mark.parametrize("row", [0, 256, 5000])
def test_a_checkpoint_is_told_apart_by_every_one_of_its_images(row):
    pictures = np.zeros((5001, 2, 2, 1), np.uint8)
    changed = pictures.copy()
    changed[row, 1, 1] ^= 1
    assert identity(pictures)["images"] != identity(changed)["images"]


def test_a_checkpoint_is_told_apart_by_what_the_weights_depend_on_alone(pictures):
    known = identity(pictures)
    for same in (
        {"checkpoint_seconds": 1},
        {"tick_images": 99},
        {"gradient_penalty": 10},
        {"betas": (0, 0.99)},
    ):
        assert identity(pictures, replace(SHORT, **same)) == known, same
    assert identity(pictures, replace(SHORT, mirror=True)) != known
    assert identity(pictures, replace(SHORT, precision="bfloat16")) != known
    assert identity(pictures, device=torch.device("cuda")) != known

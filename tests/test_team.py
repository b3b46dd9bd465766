"""Several processes started by torchrun train the GAN that one process would."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from short_training import CPU, LAST_STEP, SHORT, SMALL, lines, start, weights

from rgi.errors import InputError
from rgi.models import load_discriminator
from rgi.training import progressive, train
from rgi.training.team import Team, join_team

SCRIPT = Path(__file__).parent.parent / "workflow" / "scripts" / "train_generator.py"


def launch(pictures, directory, settings=SHORT):
    """Train in two processes on the CPU."""
    directory.mkdir(exist_ok=True)
    np.save(directory / "train.npy", pictures)
    entry = asdict(settings) | {"latent_dim": SMALL.latent_dim, "widths": SMALL.widths}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", SCRIPT, "--settings", json.dumps(entry)]
    command += ["--images", directory / "train.npy", "--directory", directory, "--device", "cpu"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def assert_same_training(one, other):
    """Equal within rounding.

    Gradients are summed in another order, hence differ by some 1e-7 of their size, and Adam
    passes that on; seen is 4e-6 of the way that the weights have gone. A mistake in what is
    shared out or averaged shows as 1e-3 to 1.
    """
    state = progressive._begin(SMALL, SHORT, 0, CPU)
    networks = (state.generator, state.discriminator)
    begin = flat(weight for network in networks for weight in network.state_dict().values())
    found, expected = flat(weights(other)), flat(weights(one))
    assert (found - expected).norm() < 1e-4 * (expected - begin).norm()


def test_two_processes_train_what_one_with_the_whole_batch_does(pictures, tmp_path):
    settings = replace(SHORT, mirror=True)
    run = launch(pictures, tmp_path / "two", settings)
    start(pictures, tmp_path / "one", settings)
    _, log = run.communicate()
    assert run.returncode == 0, log
    assert_same_training(tmp_path / "one", tmp_path / "two")
    one, two = (
        load_discriminator(tmp_path / name / "discriminator.pt").spread.average
        for name in ("one", "two")
    )
    torch.testing.assert_close(two, one, rtol=1e-6, atol=0)

    timing = {"seconds", "images_per_second", "memory_mib"}
    for one, two in zip(lines(tmp_path / "one"), lines(tmp_path / "two"), strict=True):
        assert one.keys() == two.keys()
        for key in one.keys() - timing:
            assert two[key] == pytest.approx(one[key], rel=1e-4, abs=1e-5), key
    shown = [line for line in log.splitlines() if "images shown" in line]
    assert len(shown) == len(lines(tmp_path / "one"))  # by one of the processes


@pytest.mark.slow
def test_no_process_outlives_torchrun_and_a_restart_goes_on(pictures, tmp_path):
    settings = replace(SHORT, checkpoint_seconds=0)
    run = launch(pictures, tmp_path / "two", settings)
    while not (tmp_path / "two" / "checkpoint.pt").exists():
        assert run.poll() is None
        time.sleep(0.001)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    deadline = time.monotonic() + 20
    while any(map(alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed_at = torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)["state"]["step"]
    assert killed_at < LAST_STEP

    again = launch(pictures, tmp_path / "two", settings)
    start(pictures, tmp_path / "one", settings)
    _, log = again.communicate()
    assert again.returncode == 0, log
    assert f"going on at step {killed_at} of {LAST_STEP}" in log
    assert_same_training(tmp_path / "one", tmp_path / "two")


def alive(process):
    """Whether a process still runs; one that ended may wait for a parent to notice."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_training_that_diverges_ends_every_process_with_one_message(pictures, tmp_path):
    run = launch(pictures, tmp_path / "two", replace(SHORT, learning_rate=1e30))
    _, log = run.communicate(timeout=60)
    assert run.returncode == 1
    errors = [line for line in log.splitlines() if line.startswith("error: training diverged")]
    assert len(errors) == 1


@pytest.mark.parametrize("batch", [20, (16, 16, 8)])
def test_a_batch_that_cannot_be_shared_out_is_refused_before_any_work(pictures, tmp_path, batch):
    settings = replace(SHORT, batch=batch)
    with pytest.raises(InputError, match="batch: .*; allowed: multiples of 16"):
        train(pictures, SMALL, settings, tmp_path / "out", seed=0, device=CPU, team=Team(1, size=4))
    assert not (tmp_path / "out").exists()


def test_the_parts_of_a_team_are_the_batch():
    shares = [range(24)[Team(rank, size=3).part(24)] for rank in range(3)]
    assert [image for share in shares for image in share] == list(range(24))
    assert [len(share) for share in shares] == [8, 8, 8]


def test_without_torchrun_there_is_no_team(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_team(CPU) as (team, device):
        assert team == Team(rank=0, size=1)
        assert device == CPU
    assert not torch.distributed.is_initialized()

"""What is killed, or asked to end, goes on where it was and ends with the same result."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from short_training import SHORT, SMALL, lines, same_weights, start
from small_inversion import ARCHITECTURE, corrupt, short_rounds, shown

from rgi import files
from rgi.corruption.operators import Inpainting
from rgi.files import load_arrays
from rgi.interruption import NOT_FINISHED, Interrupted, StopRequest, stop_requests
from rgi.inversion import METHODS, Checkpoint, descent, invert_grid, progress
from rgi.inversion import weights as tuning
from rgi.models import Discriminator, Encoder, Generator, save_discriminator, save_generator

SCRIPTS = Path(__file__).parent.parent / "workflow" / "scripts"
FIELDS = ("restored", "score", "latent", "objective", "passes")
SAVED = ("index", "restored", "score", "objective", "passes")
KILLED = -signal.SIGKILL


@pytest.fixture
def swift(monkeypatch):
    """Checkpoints whenever they are asked for, in files that need not outlive the machine."""
    monkeypatch.setattr(progress, "SHARE", math.inf)
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def networks():
    return Generator(ARCHITECTURE, seed=1).eval(), Discriminator(ARCHITECTURE, seed=2).eval()


@pytest.fixture(scope="module")
def corrupted(networks):
    return corrupt(networks[0])


def short(name):
    """Every kind of step, several times."""
    method = METHODS[name]
    stages = ((4, 14), (2, 36)) if method.profile else ((2, 24),)
    tuning = 3 if method.learns_weights else 0
    rounds = short_rounds(method, 12)
    escapes = ((12, 10), (10, 14)) if method.escapes else ()
    steps = {"stages": stages, "escapes": escapes, "rounds": rounds, "weights_iterations": tuning}
    settle = {"settle": 0.7} if method.settle else {}
    return replace(method, pool=24, batch=8, **steps, **settle)


def grid(method, corrupted, networks, checkpoint=None, **changes):
    images, mask, _ = corrupted
    options = {
        **shown(method, images, mask),
        "generator": networks[0],
        "method": method,
        "lams": [0.05, 0.3] if method.has_lambda else [None],
        "discriminator": networks[1] if method.needs_discriminator else None,
        "index": range(3, 8),
    }
    return invert_grid(**options | changes, checkpoint=checkpoint)


def assert_same(one, other):
    for restoration, expected in zip(one, other, strict=True):
        for name in FIELDS:
            assert torch.equal(getattr(restoration, name), getattr(expected, name)), name


class StopAt(StopRequest):
    """Asks for the end at the N-th step."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def __bool__(self):
        self.left -= 1
        return self.left <= 0


@pytest.mark.usefixtures("swift", "needed_backbone")
@pytest.mark.parametrize("name", METHODS)
def test_an_inversion_stopped_after_every_step_finds_the_same_to_the_last_bit(
    name, corrupted, networks, tmp_path
):
    method = replace(short(name), tolerance=0.0)  # every step can then be counted
    stops = 0
    while True:
        checkpoint = Checkpoint(tmp_path / "kept.pt", stop=StopAt(1))
        try:
            found = grid(method, corrupted, networks, checkpoint)
            break
        except Interrupted as interruption:
            assert "kept.pt holds" in str(interruption)
            stops += 1
    rows = 5 * (2 if method.has_lambda else 1)
    batches = -(-rows // 8)
    pool = 3
    explored, settling = 5 if method.explore_lam else rows, method.settling_passes
    *before, (starts, steps) = [(1, 0), *method.stages]
    searches = [(explored * many, each) for many, each in before]
    searches += [(explored * starts, each) for pair in method.escapes for each in pair]
    searches += [(explored * starts, settling), (rows * starts, steps - settling)]
    chunks = sum(-(-count // 8) * -(-each // 10) for count, each in searches)
    rounds = 2 * len(method.rounds)
    assert stops == pool + chunks + batches * (1 + rounds + method.weights_iterations)
    assert_same(found, grid(method, corrupted, networks))


@pytest.mark.usefixtures("swift")
@pytest.mark.parametrize("step", [2, 9, 14])
def test_an_inversion_killed_within_a_step_finds_the_same(
    step, corrupted, networks, tmp_path, monkeypatch
):
    method, checkpoint = short("r-rgi"), Checkpoint(tmp_path / "kept.pt", seconds=0)
    count = 0
    original = progress.KeptProgress.reach

    def breaking(self):
        nonlocal count
        count += 1
        if count == step:
            raise KeyboardInterrupt  # what has been reached since the last checkpoint is lost
        original(self)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(progress.KeptProgress, "reach", breaking)
        grid(method, corrupted, networks, checkpoint)
    assert checkpoint.path.exists()
    assert_same(grid(method, corrupted, networks, checkpoint), grid(method, corrupted, networks))


def test_seconds_of_all_starts_are_counted(corrupted, networks, tmp_path):
    method, path = short("l2"), tmp_path / "kept.pt"
    with pytest.raises(Interrupted):
        grid(method, corrupted, networks, Checkpoint(path, stop=StopAt(2)))
    content = torch.load(path, weights_only=True)
    content["state"]["seconds"] += 1000
    torch.save(content, path)
    (found,) = grid(method, corrupted, networks, Checkpoint(path))
    assert 1000 < found.seconds.sum() < 1100


def test_memory_that_ran_out_before_a_stop_is_remembered(corrupted, networks, tmp_path):
    """Another number of rows would round the rest differently."""
    method, path = short("rgi"), tmp_path / "kept.pt"
    with pytest.raises(Interrupted):
        grid(method, corrupted, networks, Checkpoint(path, stop=StopAt(5)))
    content = torch.load(path, weights_only=True)
    assert content["state"]["rows at a time"] == 8
    content["state"]["rows at a time"] = 4
    torch.save(content, path)
    with pytest.raises(Interrupted):
        grid(method, corrupted, networks, Checkpoint(path, stop=StopAt(1)))
    assert torch.load(path, weights_only=True)["state"]["rows at a time"] == 4


@pytest.mark.usefixtures("swift")
def test_fine_tuning_that_runs_out_of_memory_frees_its_weights(
    corrupted, networks, tmp_path, monkeypatch
):
    """Smaller batches begin anew: what the failed one had reached is not held for checkpoints."""
    method, checkpoint = short("r-rgi"), Checkpoint(tmp_path / "kept.pt", seconds=0)
    original, sizes = tuning._learn, []

    def failing(problem, render, state):
        if len(state.rows.latent) > 4 and state.step == 1:
            raise MemoryError
        sizes.append(len(state.rows.latent))
        original(problem, render, state)

    monkeypatch.setattr(tuning, "_learn", failing)
    grid(method, corrupted, networks, checkpoint)
    assert sizes == [8] + [4] * 3 * 3
    saved = torch.load(checkpoint.path, weights_only=True)["state"]
    assert "tuning" not in saved
    assert saved["results"][0] == 10


@pytest.mark.usefixtures("swift", "needed_backbone")
@pytest.mark.parametrize("name", ["ilo", "robust-ilo"])
def test_rounds_that_run_out_of_memory_begin_anew_with_fewer_rows(
    name, corrupted, networks, tmp_path, monkeypatch
):
    """Within a round all rows stay together, and of what failed no checkpoint keeps a part."""
    method, checkpoint = short(name), Checkpoint(tmp_path / "kept.pt", seconds=0)
    original, sizes = descent.take_passes, []

    def failing(problem, render, rows, count):
        if rows.latent.ndim == 4:  # features
            sizes.append(len(rows.latent))
            if len(rows.latent) > 4 and len(sizes) > 3:  # in the second round
                raise MemoryError
        original(problem, render, rows, count)

    monkeypatch.setattr(descent, "take_passes", failing)
    grid(method, corrupted, networks, checkpoint)
    batches = 3 if method.has_lambda else 2
    assert sizes == [8] * 4 + [4] * 4 * batches
    saved = torch.load(checkpoint.path, weights_only=True)["state"]
    assert not saved.keys() & {"rounds", "round"}


@pytest.mark.parametrize(
    "change",
    [
        "method",
        "image",
        "mask",
        "operator",
        "lams",
        "seed",
        "index",
        "generator",
        "discriminator",
        "memory",
    ],
)
def test_a_checkpoint_of_anything_else_is_not_used(change, corrupted, networks, tmp_path, caplog):
    method, path = short("yeh-with-mask"), tmp_path / "kept.pt"
    if change == "lams":
        method = short("rgi")
    if change == "operator":
        method = short("csgm")
    with pytest.raises(Interrupted):
        grid(method, corrupted, networks, Checkpoint(path, stop=StopAt(6)))
    images, mask, clean = corrupted
    options = {}
    if change == "method":
        method = replace(method, critic_weight=0.2)
    elif change == "image":
        corrupted = clean, mask, clean
    elif change == "mask":
        corrupted = images, ~mask, clean
    elif change == "operator":  # of the same observations
        options["operator"] = Inpainting(~mask)
    elif change == "generator":
        networks = Generator(ARCHITECTURE, seed=5).eval(), networks[1]
    elif change == "discriminator":
        networks = networks[0], Discriminator(ARCHITECTURE, seed=5).eval()
    else:
        others = {"lams": [0.05, 0.4], "seed": 1, "index": range(5), "memory": 10**5}
        options[change] = others[change]
    found = grid(method, corrupted, networks, Checkpoint(path), **options)
    assert "kept.pt: made with other" in caplog.text
    assert_same(found, grid(method, corrupted, networks, **options))


def test_a_checkpoint_of_another_encoder_is_not_used(corrupted, networks, tmp_path, caplog):
    method, path = replace(short("l2"), encoded_start=True), tmp_path / "kept.pt"
    one, other = (Encoder(ARCHITECTURE, seed=seed) for seed in (4, 5))
    with pytest.raises(Interrupted):
        grid(method, corrupted, networks, Checkpoint(path, stop=StopAt(6)), encoder=one)
    found = grid(method, corrupted, networks, Checkpoint(path), encoder=other)
    assert "kept.pt: made with other encoder" in caplog.text
    assert_same(found, grid(method, corrupted, networks, encoder=other))


def test_a_damaged_checkpoint_costs_the_work_and_nothing_else(
    corrupted, networks, tmp_path, caplog
):
    method, path = short("rgi-profile"), tmp_path / "kept.pt"
    with pytest.raises(Interrupted):
        grid(method, corrupted, networks, Checkpoint(path, stop=StopAt(6)))
    content = path.read_bytes()
    middle = len(content) // 2
    expected = grid(method, corrupted, networks)
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    torch.save({"identity": "mine", "state": {}}, tmp_path / "other.pt")
    other = (tmp_path / "other.pt").read_bytes()
    for damaged in (b"", content[:middle], flipped, other):
        path.write_bytes(damaged)
        caplog.clear()
        assert_same(grid(method, corrupted, networks, Checkpoint(path)), expected)
        assert "kept.pt: damaged" in caplog.text


@pytest.mark.parametrize(("cost", "gap"), [(0.0, 5), (10.0, 500)])
def test_checkpoints_are_due_by_the_clock_and_by_what_they_cost(cost, gap, tmp_path, monkeypatch):
    now, written = 0.0, []

    def save(path, identity, state):
        nonlocal now
        now += cost
        written.append(now)

    monkeypatch.setattr(progress, "save_checkpoint", save)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    kept = progress.KeptProgress(
        Checkpoint(tmp_path / "kept.pt", seconds=5), {}, torch.device("cpu")
    )
    for _ in range(2000):
        now += 1
        kept.part("rows").reach()
    assert written[0] == 5 + cost
    assert set(np.diff(written)) == {gap + cost}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_is_a_request_as_long_as_it_is_listened_to(number):
    before = signal.getsignal(number)
    with stop_requests() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert stop
        assert stop.signal == number
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    ("number", "preempted", "rank", "asked"),
    [
        (signal.SIGUSR1, "None", None, True),
        (signal.SIGUSR1, "None", "0", True),
        (signal.SIGUSR1, "None", "1", False),  # the first process of a team has asked
        (signal.SIGTERM, "2026-01-31T12:00:00", None, True),
        (signal.SIGTERM, "2026-01-31T12:00:00", "1", False),
        (signal.SIGTERM, "None", None, False),  # cancelled
        (signal.SIGINT, "2026-01-31T12:00:00", None, False),
    ],
)
@pytest.mark.parametrize("refusal", [None, "Job is not allowed to"])
def test_slurm_is_asked_to_run_again_what_it_warned_or_preempts_not_what_was_cancelled(
    number, preempted, rank, asked, refusal, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    answer = "exit 0" if refusal is None else f"echo {refusal} >&2; exit 1"
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f"""#!/bin/sh
if [ "$*" = "--oneliner show job 17" ]; then
    echo JobId=17 JobName=x JobState=RUNNING PreemptTime={preempted} Restarts=0
else
    echo "$@" > {tmp_path}/asked; {answer}
fi
""")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    with pytest.raises(Interrupted), stop_requests() as stop:
        os.kill(os.getpid(), number)
        assert stop
        raise Interrupted
    assert (tmp_path / "asked").exists() == asked
    if asked:
        assert (tmp_path / "asked").read_text() == "requeue 17\n"
        said = "back in the queue" if refusal is None else f"not put back into the queue: {refusal}"
        assert said in caplog.text


def test_without_slurm_a_warning_only_ends_the_computation(monkeypatch, caplog):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(Interrupted), stop_requests():
        os.kill(os.getpid(), signal.SIGUSR1)
        raise Interrupted
    assert not caplog.text


# As processes


@pytest.fixture(scope="module")
def prepared(networks, corrupted, tmp_path_factory):
    """A case and trained networks, as files."""
    folder = tmp_path_factory.mktemp("prepared")
    images, mask, clean = (tensor.numpy() for tensor in corrupted)
    arrays = {"clean": clean, "corrupted": images, "mask": mask, "index": np.arange(5)}
    np.savez(folder / "case.npz", **arrays)
    save_generator(folder / "generator.pt", networks[0])
    save_discriminator(folder / "discriminator.pt", networks[1])
    return folder


def inversion(prepared, output, *options):
    """R-RGI of two lambdas for some seconds, in a process of its own."""
    settings = {"stages": [[2, 10], [1, 300]], "pool": 16, "weights_iterations": 100}
    command = [sys.executable, SCRIPTS / "restore_inversion.py", "--case", prepared / "case.npz"]
    command += ["--generator", prepared / "generator.pt", "--method", "r-rgi"]
    command += ["--discriminator", prepared / "discriminator.pt", "--first", 0, "--last", 5]
    command += ["--settings", json.dumps(settings), "--device", "cpu"]
    command += ["--lam", 0.1, "--output", output / "0.1.npz", "--lam", 0.3]
    command += ["--output", output / "0.3.npz", *options]
    return subprocess.Popen(
        list(map(str, command)),
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_line(process, words):
    """Read a process's log up to a line with `words`; it comes early in a long computation."""
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"{words!r} is not in the log; status {process.wait()}")


@pytest.fixture(scope="module")
def undisturbed(prepared):
    run = inversion(prepared, prepared / "undisturbed")
    _, log = run.communicate()
    assert run.returncode == 0, log
    return {lam: load_arrays(prepared / f"undisturbed/{lam}.npz", *SAVED) for lam in (0.1, 0.3)}


def assert_goes_on(prepared, output, undisturbed):
    """The same command again ends with the same arrays and leaves nothing else."""
    again = inversion(prepared, output)
    _, log = again.communicate()
    assert again.returncode == 0, log
    assert "going on from there" in log
    for lam, expected in undisturbed.items():
        found = load_arrays(output / f"{lam}.npz", *SAVED)
        for name in SAVED:
            assert np.array_equal(found[name], expected[name]), name
    left = {path.name for path in output.iterdir()} - {".0.1.npz.sha256", ".0.3.npz.sha256"}
    assert left == {"0.1.npz", "0.3.npz"}


def test_an_inversion_that_is_asked_to_end_keeps_what_it_has(prepared, undisturbed, tmp_path):
    run = inversion(prepared, tmp_path)
    wait_for_line(run, "10 x 2 descents")
    run.send_signal(signal.SIGTERM)
    _, log = run.communicate()
    assert run.returncode == NOT_FINISHED, log
    assert f"not finished: {tmp_path}/.0.1.checkpoint.pt holds what was reached" in log
    assert [path.name for path in tmp_path.iterdir()] == [".0.1.checkpoint.pt"]
    assert_goes_on(prepared, tmp_path, undisturbed)


def test_an_inversion_that_is_killed_goes_on_from_its_last_checkpoint(
    prepared, undisturbed, tmp_path
):
    run = inversion(prepared, tmp_path, "--checkpoint-seconds", 0)
    wait_for_line(run, "10 x 1 descents")  # fine-tuning is next
    run.kill()
    run.communicate()
    assert run.returncode == KILLED
    (tmp_path / "..0.1.checkpoint.partial.pt").touch()  # as a kill within a write leaves it
    assert_goes_on(prepared, tmp_path, undisturbed)


LONGER = replace(SHORT, images_stable=400, images_fade=400, checkpoint_seconds=1e6)


def training(pictures, directory, settings=LONGER):
    directory.mkdir(exist_ok=True)
    np.save(directory / "train.npy", pictures)
    entry = asdict(settings) | {"latent_dim": SMALL.latent_dim, "widths": SMALL.widths}
    command = [sys.executable, SCRIPTS / "train_generator.py", "--settings", json.dumps(entry)]
    command += ["--images", directory / "train.npy", "--directory", directory, "--device", "cpu"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_training_that_is_stopped_goes_on_from_there(number, pictures, tmp_path):
    killed = number == signal.SIGKILL
    settings = replace(LONGER, checkpoint_seconds=0) if killed else LONGER
    run = training(pictures, tmp_path / "stopped", settings)
    wait_for_line(run, "images shown")
    run.send_signal(number)
    _, log = run.communicate()
    checkpoint = tmp_path / "stopped" / "checkpoint.pt"
    step = torch.load(checkpoint, weights_only=True)["state"]["step"]
    if killed:
        assert run.returncode == KILLED
    else:
        assert run.returncode == NOT_FINISHED, log
        assert f"not finished: {checkpoint} holds step {step}" in log
    assert not (tmp_path / "stopped" / "generator.pt").exists()

    again = training(pictures, tmp_path / "stopped")
    _, log = again.communicate()
    assert again.returncode == 0, log
    assert f"going on at step {step} of" in log
    start(pictures, tmp_path / "whole", LONGER)
    assert same_weights(tmp_path / "whole", tmp_path / "stopped")
    shown = [[line["images"] for line in lines(tmp_path / name)] for name in ("whole", "stopped")]
    assert shown[0] == shown[1]

"""Training of a Progressive GAN: losses, schedule, restarts, failures, outputs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rgi.errors import InputError
from rgi.models import Architecture, Discriminator, Generator, load_discriminator, load_generator
from rgi.training import TrainingSettings, progressive, read_settings, samples, train
from rgi.training.checkpoint import identify
from rgi.training.losses import critic_loss, gradient_penalty, judge_both
from rgi.training.schedule import Schedule
from rgi.training.statistics import MEASURES

SMALL = Architecture(resolution=16, channels=1, latent_dim=6, widths=(5, 4, 3))
SHORT = TrainingSettings(
    images_stable=16, images_fade=32, batch=8, averaging_halflife=20, tick_images=16
)
LAST_STEP = Schedule(SHORT, SMALL.levels).steps
IN_MID_FADE = 10
CPU = torch.device("cpu")


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def uniform(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (20, 16, 16, 1), dtype=np.uint8)


def start(pictures, directory, settings=SHORT, seed=0, architecture=SMALL):
    train(pictures, architecture, settings, directory, seed=seed, device=CPU)


def weights(directory):
    networks = (
        load_generator(directory / "generator.pt"),
        load_discriminator(directory / "discriminator.pt"),
    )
    return [tensor for network in networks for tensor in network.state_dict().values()]


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def lines(directory):
    return [json.loads(line) for line in (directory / "training.jsonl").read_text().splitlines()]


def kill_at(monkeypatch, step):
    """Break off training before `step` is computed, as a kill would."""
    original = progressive.train_step

    def breaking(state, *rest):
        if state.step == step:
            raise KeyboardInterrupt
        return original(state, *rest)

    monkeypatch.setattr(progressive, "train_step", breaking)


# Losses


def test_gradient_penalty_is_that_of_every_image_alone():
    critic = Discriminator(SMALL).eval()
    reals, fakes, mixing = normal(4, 1, 16, 16), normal(4, 1, 16, 16, seed=1), uniform(4)
    expected = []
    for real, fake, share in zip(reals, fakes, mixing, strict=True):
        point = ((1 - share) * real + share * fake)[None].requires_grad_()
        critic(point).backward()
        expected.append((point.grad.square().sum().sqrt() - 1) ** 2)
    found = gradient_penalty(critic, reals, fakes, mixing)
    torch.testing.assert_close(found, torch.stack(expected).mean(), rtol=1e-4, atol=1e-6)


def test_gradient_penalty_of_a_linear_critic_is_known():
    slope = torch.full((1, 16, 16), 3 / 16)  # ||slope|| = 3
    images = normal(4, 1, 16, 16)
    penalty = gradient_penalty(lambda x: (x * slope).sum((1, 2, 3)), images, images, uniform(4))
    assert penalty.item() == pytest.approx((3 - 1) ** 2, rel=1e-5)


def test_gradient_penalty_reaches_the_critics_weights():
    critic = Discriminator(SMALL)
    images = normal(4, 1, 16, 16)
    gradient_penalty(critic, images, -images, uniform(4)).backward()
    assert critic.blocks[0].first.weight.grad.abs().sum() > 0


def test_critic_loss_against_its_formula():
    real, fake = normal(8), normal(8, seed=1)
    expected = fake.mean() - real.mean() + 0.1 * (real**2).mean()
    torch.testing.assert_close(critic_loss(real, fake, drift=0.1), expected)


def test_judging_reals_and_fakes_together_equals_judging_them_apart():
    critic = Discriminator(SMALL).train()
    reals, fakes = normal(8, 1, 16, 16), normal(8, 1, 16, 16, seed=1)
    real, fake = judge_both(critic, reals, fakes)
    torch.testing.assert_close(real, critic(reals), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fake, critic(fakes), rtol=1e-4, atol=1e-5)


def test_reals_fade_as_the_networks_do():
    images = normal(2, 1, 16, 16)
    blocks = images.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5))
    coarse = blocks.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(samples.at_level(images, 1, 1.0), blocks)
    torch.testing.assert_close(samples.at_level(images, 2, 0.0), coarse)
    torch.testing.assert_close(samples.at_level(images, 2, 0.25), 0.75 * coarse + 0.25 * images)
    assert torch.equal(samples.at_level(images, 2, 1.0), images)


# Schedule and settings


def test_every_level_fades_in_and_then_trains_alone():
    settings = TrainingSettings(images_stable=16, images_fade=32, batch=(4, 8, 16))
    schedule = Schedule(settings, 3)
    positions = [schedule.at(step) for step in range(schedule.steps)]
    assert [p.level for p in positions] == [0] * 4 + [1] * 6 + [2] * 3
    assert [p.fade for p in positions] == [1] * 4 + [0, 0.25, 0.5, 0.75, 1, 1] + [0, 0.5, 1]
    assert [p.batch for p in positions] == [4] * 4 + [8] * 6 + [16] * 3
    assert [n for n, p in enumerate(positions) if p.starts_level] == [0, 4, 10]
    assert [n for n, p in enumerate(positions) if p.ends_level] == [3, 9, 12]
    assert positions[-1].images == schedule.images == sum(p.batch for p in positions)


def test_ticks_end_every_so_many_images_and_with_a_level():
    schedule = Schedule(replace(SHORT, tick_images=24), 2)
    ends = [step for step in range(schedule.steps) if schedule.at(step).ends_tick]
    assert ends == [1, 4, 7]


@pytest.mark.parametrize(
    "change",
    [
        {"images_stable": 0},
        {"images_fade": -1},
        {"batch": 6},
        {"batch": [8, 8, 7]},
        {"learning_rate": 0},
        {"learning_rate": "fast"},
        {"betas": [0.0, 1.0]},
        {"betas": [0.9]},
        {"gradient_penalty": -1},
        {"averaging_halflife": 0.5},
        {"mirror": 1},
        {"checkpoint_seconds": -1},
    ],
)
def test_impossible_settings_are_refused_by_name(change):
    (name,) = change
    with pytest.raises(InputError, match=f"{name}: .*; allowed: "):
        TrainingSettings(**change)


def test_one_number_per_level_must_be_as_many_as_levels():
    with pytest.raises(InputError, match="batch: .*allowed: one integer, or 3"):
        Schedule(TrainingSettings(batch=(4, 8)), 3)


def test_a_config_entry_becomes_architecture_and_settings():
    entry = {"latent_dim": 6, "widths": [5, 4, 3], "batch": [8, 8, 4], "learning_rate": 0.002}
    architecture, settings = read_settings(entry, resolution=16, channels=1)
    assert architecture == SMALL
    assert settings == TrainingSettings(batch=(8, 8, 4), learning_rate=0.002)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"latent_dim": 6, "widths": [5, 4, 3], "bach": 8}, "unknown key 'bach'; allowed: .*batch"),
        ({"latent_dim": 6}, "'widths' is missing"),
        ({"latent_dim": 6, "widths": 5}, "widths: 5"),
    ],
)
def test_a_wrong_config_entry_is_refused(entry, message):
    with pytest.raises(InputError, match=message):
        read_settings(entry, resolution=16, channels=1)


# Training


def test_training_writes_what_the_contract_names(pictures, tmp_path):
    start(pictures, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "generator.pt",
        "discriminator.pt",
        "training.jsonl",
        "checkpoint.pt",
        "samples.png",
        "samples_4.png",
        "samples_8.png",
        "samples_16.png",
    }
    generator = load_generator(tmp_path / "generator.pt")
    assert generator.architecture == SMALL
    assert generator(normal(2, 6)).shape == (2, 1, 16, 16)


def test_every_line_of_the_log_is_json_and_none_is_missing(pictures, tmp_path):
    start(pictures, tmp_path)
    schedule = Schedule(SHORT, SMALL.levels)
    ends = [step + 1 for step in range(schedule.steps) if schedule.at(step).ends_tick]
    found = lines(tmp_path)
    assert [line["step"] for line in found] == ends
    assert found[-1]["images"] == schedule.images
    fields = {"images", "level", "resolution", "fade", "seconds", "images_per_second"}
    assert all(fields | {"memory_mib", *MEASURES} <= line.keys() for line in found)


def test_training_moves_every_weight_of_the_last_level(pictures, tmp_path):
    start(pictures, tmp_path)
    before, after = Generator(SMALL), load_generator(tmp_path / "generator.pt")
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert not torch.equal(old, new), name


def test_the_seed_decides(pictures, tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        start(pictures, tmp_path / name, seed=seed)
    assert same_weights(tmp_path / "one", tmp_path / "again")
    assert not same_weights(tmp_path / "one", tmp_path / "other")


def test_the_average_has_the_stated_half_life(pictures, tmp_path):
    settings = replace(SHORT, averaging_halflife=8)  # one batch
    state = progressive._begin(SMALL, settings, 0, CPU)
    position = Schedule(settings, SMALL.levels).at(0)
    draw = progressive._draw(pictures, 6, position, settings, 0, 0)
    old = state.generator.dense.weight.detach().clone()
    progressive.train_step(state, draw, position, settings)
    expected = (old + state.generator.dense.weight) / 2
    torch.testing.assert_close(state.average.dense.weight, expected)


def test_mirror_flips_some_images_left_to_right_and_only_if_asked(pictures):
    position = Schedule(SHORT, SMALL.levels).at(LAST_STEP - 1)
    plain = progressive._draw(pictures, 6, position, SHORT, 0, 0).reals
    flipped = progressive._draw(pictures, 6, position, replace(SHORT, mirror=True), 0, 0).reals
    changed = [not torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    assert 0 < sum(changed) < len(changed)
    for one, other in zip(plain, flipped, strict=True):
        assert torch.equal(one, other) or torch.equal(one.flip(-1), other)


# Restart


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


def test_a_checkpoint_of_other_settings_is_discarded_with_a_warning(pictures, tmp_path, caplog):
    start(pictures, tmp_path / "used", replace(SHORT, learning_rate=0.01), seed=3)
    start(pictures, tmp_path / "used")
    start(pictures, tmp_path / "fresh")
    assert same_weights(tmp_path / "used", tmp_path / "fresh")
    assert "other learning_rate, seed; training starts anew" in caplog.text


def test_a_damaged_checkpoint_is_discarded_with_a_warning(pictures, tmp_path, caplog):
    start(pictures, tmp_path / "whole")
    (tmp_path / "used").mkdir()
    content = (tmp_path / "whole" / "checkpoint.pt").read_bytes()
    for damaged in (b"", content[: len(content) // 2]):
        (tmp_path / "used" / "checkpoint.pt").write_bytes(damaged)
        caplog.clear()
        start(pictures, tmp_path / "used")
        assert "checkpoint.pt: damaged" in caplog.text
        assert same_weights(tmp_path / "whole", tmp_path / "used")


def test_a_checkpoint_is_told_apart_by_its_images(pictures):
    changed = pictures.copy()
    changed[7, 3, 3] ^= 1
    one, other = (identify(images, SMALL, SHORT, 0) for images in (pictures, changed))
    assert one["images"] != other["images"]


def test_the_time_between_checkpoints_does_not_tell_trainings_apart(pictures):
    often = identify(pictures, SMALL, replace(SHORT, checkpoint_seconds=1), 0)
    assert often == identify(pictures, SMALL, SHORT, 0)


# Failures


def test_a_loss_that_is_not_finite_ends_the_training(pictures, tmp_path, monkeypatch):
    original = progressive.train_step

    def poisoned(state, *rest):
        measures = original(state, *rest)
        return measures * float("nan") if state.step == 8 else measures

    monkeypatch.setattr(progressive, "train_step", poisoned)
    with pytest.raises(InputError, match=r"is nan at level 2 .* after .* images; lower learning"):
        start(pictures, tmp_path)
    assert not (tmp_path / "generator.pt").exists()


def test_a_generator_of_one_image_ends_the_training(pictures, tmp_path, monkeypatch):
    def blind(*arguments, **options):
        generator = Generator(*arguments, **options)
        with torch.no_grad():
            for layer in generator.to_rgb:
                layer.weight.zero_()
        return generator

    monkeypatch.setattr(progressive, "Generator", blind)
    with pytest.raises(InputError, match="collapsed to nearly one image at level 0"):
        start(pictures, tmp_path, replace(SHORT, learning_rate=1e-9))


def test_a_diverse_generator_has_not_collapsed(pictures):
    shrunk = samples.at_level(torch.from_numpy(pictures / 127.5 - 1.0).movedim(-1, 1), 1, 1.0)
    samples.check_spread(pictures, 0.5 * shrunk, 1)
    with pytest.raises(InputError, match="collapsed"):
        samples.check_spread(pictures, 0.01 * shrunk, 1)


def test_equal_training_images_are_no_collapse(pictures):
    equal = np.repeat(pictures[:1], 5, axis=0)
    samples.check_spread(equal, torch.zeros(4, 1, 8, 8), 1)


@pytest.mark.parametrize("shape", [(0, 16, 16, 1), (4, 8, 8, 1), (4, 16, 16, 3)])
def test_images_that_do_not_fit_the_architecture_are_refused(shape, tmp_path):
    with pytest.raises(InputError, match="allowed: uint8 N x 16 x 16 x 1"):
        start(np.zeros(shape, dtype=np.uint8), tmp_path)


def test_the_script_trains_and_names_bad_settings(pictures, tmp_path):
    np.save(tmp_path / "train.npy", pictures)
    script = Path(__file__).parent.parent / "workflow" / "scripts" / "train_generator.py"
    entry = {"latent_dim": 6, "widths": [5, 4, 3], "images_stable": 8, "images_fade": 8, "batch": 8}

    def call(entry):
        command = [sys.executable, script, "--images", tmp_path / "train.npy", "--device", "cpu"]
        command += ["--directory", tmp_path / "out", "--settings", json.dumps(entry)]
        return subprocess.run(command, capture_output=True, text=True)

    assert call(entry).returncode == 0
    assert load_generator(tmp_path / "out" / "generator.pt").architecture == SMALL
    failed = call({**entry, "bach": 4})
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("error: settings: unknown key 'bach'")

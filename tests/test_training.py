"""Training of a Progressive GAN: losses, schedule, steps, failures, outputs."""

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

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
    normal,
    same_weights,
    start,
    uniform,
)

from rgi.errors import InputError
from rgi.models import Discriminator, Generator, load_generator
from rgi.settings import read_settings
from rgi.training import TrainingSettings, draws, progressive, read_training, samples
from rgi.training.losses import critic_loss, gradient_penalty, judge_both
from rgi.training.progressive import MEASURES
from rgi.training.schedule import Schedule
from rgi.training.seeds import Purpose, derive_seed

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
        {"precision": "float16"},
        {"checkpoint_seconds": -1},
    ],
)
def test_impossible_settings_are_refused_by_name(change):
    (name,) = change
    with pytest.raises(
        InputError, match=f"^generators: {name}: .*; (allowed|Input should|Field required)"
    ):
        read_settings(TrainingSettings, change, "generators")


def test_one_number_per_level_must_be_as_many_as_levels():
    with pytest.raises(InputError, match="batch: .*allowed: one integer, or 3"):
        Schedule(TrainingSettings(batch=(4, 8)), 3)


def test_a_config_entry_becomes_architecture_and_settings():
    entry = {"latent_dim": 6, "widths": [5, 4, 3], "batch": [8, 8, 4], "learning_rate": 0.002}
    architecture, settings = read_training(entry, resolution=16, channels=1)
    assert architecture == SMALL
    assert settings == TrainingSettings(batch=(8, 8, 4), learning_rate=0.002)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"latent_dim": 6, "widths": [5, 4, 3], "bach": 8}, "unknown key 'bach'; allowed: .*batch"),
        ({"latent_dim": 6}, "'widths' is missing"),
        ({"latent_dim": 6, "widths": 5}, "widths: 5"),
        ({"latent_dim": 6, "widths": [5, 4, 3], "channels": 1}, "unknown key 'channels'"),
    ],
)
def test_a_wrong_config_entry_is_refused(entry, message):
    with pytest.raises(InputError, match=message):
        read_training(entry, resolution=16, channels=1)


# Training


def test_training_writes_what_the_contract_names(pictures, tmp_path):
    start(pictures, tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert {name for name in made if not name.endswith(".sha256")} == {
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
    before = progressive._begin(SMALL, SHORT, 0, CPU).generator
    after = load_generator(tmp_path / "generator.pt")
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert not torch.equal(old, new), name


def test_the_seed_decides(pictures, tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        start(pictures, tmp_path / name, seed=seed)
    assert same_weights(tmp_path / "one", tmp_path / "again")
    assert not same_weights(tmp_path / "one", tmp_path / "other")


def in_double(pictures, step, settings=SHORT):
    """A fresh state and one step's draw in float64, which leaves no doubt about rounding."""
    state = progressive._begin(SMALL, settings, 0, CPU)
    for network in (state.generator, state.discriminator, state.average):
        network.double()
    state.optimisers = progressive._optimisers(state.generator, state.discriminator, settings)
    position = Schedule(settings, SMALL.levels).at(step)
    draw = draws.draw_step(pictures, 6, position, settings, 0, step)
    parts = (draw.reals, draw.latent, draw.mixing)
    return state, draws.Draw(*(part.double() for part in parts)), position


def first_adam_step(network, loss, settings):
    """Adam's first step from nothing: both corrected moments are the gradient's own."""
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    with torch.no_grad():
        for weight, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                weight -= settings.learning_rate * gradient / (gradient.abs() + 1e-8)


def test_a_step_in_mid_fade_is_that_of_the_paper(pictures):
    settings = replace(SHORT, drift=0.1, averaging_halflife=16)  # two batches
    state, draw, position = in_double(pictures, IN_MID_FADE, settings)
    assert 0 < position.fade < 1
    generator, critic = copy.deepcopy(state.generator), copy.deepcopy(state.discriminator)
    old = copy.deepcopy(generator)
    measures = progressive.train_step(state, draw, position, settings)

    at = (position.level, position.fade)
    fakes = generator.grow(draw.latent, *at)
    share = draw.mixing[:, None, None, None]
    mixed = ((1 - share) * draw.reals + share * fakes.detach()).requires_grad_()
    (slope,) = torch.autograd.grad(critic.grow(mixed, *at).sum(), mixed, create_graph=True)
    penalty = ((slope.pow(2).sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
    real, fake = critic.grow(draw.reals, *at), critic.grow(fakes.detach(), *at)
    loss = fake.mean() - real.mean() + 0.1 * (real**2).mean() + 10 * penalty
    first_adam_step(critic, loss, settings)
    generator_loss = -critic.grow(fakes, *at).mean()
    first_adam_step(generator, generator_loss, settings)

    for found, expected in ((state.discriminator, critic), (state.generator, generator)):
        torch.testing.assert_close(list(found.parameters()), list(expected.parameters()))
    averaged = [
        a / 2**0.5 + (1 - 1 / 2**0.5) * b
        for a, b in zip(old.parameters(), generator.parameters(), strict=True)
    ]
    torch.testing.assert_close(list(state.average.parameters()), averaged)
    expected = torch.stack([loss, generator_loss, penalty, real.mean(), fake.mean()])
    torch.testing.assert_close(measures, expected.detach())


@pytest.mark.parametrize("level", range(SMALL.levels))
def test_a_step_in_bfloat16_is_nearly_that_in_float32(pictures, level):
    """Measures within 2% + 0.1 (a loss adds ten penalties), gradients nearer than by another draw.

    At the demo's widths: of 3 to 5 feature maps, pixel norm leaves too little in 8 bits. How far a
    gradient turns depends on the processor (15 degrees were seen); what matters is that the choice
    of the step's images turns it farther.
    """
    schedule = Schedule(SHORT, SMALL.levels)
    step, *_, other = (s for s in range(schedule.steps) if schedule.at(s).level == level)

    def trained(precision, drawn):
        settings = replace(SHORT, precision=precision)
        state = progressive._begin(replace(SMALL, widths=(64, 48, 24)), settings, 0, CPU)
        draw = draws.draw_step(pictures, 6, schedule.at(step), settings, 0, drawn)
        measures = progressive.train_step(state, draw, schedule.at(step), settings)
        gradients = [
            torch.cat([w.grad.flatten() for w in network.parameters() if w.grad is not None])
            for network in (state.generator, state.discriminator)
        ]
        return measures, state.discriminator.spread.average, *gradients

    exact, rounded = trained("float32", step), trained("bfloat16", step)
    for found in rounded:
        assert found.dtype == torch.float32
        assert found.isfinite().all()
    assert not torch.equal(rounded[0], exact[0])
    torch.testing.assert_close(rounded[0], exact[0], rtol=0.02, atol=0.1)
    torch.testing.assert_close(rounded[1], exact[1], rtol=0.02, atol=0)
    another = trained("float32", other)
    for index in (2, 3):
        turned, drawn = (
            torch.cosine_similarity(found[index], exact[index], dim=0)
            for found in (rounded, another)
        )
        assert turned > drawn


def test_the_spreads_average_learns_from_judged_reals_and_fakes_alone(pictures):
    state, draw, position = in_double(pictures, IN_MID_FADE)
    twin = copy.deepcopy(state.discriminator)
    at = (position.level, position.fade)
    twin.grow(torch.cat([draw.reals, state.generator.grow(draw.latent, *at)]), *at)
    progressive.train_step(state, draw, position, SHORT)
    torch.testing.assert_close(state.discriminator.spread.average, twin.spread.average)
    assert twin.spread.average != 1


def test_the_reals_of_a_step_are_faded_as_its_position_says(pictures):
    position = Schedule(SHORT, SMALL.levels).at(IN_MID_FADE)
    assert 0 < position.fade < 1

    def detail(fade):
        """Deviation within blocks of 2 x 2 pixels, which the level below cannot show."""
        reals = draws.draw_step(pictures, 6, replace(position, fade=fade), SHORT, 0, 0).reals
        blocks = reals.unflatten(2, (-1, 2)).unflatten(4, (-1, 2))
        return (blocks - blocks.mean((3, 5), keepdim=True)).std().item()

    assert detail(0.0) == pytest.approx(0, abs=1e-6)
    assert detail(position.fade) == pytest.approx(position.fade * detail(1.0), rel=1e-4)


@pytest.mark.parametrize("level", range(SMALL.levels))
def test_every_level_begins_with_fresh_optimisers(pictures, tmp_path, monkeypatch, level):
    schedule = Schedule(SHORT, SMALL.levels)
    first = next(step for step in range(schedule.steps) if schedule.at(step).level == level)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        kill_at(patch, first + 1)
        start(pictures, tmp_path, replace(SHORT, checkpoint_seconds=0))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]
    assert state["step"] == first + 1
    for adam in state["optimisers"].values():
        assert {entry["step"].item() for entry in adam["state"].values()} == {1}


def test_the_generator_on_disk_is_the_average(pictures, tmp_path):
    start(pictures, tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]
    saved = load_generator(tmp_path / "generator.pt").state_dict()
    for name, weight in saved.items():
        assert torch.equal(weight, state["average"][name]), name
    assert not torch.equal(saved["dense.weight"], state["generator"]["dense.weight"])


def test_no_two_purposes_share_their_random_numbers():
    state = progressive._begin(SMALL, SHORT, 0, CPU)
    seeds = {derive_seed(0, purpose, step) for purpose in Purpose for step in range(3)}
    assert len(seeds) == 3 * len(Purpose)
    seen = {}

    class Spy:
        latent_dim, dense = 6, state.generator.dense

        def grow(self, latent, level, fade):
            seen.setdefault("latent", latent)
            return torch.zeros(len(latent), 1, 4, 4)

    samples.draw_samples(Spy(), 0, 0)
    drawn = state.generator.dense.weight.flatten()[: seen["latent"].numel()]
    assert not torch.isin(drawn, seen["latent"].flatten()).any()


def test_mirror_flips_some_images_left_to_right_and_only_if_asked(pictures):
    position = Schedule(SHORT, SMALL.levels).at(LAST_STEP - 1)
    plain = draws.draw_step(pictures, 6, position, SHORT, 0, 0).reals
    flipped = draws.draw_step(pictures, 6, position, replace(SHORT, mirror=True), 0, 0).reals
    changed = [not torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    assert 0 < sum(changed) < len(changed)
    for one, other in zip(plain, flipped, strict=True):
        assert torch.equal(one, other) or torch.equal(one.flip(-1), other)


# Failures


def test_a_loss_that_is_not_finite_ends_the_training(pictures, tmp_path, monkeypatch):
    original = progressive.train_step

    def poisoned(state, *rest):
        measures = original(state, *rest)
        return measures * float("nan") if state.step == 8 else measures

    monkeypatch.setattr(progressive, "train_step", poisoned)
    with pytest.raises(
        InputError, match=r"diverged: \w+ is not finite after .* steps; lower learning"
    ):
        start(pictures, tmp_path)
    assert not (tmp_path / "generator.pt").exists()


@pytest.mark.parametrize("part", ["generator", "discriminator", "average"])
def test_no_checkpoint_is_written_with_a_weight_that_is_not_finite(
    pictures, tmp_path, monkeypatch, part
):
    original = progressive.train_step

    def poisoned(state, *rest):
        measures = original(state, *rest)
        if state.step == 4:
            with torch.no_grad():
                next(getattr(state, part).parameters())[0] = float("inf")
        return measures

    monkeypatch.setattr(progressive, "train_step", poisoned)
    with pytest.raises(InputError, match=f"diverged: a weight of the {part} is not finite after 5"):
        start(pictures, tmp_path, replace(SHORT, checkpoint_seconds=0, tick_images=10**6))
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]
    assert saved["step"] == 4
    assert all(weight.isfinite().all() for weight in saved[part].values())
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
    for poor in (0.01 * shrunk, shrunk * float("nan")):
        with pytest.raises(InputError, match="collapsed"):
            samples.check_spread(pictures, poor, 1)


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
    assert failed.stderr.splitlines()[-1].startswith("error: generators: unknown key 'bach'")

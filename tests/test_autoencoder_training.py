"""Training of an autoencoder: what it leaves, restarts, augmentation, failures."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from short_autoencoder import CPU, LAST_STEP, SHORT, architecture, start

from rgi.errors import InputError
from rgi.interruption import Interrupted, StopRequest
from rgi.models import load_autoencoder
from rgi.models.autoencoder import KINDS
from rgi.models.tiles import from_tiles, to_tiles
from rgi.training import (
    AutoencoderSettings,
    autoencoder,
    read_autoencoder,
    single,
    train_autoencoder,
)
from rgi.training.augmentation import augment, to_brightness
from rgi.training.autoencoder import MEASURES, draw_step, training_losses


def lines(directory):
    return [json.loads(line) for line in (directory / "training.jsonl").read_text().splitlines()]


def same_weights(one, other):
    states = [load_autoencoder(path / "autoencoder.pt").state_dict() for path in (one, other)]
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def kill_at(monkeypatch, step):
    original = autoencoder.train_step

    def breaking(state, *rest):
        if state.step == step:
            raise KeyboardInterrupt
        return original(state, *rest)

    monkeypatch.setattr(autoencoder, "train_step", breaking)


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


# What a training leaves


@pytest.mark.parametrize("kind", KINDS)
def test_training_writes_what_the_contract_names(pictures, tmp_path, kind):
    start(pictures, tmp_path, kind)
    names = {"autoencoder.pt", "samples.png", "training.jsonl", "checkpoint.pt"}
    made = {path.name for path in tmp_path.iterdir()}
    assert {name for name in made if not name.endswith(".sha256")} == names
    found = lines(tmp_path)
    assert [line["images"] for line in found] == [24, 48, 72, 80]
    assert all({"step", "seconds", "memory_mib", *MEASURES} <= line.keys() for line in found)
    assert load_autoencoder(tmp_path / "autoencoder.pt").architecture == architecture(kind)


def test_the_quantiles_of_the_training_images_losses_are_kept(pictures, tmp_path):
    start(pictures, tmp_path)
    trained = load_autoencoder(tmp_path / "autoencoder.pt")
    seen = torch.from_numpy(pictures / np.float32(255)).movedim(-1, 1)
    with torch.no_grad():
        losses = (seen - trained(seen)).square().sum((1, 2, 3)).numpy() / 2
    expected = np.quantile(losses, np.linspace(0, 1, 101))
    np.testing.assert_allclose(trained.training_losses, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_training_moves_every_weight_and_lowers_the_loss(pictures, tmp_path, kind):
    settings = replace(SHORT, images_shown=400)
    start(pictures, tmp_path, kind, settings)
    before = autoencoder._begin(architecture(kind), settings, 0, CPU).network
    after = load_autoencoder(tmp_path / "autoencoder.pt")
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert not torch.equal(old, new), name
    assert lines(tmp_path)[-1]["loss"] < lines(tmp_path)[0]["loss"]


@pytest.mark.parametrize(("kind", "warnings"), [("gamma-vae", 1), ("vae", 0)])
def test_a_variance_that_had_no_time_to_fall_is_named_in_the_log(
    pictures, tmp_path, caplog, kind, warnings
):
    """Ten steps of 0.01 take gamma from 1 to 0.9 at least; the residual's variance is lower."""
    start(pictures, tmp_path, kind)
    said = [r.getMessage() for r in caplog.records if "decoder's variance" in r.getMessage()]
    assert len(said) == warnings
    trained = load_autoencoder(tmp_path / "autoencoder.pt")
    with torch.no_grad():
        seen = to_brightness(pictures)
        residual = (seen - trained(seen)).square().mean().item()
    assert all(f"{trained.variance.item():.3g}" in text for text in said)
    assert all(f"residual's, {residual:.3g}:" in text for text in said)


def test_the_learned_variance_is_that_of_the_residual(tmp_path, caplog):
    """Of images that are noise of sd 0.1 around grey, nothing but their mean can be learned."""
    noise = np.random.default_rng(0).normal(127.5, 25.5, (512, 8, 8, 1))
    images = noise.round().clip(0, 255).astype(np.uint8)
    settings = AutoencoderSettings(images_shown=20_000, batch=32, learning_rate=1e-2)
    shape = {"resolution": 8, "widths": (8,), "latent_dim": 2}
    start(images, tmp_path, "gamma-vae", settings, **shape)
    trained = load_autoencoder(tmp_path / "autoencoder.pt")
    seen = to_brightness(images)
    with torch.no_grad():
        residual = (seen - trained(seen)).square().mean().item()
        assert trained.variance.item() == pytest.approx(residual, rel=0.05)
    assert residual == pytest.approx(0.01, rel=0.05)
    assert "decoder's variance" not in caplog.text


# Restarts


@pytest.mark.parametrize("killed_at", [2, LAST_STEP - 1])
@pytest.mark.parametrize("every", [0, 3])
def test_a_killed_training_ends_as_if_it_had_not_been(
    pictures, tmp_path, monkeypatch, killed_at, every
):
    start(pictures, tmp_path / "whole", "gamma-vae")
    clock = iter(range(10**6))
    monkeypatch.setattr(single.time, "monotonic", lambda: next(clock))
    settings = replace(SHORT, checkpoint_seconds=every)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        kill_at(patch, killed_at)
        start(pictures, tmp_path / "killed", "gamma-vae", settings)
    start(pictures, tmp_path / "killed", "gamma-vae", settings)
    assert same_weights(tmp_path / "whole", tmp_path / "killed")
    for one, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "killed"), strict=True):
        for key in ("step", "images", *MEASURES):
            assert one[key] == other[key]


def test_asked_to_end_it_finishes_its_step_and_goes_on_from_there(pictures, tmp_path):
    start(pictures, tmp_path / "whole")
    asked = StopRequest()
    asked.note(signal.SIGTERM, None)
    given = (architecture("vae"), SHORT, tmp_path / "asked")
    with pytest.raises(Interrupted, match="checkpoint.pt holds step 1"):
        train_autoencoder(pictures, *given, seed=0, device=CPU, stop=asked)
    start(pictures, tmp_path / "asked")
    assert same_weights(tmp_path / "whole", tmp_path / "asked")


def test_a_restart_goes_on_and_does_not_begin_again(pictures, tmp_path, monkeypatch):
    eager = replace(SHORT, checkpoint_seconds=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        kill_at(patch, 4)
        start(pictures, tmp_path, settings=eager)
    done, original = [], autoencoder.train_step
    monkeypatch.setattr(
        autoencoder,
        "train_step",
        lambda state, *rest: (done.append(state.step), original(state, *rest))[1],
    )
    start(pictures, tmp_path, settings=eager)
    assert done == list(range(4, LAST_STEP))


@pytest.mark.parametrize("change", [{"learning_rate": 0.02}, {"images_shown": 160}])
def test_a_checkpoint_of_other_settings_is_put_aside(pictures, tmp_path, change):
    start(pictures, tmp_path)
    start(pictures, tmp_path, settings=replace(SHORT, **change))
    assert (tmp_path / "checkpoint.old.pt").exists()


def test_the_seed_decides(pictures, tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        start(pictures, tmp_path / name, seed=seed)
    assert same_weights(tmp_path / "one", tmp_path / "again")
    assert not same_weights(tmp_path / "one", tmp_path / "other")


# Augmentation


def test_without_augmentation_images_are_seen_as_they_are(pictures):
    seen = augment(pictures, 16, AutoencoderSettings(), drawn())
    assert torch.equal(seen, to_brightness(pictures))
    assert 0 <= seen.min() < seen.max() <= 1


def test_crops_are_cut_out_of_their_image_at_any_place():
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    seen = (augment(image.repeat(500, 0), 4, AutoencoderSettings(), drawn()) * 255).round()
    corners = {(int(n) // 8, int(n) % 8) for n in seen[:, 0, 0, 0]}
    assert corners == {(y, x) for y in range(5) for x in range(5)}
    for crop in seen[:9, 0]:
        y, x = divmod(int(crop[0, 0]), 8)
        np.testing.assert_array_equal(crop, image[0, y : y + 4, x : x + 4, 0])


def test_mirror_flips_some_images_left_to_right(pictures):
    plain = to_brightness(pictures)
    seen = augment(pictures, 16, AutoencoderSettings(mirror=True), drawn())
    flipped = [torch.equal(a, b.flip(-1)) for a, b in zip(seen, plain, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(seen, plain, strict=True)]
    assert 0 < sum(flipped) < len(flipped)
    assert sum(flipped) + sum(kept) == len(plain)


def test_a_dot_is_turned_as_far_as_the_angle_and_moved_as_far_as_the_shift():
    """A dot 6 pixels right of the centre keeps that distance, within 30 degrees either way."""
    image = np.zeros((1, 33, 33, 1), dtype=np.uint8)
    image[0, 16, 22] = 255
    places = torch.stack(torch.meshgrid(*2 * [torch.arange(33.0)], indexing="ij"))

    def dots(**settings):
        seen = augment(image.repeat(200, 0), 33, AutoencoderSettings(**settings), drawn())
        weight = seen / seen.sum((2, 3), keepdim=True)
        return (weight * places).sum((2, 3)) - torch.tensor([16.0, 16.0])

    turned = dots(rotation=30)
    angles = torch.rad2deg(torch.atan2(turned[:, 0], turned[:, 1]))
    torch.testing.assert_close(turned.norm(dim=1), torch.full((200,), 6.0), rtol=0, atol=0.3)
    assert -31 < angles.min() < -25
    assert 25 < angles.max() < 31
    moved = dots(translation=0.1) - torch.tensor([0.0, 6.0])
    for least, most in zip(moved.amin(0), moved.amax(0), strict=True):
        assert -3.4 < least < -3
        assert 3 < most < 3.4


def test_every_step_draws_its_own_images_again_and_again_the_same(pictures):
    settings = replace(SHORT, rotation=10, translation=0.1, mirror=True)
    one, again, other = (
        draw_step(pictures, architecture("vae"), settings, 0, step) for step in (3, 3, 4)
    )
    assert torch.equal(one.images, again.images)
    assert torch.equal(one.noise, again.noise)
    assert not torch.equal(one.images, other.images)
    assert not torch.equal(one.noise, other.noise)


def test_tiles_are_put_together_as_they_were_cut():
    images = torch.arange(2 * 3 * 8 * 4).view(2, 3, 8, 4)
    tiles = to_tiles(images, 4)
    assert torch.equal(tiles[1], images[0, :, 4:])
    assert torch.equal(from_tiles(tiles, 8, 4), images)
    with pytest.raises(InputError, match="8 x 4; allowed: multiples of 3 x 3"):
        to_tiles(images, 3)


def test_losses_of_images_larger_than_the_autoencoder_are_those_of_tiles(pictures, tmp_path):
    start(pictures, tmp_path, resolution=8, widths=(8,))
    trained = load_autoencoder(tmp_path / "autoencoder.pt")
    losses = training_losses(trained, pictures)
    assert len(losses) == 4 * len(pictures)
    tile = to_brightness(pictures[:1])[:, :, 8:, :8]
    with torch.no_grad():
        alone = trained.reconstruction_loss(tile, trained(tile))
    torch.testing.assert_close(losses[2:3], alone)


# Failures


def test_a_loss_that_is_not_finite_ends_the_training(pictures, tmp_path, monkeypatch):
    original = autoencoder.train_step
    monkeypatch.setattr(autoencoder, "train_step", lambda *rest: original(*rest) * float("nan"))
    with pytest.raises(InputError, match="diverged: loss is not finite after 3 steps; lower"):
        start(pictures, tmp_path)
    assert not (tmp_path / "autoencoder.pt").exists()


@pytest.mark.parametrize("shape", [(0, 16, 16, 1), (4, 24, 24, 1), (4, 16, 16, 3)])
def test_images_that_do_not_fit_the_architecture_are_refused(shape, tmp_path):
    with pytest.raises(InputError, match="allowed: uint8 N x 16 x 16 x 1"):
        start(np.zeros(shape, dtype=np.uint8), tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"bach": 8}, "unknown key 'bach'; allowed: crop, latent_dim, .*batch"),
        ({"batch": 0}, "batch: 0; allowed: at least 1"),
        ({"rotation": 200}, "rotation: 200"),
        ({"translation": 1}, "translation: 1"),
        ({"crop": 12}, "crop: 12; allowed: what divides the images' 16 pixels"),
        ({"widths": [8, 8, 8]}, "widths"),
        ({"resolution": 8}, "unknown key 'resolution'"),
    ],
)
def test_a_wrong_config_entry_is_refused(entry, message):
    with pytest.raises(InputError, match=message):
        read_autoencoder("vae", {"widths": [8], "window": 7} | entry, resolution=16, channels=1)


def test_a_config_entry_becomes_architecture_and_settings():
    entry = {"latent_dim": 5, "widths": [8], "window": 7, "crop": 8, "batch": 4}
    shape, settings = read_autoencoder("vae", entry, resolution=16, channels=1)
    assert shape == architecture("vae", resolution=8, widths=(8,))
    assert settings == AutoencoderSettings(batch=4)


def test_the_script_trains_and_names_bad_settings(pictures, tmp_path):
    np.save(tmp_path / "train.npy", pictures)
    script = Path(__file__).parent.parent / "workflow" / "scripts" / "train_autoencoder.py"
    entry = {"latent_dim": 5, "widths": [8, 8], "window": 7, "images_shown": 8, "batch": 8}

    def call(entry):
        command = [sys.executable, script, "--images", tmp_path / "train.npy", "--kind", "dsae"]
        command += ["--device", "cpu", "--directory", tmp_path / "out"]
        command += ["--settings", json.dumps(entry)]
        return subprocess.run(command, capture_output=True, text=True)

    assert call(entry).returncode == 0
    assert load_autoencoder(tmp_path / "out/autoencoder.pt").architecture == architecture("dsae")
    failed = call({**entry, "bach": 4})
    assert failed.returncode == 1
    assert "error: autoencoders: dsae: unknown key 'bach'" in failed.stderr.splitlines()[-1]

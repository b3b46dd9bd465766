"""An encoder of a generator: what its training leaves, restarts, and starts of an inversion."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_inversion import ARCHITECTURE, corrupt, stated
from test_workflow import TINY, snakemake

from rgi.corruption.operators import AveragePooling
from rgi.errors import InputError
from rgi.interruption import Interrupted, StopRequest
from rgi.inversion import METHODS, invert
from rgi.inversion.memory import Batch
from rgi.inversion.start import start_latents
from rgi.models import Architecture, Encoder, Generator, load_encoder, save_encoder, save_generator
from rgi.models.frozen import frozen
from rgi.training import EncoderSettings, encoder, train_encoder
from rgi.training.encoder import latent_loss

SCRIPTS = Path(__file__).parent.parent / "workflow" / "scripts"
SHORT = EncoderSettings(images_shown=80, batch=8, tick_images=24)
LAST_STEP = 10


@pytest.fixture(scope="module")
def generator():
    return Generator(ARCHITECTURE, seed=1).eval()


@pytest.fixture(scope="module")
def trained(generator, tmp_path_factory):
    """An encoder that knows its generator."""
    directory = tmp_path_factory.mktemp("trained")
    settings = EncoderSettings(images_shown=30_000, batch=64, learning_rate=0.003)
    train_encoder(generator, settings, directory, seed=0)
    return load_encoder(directory / "encoder.pt")


def latents(count, seed=0):
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def lines(directory):
    return [json.loads(line) for line in (directory / "training.jsonl").read_text().splitlines()]


def same_weights(one, other):
    states = [load_encoder(path / "encoder.pt").state_dict() for path in (one, other)]
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# The network


@pytest.mark.parametrize("widths", [(6, 5, 4), (16, 16, 16)])
def test_latents_have_the_length_of_the_root_of_their_dimension(widths):
    network = Encoder(Architecture(16, 3, 9, widths), seed=1)
    found = network(torch.rand(4, 3, 16, 16) * 2 - 1)
    torch.testing.assert_close(found.norm(dim=1), torch.full((4,), 3.0), rtol=1e-4, atol=0)


def test_images_do_not_meet():
    network = Encoder(ARCHITECTURE, seed=1)
    images = (torch.rand(4, 1, 8, 8) * 2 - 1).requires_grad_()
    (gradient,) = torch.autograd.grad(network(images)[1].sum(), images)
    assert gradient[1].any()
    assert not gradient[[0, 2, 3]].any()


def test_the_loss_of_an_encoder_that_knows_nothing_is_two(generator):
    many = [torch.randn(2000, 64, generator=torch.Generator().manual_seed(s)) for s in (0, 1)]
    assert latent_loss(*many).item() == pytest.approx(2, rel=0.02)
    assert latent_loss(3 * many[0], many[0]).item() == pytest.approx(0, abs=1e-6)


# Its training


def test_training_writes_what_the_contract_names(generator, tmp_path):
    train_encoder(generator, SHORT, tmp_path, seed=0)
    made = {p.name for p in tmp_path.iterdir() if not p.name.endswith(".sha256")}
    assert made == {"encoder.pt", "samples.png", "training.jsonl", "checkpoint.pt"}
    assert [line["images"] for line in lines(tmp_path)] == [24, 48, 72, 80]
    assert {"step", "loss", "seconds", "memory_mib"} <= lines(tmp_path)[0].keys()
    assert load_encoder(tmp_path / "encoder.pt").architecture == ARCHITECTURE


def test_training_finds_the_latents_of_images_that_it_has_not_seen(generator, trained):
    unseen = latents(200, seed=9)
    with torch.no_grad():
        images = generator(unseen)
        again, untrained = trained(images), Encoder(ARCHITECTURE, seed=0)(images)
        away = (generator(again) - images).square().mean()
        spread = (images - images.roll(1, 0)).square().mean()
    assert latent_loss(again, unseen) < 0.2 * latent_loss(untrained, unseen)
    assert away < spread / 3  # of what two of its images differ


@pytest.mark.parametrize("killed_at", [2, LAST_STEP - 1])
def test_a_killed_training_ends_as_if_it_had_not_been(generator, tmp_path, monkeypatch, killed_at):
    train_encoder(generator, SHORT, tmp_path / "whole", seed=0)
    original, eager = encoder.train_step, replace(SHORT, checkpoint_seconds=0)
    done = []

    def breaking(state, *rest):
        if state.step == killed_at and killed_at not in done:
            done.append(state.step)
            raise KeyboardInterrupt
        done.append(state.step)
        return original(state, *rest)

    monkeypatch.setattr(encoder, "train_step", breaking)
    with pytest.raises(KeyboardInterrupt):
        train_encoder(generator, eager, tmp_path / "killed", seed=0)
    train_encoder(generator, eager, tmp_path / "killed", seed=0)
    assert done == [*range(killed_at + 1), *range(killed_at, LAST_STEP)]
    assert same_weights(tmp_path / "whole", tmp_path / "killed")


def test_asked_to_end_it_finishes_its_step(generator, tmp_path):
    asked = StopRequest()
    asked.note(signal.SIGTERM, None)
    with pytest.raises(Interrupted, match="checkpoint.pt holds step 1"):
        train_encoder(generator, SHORT, tmp_path, seed=0, stop=asked)
    assert not (tmp_path / "encoder.pt").exists()


def test_a_checkpoint_for_another_generator_is_not_used(generator, tmp_path, caplog):
    train_encoder(generator, SHORT, tmp_path / "a", seed=0)
    train_encoder(Generator(ARCHITECTURE, seed=2).eval(), SHORT, tmp_path / "a", seed=0)
    assert "made with other generator" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [{"images_shown": 0}, {"batch": 0}, {"learning_rate": 0}, {"checkpoint_seconds": -1}],
)
def test_impossible_settings_are_named(wrong):
    with pytest.raises(InputError, match=f"encoders: {next(iter(wrong))}: "):
        EncoderSettings(**wrong)


# Starts


def started(method, images, generator, network, **known):
    """The latents after one pass at a rate at which nothing moves."""
    still = replace(method, stages=((1, 1),), learning_rate=1e-12, batch=4)
    return invert(images, generator, still, encoder=network, **known).latent


def test_without_a_pool_the_start_is_what_the_encoder_makes_of_the_image(generator, trained):
    images, _, _ = corrupt(generator)
    method = replace(METHODS["l2"], pool=0, encoded_start=True)
    with torch.no_grad():
        torch.testing.assert_close(started(method, images, generator, trained), trained(images))


def test_beside_a_pool_the_encoded_start_is_the_first_of_several(generator, trained):
    """And the others are the pool's best: as without an encoder, one less."""
    _, _, clean = corrupt(generator)
    method = replace(METHODS["l2"], pool=8, encoded_start=True, stages=((3, 1),))
    problem = replace(stated(clean, method, 0.0), encoder=trained)
    found = first_latents(problem, generator)
    plain = replace(method, encoded_start=False, stages=((2, 1),))
    others = first_latents(replace(problem, method=plain), generator)
    assert torch.equal(found[:, 1:], others)
    with torch.no_grad():
        torch.testing.assert_close(found[:, 0], trained(clean))


def first_latents(problem, generator):
    return start_latents(problem, generator, frozen(generator), torch.arange(5), 0, Batch(4))


def test_of_a_degraded_image_the_encoder_sees_a_picture(generator, trained):
    _, _, clean = corrupt(generator)
    operator = AveragePooling(2)
    method = replace(METHODS["csgm"], pool=0, encoded_start=True)
    seen = operator.forward(clean)
    found = started(method, seen, generator, trained, operator=operator)
    with torch.no_grad():
        expected = trained(seen.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("pool", [0, 16])
def test_an_image_alone_equals_itself_among_others_to_the_last_bit(generator, trained, pool):
    images, _, _ = corrupt(generator)
    method = replace(METHODS["rgi"], stages=((3, 8), (1, 20)), critic_weight=0.0, batch=4)
    method = replace(method, pool=pool, encoded_start=True)
    together = invert(images, generator, method, 0.1, encoder=trained)
    alone = invert(images[4:], generator, method, 0.1, encoder=trained, index=[4])
    assert torch.equal(alone.restored[0], together.restored[4])
    assert torch.equal(alone.latent[0], together.latent[4])


def test_an_encoded_start_saves_passes_where_the_generator_makes_the_image(generator, trained):
    """A few passes from there get lower than as many from the best of a pool."""
    _, _, clean = corrupt(generator)
    method = replace(METHODS["l2"], pool=16, stages=((1, 20),), learning_rate=0.02)
    plain = invert(clean, generator, method)
    method = replace(method, pool=0, encoded_start=True)
    encoded = invert(clean, generator, method, encoder=trained)
    assert torch.equal(plain.passes, encoded.passes)
    assert encoded.objective.mean() < 0.5 * plain.objective.mean()


def test_what_does_not_fit_is_named(generator):
    images, _, _ = corrupt(generator)
    method = replace(METHODS["l2"], encoded_start=True, pool=0)
    with pytest.raises(InputError, match="encoder: this method's start needs one"):
        invert(images, generator, method)
    other = Encoder(Architecture(16, 1, 8, (4, 4, 4)))
    with pytest.raises(InputError, match="encoder is one for .*resolution=16"):
        invert(images, generator, method, encoder=other)
    with pytest.raises(InputError, match="its one start is encoded; set pool to 0"):
        replace(METHODS["l2"], encoded_start=True)


# As scripts


def script(name, *options):
    command = [sys.executable, SCRIPTS / name, *options, "--device", "cpu"]
    return subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)


def test_the_scripts_train_an_encoder_and_start_from_it(generator, tmp_path):
    save_generator(tmp_path / "generator.pt", generator)
    images, mask, clean = (tensor.numpy() for tensor in corrupt(generator))
    arrays = {"clean": clean, "corrupted": images, "mask": mask, "index": np.arange(5)}
    np.savez(tmp_path / "case.npz", **arrays)
    settings = ["--settings", '{"images_shown": 64, "batch": 8}', "--directory", tmp_path]
    done = script("train_encoder.py", "--generator", tmp_path / "generator.pt", *settings)
    assert done.returncode == 0, done.stderr
    options = ["--case", tmp_path / "case.npz", "--generator", tmp_path / "generator.pt"]
    options += ["--method", "l2", "--first", 0, "--last", 5, "--lam", "none"]
    options += ["--settings", '{"encoded_start": true, "pool": 0, "stages": [[1, 2]]}']
    options += ["--output", tmp_path / "found.npz"]
    missing = script("restore_inversion.py", *options)
    assert "--encoder: missing" in missing.stderr
    done = script("restore_inversion.py", *options, "--encoder", tmp_path / "encoder.pt")
    assert done.returncode == 0, done.stderr
    method = replace(METHODS["l2"], encoded_start=True, pool=0, stages=((1, 2),))
    network = load_encoder(tmp_path / "encoder.pt")
    expected = invert(torch.from_numpy(images), generator, method, encoder=network)
    with np.load(tmp_path / "found.npz") as found:
        assert np.array_equal(found["restored"], expected.restored)


@pytest.mark.slow
def test_the_rules_train_an_encoder_for_the_methods_that_start_with_it(tmp_path):
    config = yaml.safe_load(TINY.read_text())
    config["methods"]["rgi"]["settings"] |= {"encoded_start": True, "pool": 0}
    config["encoders"] = {"digits": {"images_shown": 64, "batch": 8}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    made = [f"results/restorations/digits/block/{m}/0.1/0.npz" for m in ("rgi", "rgi-profile")]
    snakemake(tmp_path, *made, "--configfile", "config.yaml")
    assert (tmp_path / "results/encoders/digits/samples.png").exists()
    assert not (tmp_path / "results/encoders/brick").exists()


def test_a_file_of_another_network_is_refused(generator, tmp_path):
    save_generator(tmp_path / "generator.pt", generator)
    with pytest.raises(InputError, match="holds the network Generator; expected Encoder"):
        load_encoder(tmp_path / "generator.pt")
    save_encoder(tmp_path / "encoder.pt", Encoder(ARCHITECTURE, seed=3))
    again = load_encoder(tmp_path / "encoder.pt").state_dict()
    expected = Encoder(ARCHITECTURE, seed=3).state_dict()
    assert all(torch.equal(again[name], expected[name]) for name in expected)

"""Progressive GAN's networks and their files."""

import math

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from rgi.errors import InputError
from rgi.models import (
    Architecture,
    Discriminator,
    Generator,
    choose_device,
    load_discriminator,
    load_generator,
    save_discriminator,
    save_generator,
)
from rgi.models.progressive import EqualisedConv, EqualisedDense, pixel_norm

SMALL = Architecture(resolution=32, channels=3, latent_dim=5, widths=(8, 6, 4, 3))
PAPER = Architecture(
    resolution=128, channels=3, latent_dim=500, widths=(512, 512, 512, 512, 256, 128)
)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_resolution_gives_images_in_range_and_one_critic_value_each(resolution, channels):
    widths = tuple(range(int(math.log2(resolution)) + 1, 2, -1))
    architecture = Architecture(resolution, channels, 7, widths)
    images = Generator(architecture)(normal(2, 7))
    assert images.shape == (2, channels, resolution, resolution)
    assert images.min() >= -1
    assert images.max() <= 1
    assert Discriminator(architecture)(images).shape == (2,)


@pytest.mark.parametrize("fade", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("level", range(SMALL.levels))
def test_each_level_works_at_its_own_resolution(level, fade):
    images = Generator(SMALL).grow(normal(4, 5), level, fade)
    assert images.shape == (4, 3, 4 * 2**level, 4 * 2**level)
    assert Discriminator(SMALL).grow(images, level, fade).shape == (4,)


@pytest.mark.parametrize("level", range(1, SMALL.levels))
def test_a_new_level_starts_as_the_old_network(level):
    generator, discriminator = Generator(SMALL), Discriminator(SMALL).eval()
    old = generator.grow(normal(4, 5), level - 1, 1.0)
    enlarged = old.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(generator.grow(normal(4, 5), level, 0.0), enlarged)
    torch.testing.assert_close(
        discriminator.grow(enlarged, level, 0.0), discriminator.grow(old, level - 1, 1.0)
    )


def test_fading_ends_in_the_plain_new_level():
    generator = Generator(SMALL)
    torch.testing.assert_close(
        generator.grow(normal(2, 5), 2, 1 - 1e-7), generator.grow(normal(2, 5), 2, 1.0)
    )


def test_forward_is_the_last_level_clamped_with_a_straight_gradient():
    generator = Generator(SMALL)
    with torch.no_grad():
        generator.to_rgb[-1].bias.fill_(1.5)
    latent = normal(4, 5).requires_grad_()
    images, raw = generator(latent), generator.grow(latent, 3, 1.0)
    assert (raw > 1).any()
    torch.testing.assert_close(images, raw.clamp(-1, 1), rtol=0, atol=0)
    (through,) = torch.autograd.grad(images.sum(), latent)
    (plain,) = torch.autograd.grad(raw.sum(), latent)
    torch.testing.assert_close(through, plain)


def test_the_papers_generator_has_about_23_million_parameters():
    parameters = sum(parameter.numel() for parameter in Generator(PAPER).parameters())
    assert 22.5e6 < parameters < 23.5e6


@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_equalised_layers_keep_the_variance_up_to_their_gain(gain):
    random = torch.Generator().manual_seed(1)
    for inputs in (16, 256):
        layer = EqualisedDense(inputs, 512, gain)
        torch.nn.init.normal_(layer.weight, generator=random)
        assert layer(normal(512, inputs)).std().item() == pytest.approx(gain, rel=0.05)
    layer = EqualisedConv(32, 64, 3, gain)
    torch.nn.init.normal_(layer.weight, generator=random)
    inner = layer(normal(8, 32, 16, 16))[:, :, 1:-1, 1:-1]
    assert inner.std().item() == pytest.approx(gain, rel=0.05)


def test_published_gains():
    generator, discriminator = Generator(SMALL), Discriminator(SMALL)
    assert generator.dense.constant == pytest.approx(math.sqrt(2) / 4 / math.sqrt(5))
    assert generator.conv.constant == pytest.approx(math.sqrt(2 / (9 * 8)))
    assert generator.to_rgb[0].constant == pytest.approx(1 / math.sqrt(8))
    assert discriminator.last.constant == pytest.approx(1 / math.sqrt(8))


def test_initial_weights_are_standard_normal_and_belong_to_the_seed():
    generator = Generator(PAPER, seed=3)
    assert generator.conv.weight.std().item() == pytest.approx(1, rel=0.01)
    same, other = Generator(SMALL, seed=3), Generator(SMALL, seed=4)
    assert torch.equal(Generator(SMALL, seed=3).dense.weight, same.dense.weight)
    assert not torch.equal(same.dense.weight, other.dense.weight)


def test_networks_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    Generator(SMALL)(normal(2, 5))
    Discriminator(SMALL)
    assert torch.equal(before, torch.get_rng_state())


def test_pixel_norm_gives_unit_mean_square_over_channels():
    features = pixel_norm(10 * normal(2, 6, 4, 4))
    torch.testing.assert_close(features.square().mean(dim=1), torch.ones(2, 4, 4))


def test_the_latents_length_does_not_matter():
    generator = Generator(SMALL)
    torch.testing.assert_close(
        generator(normal(2, 5)), generator(7 * normal(2, 5)), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(("kind", "batch"), [(Generator, (2, 5)), (Discriminator, (2, 3, 32, 32))])
def test_stacked_parameters_under_vmap_equal_a_loop(kind, batch):
    networks = [kind(SMALL, seed=seed).eval() for seed in range(3)]
    inputs = torch.stack([normal(*batch, seed=seed) for seed in range(3)])
    parameters, buffers = stack_module_state(networks)

    def loss(parameters, buffers, inputs):
        return functional_call(networks[0], (parameters, buffers), inputs).sum()

    found = vmap(torch.func.grad_and_value(loss))(parameters, buffers, inputs)
    for index, network in enumerate(networks):
        value = network(inputs[index]).sum()
        used = {n: p for n, p in network.named_parameters() if f"rgb.{len(SMALL.widths) - 1}" in n}
        torch.testing.assert_close(found[1][index], value, rtol=1e-4, atol=1e-4)
        gradients = torch.autograd.grad(value, list(used.values()))
        for name, gradient in zip(used, gradients, strict=True):
            torch.testing.assert_close(found[0][name][index], gradient, rtol=1e-3, atol=1e-3)


def test_minibatch_spread_is_the_mean_deviation_of_groups_of_four():
    discriminator = Discriminator(SMALL).train()
    features = normal(8, 8, 4, 4)
    appended = discriminator.spread(features)[:, -1]
    for group in (slice(0, 4), slice(4, 8)):
        expected = features[group].numpy().std(axis=0).mean()
        torch.testing.assert_close(
            appended[group], torch.full((4, 4, 4), expected.item()), rtol=1e-4, atol=1e-4
        )


def test_the_running_average_approaches_the_batch_statistic():
    spread = Discriminator(SMALL).train().spread
    features = 3 * normal(4, 8, 4, 4)
    for _ in range(1000):
        current = spread(features)[0, -1, 0, 0]
    torch.testing.assert_close(spread.average, current, rtol=1e-3, atol=1e-3)


def test_the_running_average_learns_only_where_it_may():
    spread = Discriminator(SMALL).train().spread
    spread.learns = False
    appended = spread(3 * normal(4, 8, 4, 4))[0, -1, 0, 0]
    assert spread.average == 1 != appended


def test_eval_judges_an_image_alone_as_in_a_batch():
    discriminator = Discriminator(SMALL)
    images = normal(8, 3, 32, 32)
    discriminator(images)
    discriminator.eval()
    before = discriminator.spread.average.clone()
    together = discriminator(images)
    alone = torch.cat([discriminator(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert torch.equal(before, discriminator.spread.average)


def test_features_come_finest_first():
    shapes = [tuple(f.shape) for f in Discriminator(SMALL).features(normal(2, 3, 32, 32))]
    assert shapes == [(2, 4, 32, 32), (2, 6, 16, 16), (2, 8, 8, 8), (2, 8, 4, 4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 24}, "resolution: 24"),
        ({"resolution": 512}, "resolution: 512"),
        ({"channels": 2}, "channels: 2"),
        ({"latent_dim": 0}, "latent_dim: 0"),
        ({"latent_dim": 2.5}, "latent_dim: 2.5"),
        ({"widths": (8, 6, 4)}, "widths"),
        ({"widths": (8, 6, 4, 0)}, "widths"),
    ],
)
def test_impossible_architectures_are_refused(change, message):
    valid = {"resolution": 32, "channels": 3, "latent_dim": 5, "widths": (8, 6, 4, 3)}
    with pytest.raises(InputError, match=message):
        Architecture(**{**valid, **change})


def test_what_is_saved_comes_back(tmp_path):
    generator, discriminator = Generator(SMALL, seed=1), Discriminator(SMALL, seed=1)
    discriminator(normal(4, 3, 32, 32))
    save_generator(tmp_path / "generator.pt", generator)
    save_discriminator(tmp_path / "discriminator.pt", discriminator)
    loaded = load_generator(tmp_path / "generator.pt")
    judge = load_discriminator(tmp_path / "discriminator.pt")
    assert (loaded.latent_dim, loaded.resolution, loaded.channels) == (5, 32, 3)
    assert not loaded.training
    assert not judge.training
    assert torch.equal(loaded(normal(2, 5)), generator(normal(2, 5)))
    images = normal(2, 3, 32, 32)
    assert torch.equal(judge(images), discriminator.eval()(images))


def test_unusable_files_are_named(tmp_path):
    path = tmp_path / "generator.pt"
    with pytest.raises(InputError, match="generator.pt: no such file"):
        load_generator(path)
    save_discriminator(path, Discriminator(SMALL))
    with pytest.raises(InputError, match="holds the network Discriminator"):
        load_generator(path)
    path.with_name(f".{path.name}.sha256").unlink()
    content = path.read_bytes()
    for damaged in (b"", b"nonsense", b"text", b"x", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="generator.pt: not a readable") as caught:
            load_generator(path)
        assert "weights_only" not in str(caught.value)  # torch advises to run what is in the file


@pytest.mark.parametrize(("visible", "told"), [("", "empty"), ("3", "3"), (None, "not set")])
def test_the_log_tells_why_a_job_computes_on_a_cpu(monkeypatch, caplog, visible, told):
    caplog.set_level("INFO")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    choose_device("auto")
    expected = f"device: auto, hence cpu: torch sees no GPU (CUDA_VISIBLE_DEVICES: {told})"
    assert caplog.messages == [expected]


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="no GPU"):
        choose_device("cuda")
    with pytest.raises(InputError, match="allowed: auto, cpu, cuda"):
        choose_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")

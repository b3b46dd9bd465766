"""Generators that were trained elsewhere: equal outputs, and errors before anything is written."""

import math
import sys
from fractions import Fraction
from types import ModuleType
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rgi.data import to_tensor
from rgi.errors import InputError
from rgi.files import check_sha256, sha256_of
from rgi.models import (
    Architecture,
    Discriminator,
    Generator,
    save_discriminator,
    save_generator,
)
from rgi.models.imported import import_networks

LATENT, WIDTHS = 6, (8, 6, 4)  # 16 x 16 pixels
CONFIG = {
    "leakyReluLeak": 0.2,
    "perChannelNormalization": True,
    "alpha": 0,
    "lossCriterion": "WGANGP",
    "categoryVectorDim": 0,
    "equalizedlR": True,
    "miniBatchStdDev": True,
    "depthOtherScales": [6, 4],
    "attribKeysOrder": None,
}


# The format, built from its description: layers are c (W x + b) with c = sqrt(2 / fan-in), names as
# in the checkpoint, the level of 4 x 4 pixels apart from the others.


def drawn(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def published(channels=3, spread=True):
    """Weights of both networks: {name: value}."""
    shapes = {"formatLayer": (16 * WIDTHS[0], LATENT), "groupScale0.0": (8, 8, 3, 3)}
    judge = {"groupScaleZero.0": (8, 8 + spread, 3, 3), "groupScaleZero.1": (8, 128)}
    judge["decisionLayer"] = (1, 8)
    for level, width in enumerate(WIDTHS):
        shapes[f"toRGBLayers.{level}"] = (channels, width, 1, 1)
        judge[f"fromRGBLayers.{level}"] = (width, channels, 1, 1)
    for level, (old, new) in enumerate(zip(WIDTHS, WIDTHS[1:], strict=False)):
        shapes[f"scaleLayers.{level}.0"] = (new, old, 3, 3)
        shapes[f"scaleLayers.{level}.1"] = (new, new, 3, 3)
        judge[f"scaleLayers.{level}.0"] = (new, new, 3, 3)
        judge[f"scaleLayers.{level}.1"] = (old, new, 3, 3)
    nets = []
    for offset, net in enumerate((shapes, judge)):
        weights = {}
        for number, (name, shape) in enumerate(net.items()):
            weights[f"{name}.weight"] = drawn(*shape, seed=100 * offset + number)
            weights[f"{name}.bias"] = drawn(shape[0], seed=100 * offset + 50 + number)
        nets.append(weights)
    return nets


def layer(weights, name, features, equalised=True):
    # In float64, as what is compared with it: where few channels are all near 0, pixel norm makes
    # float32's rounding 3e-5, for either network against its own values in float64.
    weight, bias = (weights[f"{name}.{kind}"].double() for kind in ("weight", "bias"))
    if weight.ndim == 2:
        plain = features @ weight.T + bias
    else:
        plain = F.conv2d(features, weight, bias, padding=weight.shape[-1] // 2)
    return plain * (math.sqrt(2 / weight[0].numel()) if equalised else 1)


def normalised(features):
    return features / (features.square().mean(1, keepdim=True) + 1e-8).sqrt()


def bent(features):
    return torch.where(features > 0, features, 0.2 * features)


def drawing(weights, latent, **options):
    features = bent(layer(weights, "formatLayer", normalised(latent), **options))
    features = normalised(features.view(len(latent), -1, 4, 4))
    features = normalised(bent(layer(weights, "groupScale0.0", features, **options)))
    for level in range(len(WIDTHS) - 1):
        features = features.repeat_interleave(2, 2).repeat_interleave(2, 3)
        for number in range(2):
            name = f"scaleLayers.{level}.{number}"
            features = normalised(bent(layer(weights, name, features, **options)))
    return layer(weights, f"toRGBLayers.{len(WIDTHS) - 1}", features, **options)


def judging(weights, images, spread=None, **options):
    """`spread`: the minibatch statistic, or None for that of groups of 4, or False for none."""
    features = bent(layer(weights, f"fromRGBLayers.{len(WIDTHS) - 1}", images, **options))
    for level in reversed(range(len(WIDTHS) - 1)):
        for number in range(2):
            features = bent(layer(weights, f"scaleLayers.{level}.{number}", features, **options))
        features = features.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5))
    if spread is not False:
        if spread is None:
            spread = statistic(features).repeat_interleave(4)
        more = torch.as_tensor(spread).expand(len(images))[:, None, None, None]
        features = torch.cat([features, more.expand(-1, 1, 4, 4)], 1)
    features = bent(layer(weights, "groupScaleZero.0", features, **options))
    features = bent(layer(weights, "groupScaleZero.1", features.flatten(1), **options))
    return layer(weights, "decisionLayer", features, **options).flatten()


def statistic(features):
    groups = features.unflatten(0, (-1, 4))
    return (groups.var(1, correction=1) + 1e-8).sqrt().mean((1, 2, 3))


class BaseConfig:
    """Settings as attributes, under the name that the format's own class has."""


BaseConfig.__module__ = "models.utils.config"


def save_checkpoint(path, nets, settings=CONFIG, infix="", zipped=True, **changed):
    """As its own training does: with an object of settings, of a class that we do not have."""
    config = BaseConfig()
    vars(config).update(settings)
    generator, discriminator = (
        {f"{n.rsplit('.', 1)[0]}{infix}.{n.rsplit('.', 1)[1]}": v for n, v in net.items()}
        for net in nets
    )
    content = {"config": config, "netG": generator, "netD": discriminator} | changed
    names = ("models", "models.utils", "models.utils.config")
    modules = {name: ModuleType(name) for name in names}
    modules["models.utils.config"].BaseConfig = BaseConfig
    with patch.dict(sys.modules, modules):
        held = {name: value for name, value in content.items() if value is not None}
        torch.save(held, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.fixture
def colour():
    return np.random.default_rng(0).integers(0, 256, (21, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("infix", ["", ".module"])
@pytest.mark.parametrize("zipped", [True, False])  # PyTorch before 1.6 wrote no zip file
@pytest.mark.parametrize("equalised", [True, False])
def test_the_generator_draws_the_same(tmp_path, colour, infix, zipped, equalised):
    nets = published()
    settings = CONFIG | {"equalizedlR": equalised}
    path = save_checkpoint(tmp_path / "zoo.pth", nets, settings, infix, zipped)
    generator, _ = import_networks("pytorch-gan-zoo", path, None, colour)
    assert generator.architecture == Architecture(16, 3, LATENT, WIDTHS)
    latent = drawn(5, LATENT, seed=7).double()
    expected = drawing(nets[0], latent, equalised=equalised)
    assert expected.std() > 0.1
    found = generator.double().grow(latent, 2, 1.0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_averaged_generator_is_taken_where_there_is_one(tmp_path, colour):
    nets = published()
    averaged = {name: value / 2 for name, value in nets[0].items()}
    path = save_checkpoint(tmp_path / "zoo.pth", nets, avgG=averaged)
    generator, _ = import_networks("pytorch-gan-zoo", path, None, colour)
    latent = drawn(5, LATENT, seed=7).double()
    found = generator.double().grow(latent, 2, 1.0)
    torch.testing.assert_close(found, drawing(averaged, latent), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("equalised", [True, False])
def test_the_discriminator_judges_groups_the_same(tmp_path, colour, equalised):
    nets = published()
    settings = CONFIG | {"equalizedlR": equalised}
    path = save_checkpoint(tmp_path / "zoo.pth", nets, settings)
    _, discriminator = import_networks("pytorch-gan-zoo", path, None, colour)
    images = to_tensor(colour[:8]).double()
    expected = judging(nets[1], images, equalised=equalised)
    assert expected.std() > 1e-3
    found = discriminator.double().train()(images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_one_image_is_judged_with_the_training_images_statistic(tmp_path, colour):
    nets = published()
    path = save_checkpoint(tmp_path / "zoo.pth", nets)
    _, discriminator = import_networks("pytorch-gan-zoo", path, None, colour)
    # Their statistic, N - 1, is what the folded factor makes of the average of ours, N.
    spread = discriminator.double().spread.average * math.sqrt(4 / 3)
    images = to_tensor(colour[:3]).double()
    expected = judging(nets[1], images, spread=spread)
    torch.testing.assert_close(discriminator(images), expected, rtol=1e-5, atol=1e-5)
    every = torch.stack([discriminator(image[None])[0] for image in images])
    torch.testing.assert_close(every, discriminator(images))
    rows = np.linspace(0, 20, 20).astype(int).reshape(4, -1).T
    groups = to_tensor(colour[rows.flatten()]).double()
    features = bent(layer(nets[1], "fromRGBLayers.2", groups))
    for level in (1, 0):
        for number in range(2):
            features = bent(layer(nets[1], f"scaleLayers.{level}.{number}", features))
        features = F.avg_pool2d(features, 2)
    torch.testing.assert_close(spread, statistic(features).mean(), rtol=1e-5, atol=1e-6)


def test_a_discriminator_without_the_statistic_stays_without(tmp_path, colour):
    nets = published(spread=False)
    settings = CONFIG | {"miniBatchStdDev": False}
    path = save_checkpoint(tmp_path / "zoo.pth", nets, settings)
    _, discriminator = import_networks("pytorch-gan-zoo", path, None, colour)
    images = to_tensor(colour[:3]).double()
    expected = judging(nets[1], images, spread=False)
    found = discriminator.double()(images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def without(nets, net, name):
    changed = [dict(weights) for weights in nets]
    del changed[net][name]
    return changed


def reshaped(nets, net, name, value):
    changed = [dict(weights) for weights in nets]
    changed[net][name] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: {"nets": without(n, 0, "groupScale0.0.bias")}, "netG: 'groupScale0.0.bias' is"),
        (lambda n: {"nets": without(n, 0, "formatLayer.weight")}, "'formatLayer.weight' is miss"),
        (lambda n: {"nets": without(n, 1, "decisionLayer.weight")}, "netD: 'decisionLayer.weight'"),
        (
            lambda n: {"nets": reshaped(n, 0, "scaleLayers.1.1.weight", torch.zeros(4, 3, 3, 3))},
            r"netG: scaleLayers.1.1.weight: \(4, 3, 3, 3\); expected \(4, 4, 3, 3\)",
        ),
        (
            lambda n: {"nets": reshaped(n, 1, "decisionLayer.weight", torch.zeros(9, 8))},
            r"netD: decisionLayer.weight: \(9, 8\); expected \(1, 8\)",
        ),
        (
            lambda n: {"nets": reshaped(n, 0, "attention.weight", torch.zeros(4))},
            "'attention.weight' belongs to no layer",
        ),
        (
            lambda n: {"nets": n, "settings": CONFIG | {"lossCriterion": "MSE"}},
            "config: lossCriterion: 'MSE'; allowed: 'WGANGP'",
        ),
        (
            lambda n: {"nets": n, "settings": CONFIG | {"alpha": 0.5}},
            "config: alpha: 0.5; allowed: 0",
        ),
        (lambda n: {"nets": n, "config": {"alpha": 0}}, "no 'config' in it"),
        (lambda n: {"nets": n, "netD": None}, "no 'netD' in it"),
        (lambda n: {"nets": n, "tmp": Fraction(1)}, "holds more than weights and settings"),
    ],
)
def test_another_network_or_file_is_named(tmp_path, colour, change, message):
    path = save_checkpoint(tmp_path / "zoo.pth", **change(published()))
    with pytest.raises(InputError, match=message) as caught:
        import_networks("pytorch-gan-zoo", path, None, colour)
    assert str(path) in str(caught.value)


def test_a_cut_checkpoint_is_named(tmp_path, colour):
    path = save_checkpoint(tmp_path / "zoo.pth", published())
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="no checkpoint of pytorch-gan-zoo"):
        import_networks("pytorch-gan-zoo", path, None, colour)


def test_a_network_for_other_images_is_refused(tmp_path, colour):
    path = save_checkpoint(tmp_path / "zoo.pth", published())
    with pytest.raises(InputError, match="16 x 16 pixels in 3 channels; .* has 8 x 8 in 3"):
        import_networks("pytorch-gan-zoo", path, None, colour[:, :8, :8])
    with pytest.raises(InputError, match="16 x 16 pixels in 3 channels; .* has 16 x 16 in 1"):
        import_networks("pytorch-gan-zoo", path, None, colour[..., :1])


def test_own_files_come_as_they_are(tmp_path, colour):
    architecture = Architecture(16, 3, LATENT, WIDTHS)
    generator = Generator(architecture, seed=3).eval()
    discriminator = Discriminator(architecture, seed=4).eval()
    discriminator.spread.average.fill_(0.3)
    paths = tmp_path / "generator.pt", tmp_path / "discriminator.pt"
    save_generator(paths[0], generator)
    save_discriminator(paths[1], discriminator)
    found = import_networks("rgi", *paths, colour)
    for network, expected in zip(found, (generator, discriminator), strict=True):
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=0)
    assert import_networks("rgi", paths[0], None, colour)[1] is None


def test_a_file_with_other_bytes_is_refused(tmp_path):
    path = tmp_path / "generator.pt"
    path.write_bytes(b"generator")
    check_sha256(path, sha256_of(path).upper(), path)
    with pytest.raises(InputError, match=f"sha256 is {sha256_of(path)}; expected {'0' * 64}"):
        check_sha256(path, "0" * 64, path)

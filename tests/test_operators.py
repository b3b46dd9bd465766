"""Known degradations: each operator is linear, has its adjoint, and is found again in the file."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rgi.corruption import DEGRADATIONS, Case, load_case, save_case, save_case_preview
from rgi.corruption.cases import image_generator
from rgi.corruption.degradations import CompressedSensing, Denoising, SuperResolution
from rgi.corruption.operators import (
    AveragePooling,
    Identity,
    Inpainting,
    RandomProjections,
    make_operator,
    observation,
    observe,
    read_degradation,
)
from rgi.errors import InputError

SCRIPT = Path(__file__).parent.parent / "workflow" / "scripts" / "synthesise_case.py"
SHAPE = (3, 16, 16)
SEED = [0, 7]
MASK = torch.rand(5, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.4
OPERATORS = {
    "identity": Identity(),
    "inpainting": Inpainting(MASK),
    **{f"average-pooling-{k}": AveragePooling(k) for k in (2, 4, 8, 16)},
    "random-projections": make_operator(CompressedSensing(fraction=0.1), SHAPE, SEED),
}
every_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


def drawn(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def clean():
    return np.random.default_rng(0).uniform(-1, 1, (5, *SHAPE)).astype(np.float32)


@every_operator
def test_the_adjoint_is_one(operator):
    """<A x, y> = <x, A^T y>, each image by itself."""
    images = drawn((5, *SHAPE), 2).double()
    operator = in_double(operator)
    seen = operator.forward(images)
    observed = drawn(seen.shape, 3).double()
    left = (seen * observed).flatten(1).sum(1)
    right = (images * operator.adjoint(observed)).flatten(1).sum(1)
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


@every_operator
def test_the_adjoint_is_what_autograd_finds(operator):
    images = drawn((5, *SHAPE), 2).double().requires_grad_()
    operator = in_double(operator)
    seen = operator.forward(images)
    observed = drawn(seen.shape, 3).double()
    (gradient,) = torch.autograd.grad(seen, images, observed)
    torch.testing.assert_close(operator.adjoint(observed), gradient)


def in_double(operator):
    if isinstance(operator, RandomProjections):
        return RandomProjections(operator.matrix.double())
    return operator


@every_operator
def test_an_image_is_observed_alike_alone_and_among_others_to_the_last_bit(operator):
    images = drawn((5, *SHAPE), 4)
    together = operator.forward(images)
    for row in range(5):
        rows = torch.full((5,), row)
        assert torch.equal(operator.rows(rows).forward(images[rows])[0], together[row])


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_pooling_is_the_mean_of_squares_and_a_picture_of_it_is_observed_the_same(factor):
    images = drawn((2, *SHAPE), 5)
    side = 16 // factor
    blocks = images.numpy().reshape(2, 3, side, factor, side, factor).mean((3, 5))
    operator = AveragePooling(factor)
    np.testing.assert_allclose(operator.forward(images), blocks, atol=1e-6)
    seen = operator.forward(images)
    torch.testing.assert_close(operator.forward(operator.picture(seen)), seen)


def test_random_projections_are_a_matrix_product():
    operator = OPERATORS["random-projections"]
    images = drawn((2, *SHAPE), 5)
    matrix = operator.matrix.flatten(1).numpy()
    assert matrix.shape == (77, 768)
    expected = images.flatten(1).numpy() @ matrix.T
    np.testing.assert_allclose(operator.forward(images).flatten(1), expected, atol=1e-4)


def test_random_projections_keep_lengths_on_average():
    operator = make_operator(CompressedSensing(fraction=0.5), SHAPE, SEED)
    assert operator.matrix.mean().abs() < 1e-4
    assert float(operator.matrix.std() ** 2 * len(operator.matrix)) == pytest.approx(1, rel=0.01)


def test_a_picture_of_random_projections_is_nearly_their_pseudo_inverse():
    operator = OPERATORS["random-projections"]
    seen = operator.forward(drawn((5, *SHAPE), 5))
    exact = seen.flatten(1) @ torch.linalg.pinv(operator.matrix.flatten(1)).T
    away = (operator.picture(seen).flatten(1) - exact).norm(dim=1) / exact.norm(dim=1)
    assert (away < 1.2 * (77 / 768) ** 0.5).all()


def test_the_projections_are_drawn_apart_from_every_image_s_noise():
    """To numpy the seeds [s, c] and [s, c, 0] are one."""
    case = observe(np.zeros((1, *SHAPE), np.float32), CompressedSensing(fraction=0.1), 3, "case")
    seed = json.loads(str(case.operator))["seed"]
    first = np.random.default_rng(seed).integers(2**62)
    assert first not in [image_generator(3, "case", row).integers(2**62) for row in range(100)]


def test_random_projections_depend_on_the_seed_alone():
    first, again, other = (
        make_operator(CompressedSensing(fraction=0.1), SHAPE, seed).matrix
        for seed in (SEED, SEED, [1, 7])
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


EXAMPLES = [
    Denoising(noise=0.2),
    SuperResolution(factor=4),
    SuperResolution(factor=8, noise=0.1),
    CompressedSensing(fraction=0.25),
]


@pytest.mark.parametrize("degradation", EXAMPLES)
def test_a_case_keeps_what_is_observed_and_the_operator(tmp_path, degradation, clean):
    save_case(tmp_path / "case.npz", observe(clean, degradation, 3, "a"))
    case = load_case(tmp_path / "case.npz")
    observed, operator = observation(case)
    again = operator.forward(torch.from_numpy(case.clean))
    assert observed.dtype == torch.float32
    assert observed.shape == again.shape
    if degradation.noise:
        assert float((observed - again).std()) == pytest.approx(degradation.noise, rel=0.2)
    else:
        torch.testing.assert_close(observed, again)


@pytest.mark.parametrize("degradation", EXAMPLES)
def test_the_rest_of_a_case_is_as_of_any_other(degradation, clean):
    """A picture in range, the same for an image whatever is beside it; all pixels degraded."""
    case = observe(clean, degradation, 3, "a")
    assert case.corrupted.shape == clean.shape
    assert case.corrupted.dtype == np.float32
    assert np.abs(case.corrupted).max() <= 1
    assert case.mask.all() and case.mask.shape == (5, 16, 16)
    assert case.index.tolist() == list(range(5))
    fewer = observe(clean[:2], degradation, 3, "a")
    assert np.array_equal(fewer.observed, case.observed[:2])


def test_a_preview_of_degraded_images_shows_no_mask(tmp_path, clean):
    case = observe(clean, SuperResolution(factor=4), 3, "a")
    heights = []
    for shown in (case, replace(case, operator=None)):
        save_case_preview(tmp_path / "case.png", shown)
        with Image.open(tmp_path / "case.png") as preview:
            heights.append(preview.height)
    assert heights[0] / heights[1] == 2 / 3


def test_noise_and_projections_differ_between_cases(clean):
    for degradation in (Denoising(noise=0.2), CompressedSensing(fraction=0.25)):
        first, other = (observe(clean, degradation, 3, name).observed for name in "ab")
        assert not np.allclose(first, other)


def test_of_a_case_with_a_mask_the_pixels_outside_it_are_observed(clean):
    mask = MASK.numpy()
    corrupted = np.where(mask[:, None], 0.5, clean).astype(np.float32)
    observed, operator = observation(Case(clean, corrupted, mask, np.arange(5)))
    assert torch.equal(operator.forward(torch.from_numpy(clean)), observed)
    assert torch.equal(operator.degraded(observed), MASK.float())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"corruption": "blur"}, "'blur'; allowed: denoising"),
        ({"corruption": "denoising", "noise": -1}, "noise: -1"),
        ({"corruption": "super-resolution"}, "'factor' is missing"),
        ({"corruption": "super-resolution", "factor": 3}, "factor: 3; allowed"),
        ({"corruption": "compressed-sensing", "fraction": 0}, "fraction: 0"),
        ({"corruption": "compressed-sensing", "fraction": 2}, "fraction: 2"),
    ],
)
def test_impossible_degradations_are_named(values, message):
    with pytest.raises(InputError, match=message):
        read_degradation(values)


def test_a_degradation_that_does_not_fit_the_images_is_named():
    with pytest.raises(InputError, match="must divide the image's sides"):
        make_operator(SuperResolution(factor=16), (1, 8, 8), SEED)
    with pytest.raises(InputError, match=r"for such images at most 0\.11"):
        make_operator(CompressedSensing(fraction=0.5), (3, 128, 128), SEED)


def test_a_damaged_operator_is_named(clean):
    case = observe(clean, Denoising(noise=0.2), 3, "a")
    damaged = Case(**{**vars(case), "operator": np.array("[1]")})
    with pytest.raises(InputError, match="cases: operator"):
        observation(damaged)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_script_writes_a_case(tmp_path, name):
    np.save(tmp_path / "test.npy", np.zeros((3, 16, 16, 1), np.uint8))
    own = {"super-resolution": {"factor": 4}, "compressed-sensing": {"fraction": 0.1}}
    settings = {"corruption": name, "noise": 0.1, **own.get(name, {})}
    subprocess.run(
        [sys.executable, SCRIPT, "--images", tmp_path / "test.npy"]
        + ["--settings", json.dumps(settings), "--name", "known"]
        + ["--output", tmp_path / "case.npz", "--preview", tmp_path / "case.png"],
        check=True,
    )
    observed, operator = observation(load_case(tmp_path / "case.npz"))
    assert observed.shape == operator.forward(torch.zeros(3, 1, 16, 16)).shape
    assert (tmp_path / "case.png").stat().st_size > 0

"""The filters are scikit-image's, applied to each image by itself, behind our restoration file."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.filters import median
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from rgi.baselines import FILTERS, apply_filter
from rgi.command import parse_lam, shard
from rgi.errors import InputError
from rgi.files import load_arrays, save_arrays

SCRIPT = Path(__file__).parent.parent / "workflow" / "scripts" / "restore_filter.py"


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def images(request):
    """Not symmetric, and as wide as high: a swap of rows and columns would show."""
    ramp = np.linspace(-1, 1, 16, dtype=np.float32)[:, None] * np.ones(16, np.float32)
    noise = np.random.default_rng(0).normal(0, 0.2, (4, request.param, 16, 16))
    return (ramp + noise).clip(-1, 1).astype(np.float32)


def lam_of(method):
    return 0.2 if FILTERS[method].has_lambda else None


@pytest.mark.parametrize("method", FILTERS)
class TestEveryFilter:
    def test_follows_the_contract(self, images, method):
        filtered = apply_filter(images, method, lam_of(method))
        assert filtered.restored.shape == images.shape and filtered.restored.dtype == np.float32
        assert filtered.score.shape == (4, 16, 16) and filtered.score.dtype == np.float32
        assert filtered.seconds.shape == (4,) and (filtered.seconds > 0).all()
        assert np.abs(filtered.restored).max() <= 1

    def test_scores_how_far_each_pixel_moved(self, images, method):
        filtered = apply_filter(images, method, lam_of(method))
        moved = np.linalg.norm(images - filtered.restored, axis=1)
        assert np.allclose(filtered.score, moved, atol=1e-6)

    def test_treats_an_image_alone_as_in_the_set(self, images, method):
        together = apply_filter(images, method, lam_of(method)).restored
        for row in range(4):
            alone = apply_filter(images[row : row + 1], method, lam_of(method)).restored
            assert np.array_equal(alone[0], together[row])

    def test_leaves_a_flat_image_alone(self, images, method):
        flat = np.full_like(images, 0.25)
        filtered = apply_filter(flat, method, lam_of(method))
        assert np.allclose(filtered.restored, flat, atol=1e-4)

    def test_brings_a_noisy_ramp_nearer_to_the_ramp(self, images, method):
        ramp = np.broadcast_to(np.linspace(-1, 1, 16)[:, None], images.shape)
        filtered = apply_filter(images, method, 0.3 if FILTERS[method].has_lambda else None)
        before, after = (np.square(x - ramp).mean() for x in (images, filtered.restored))
        assert after < 0.8 * before


def test_median_is_scikit_image_s(images):
    filtered = apply_filter(images, "median", settings={"radius": 2})
    for channel, restored in zip(images[1], filtered.restored[1], strict=True):
        assert np.array_equal(restored, median(channel, np.ones((5, 5))))


def test_total_variation_is_scikit_image_s(images):
    restored = apply_filter(images, "total-variation", 0.3).restored[2]
    if len(restored) == 1:
        expected = denoise_tv_chambolle(images[2, 0], weight=0.3)[None]
    else:
        last = denoise_tv_chambolle(np.moveaxis(images[2], 0, -1), weight=0.3, channel_axis=-1)
        expected = np.moveaxis(last, -1, 0)
    assert np.allclose(restored, expected.clip(-1, 1), atol=1e-6)


def test_non_local_means_is_scikit_image_s(images):
    settings = {"patch_size": 3, "distance": 4}
    restored = apply_filter(images, "non-local-means", 0.2, settings).restored[3]
    options = {"h": 0.2, "patch_size": 3, "patch_distance": 4}
    if len(restored) == 1:
        expected = denoise_nl_means(images[3, 0], **options)[None]
    else:
        last = denoise_nl_means(np.moveaxis(images[3], 0, -1), channel_axis=-1, **options)
        expected = np.moveaxis(last, -1, 0)
    assert np.allclose(restored, expected.clip(-1, 1), atol=1e-6)


def test_median_removes_a_single_wrong_pixel_and_scores_it_highest():
    image = np.full((1, 3, 16, 16), 0.5, np.float32)
    image[0, :, 4, 9] = -1
    filtered = apply_filter(image, "median", settings={"radius": 1})
    assert np.array_equal(filtered.restored, np.full_like(image, 0.5))
    assert np.unravel_index(filtered.score[0].argmax(), (16, 16)) == (4, 9)
    assert filtered.score[0, 4, 9] == pytest.approx(1.5 * np.sqrt(3))


@pytest.mark.parametrize("method", ["total-variation", "non-local-means"])
def test_a_larger_lambda_smooths_more_and_a_tiny_one_not_at_all(images, method):
    moved = [apply_filter(images, method, lam).score.mean() for lam in (0.001, 0.1, 0.5)]
    assert moved[0] < 0.01 < moved[1] < moved[2]


@pytest.mark.parametrize(
    ("method", "lam", "settings", "message"),
    [
        ("mean", None, {}, "'mean'; allowed: median, total-variation, non-local-means"),
        ("median", 0.1, {}, "lam: 0.1; this method has no lambda"),
        ("total-variation", None, {}, "lam: none; expected a number greater than 0"),
        ("non-local-means", 0.0, {}, "lam: 0.0; expected a number"),
        ("non-local-means", float("nan"), {}, "lam: nan; expected a number"),
        ("median", None, {"radius": 0}, "radius: 0; must be at least 1"),
        ("median", None, {"size": 3}, "unknown key 'size'; allowed: radius"),
    ],
)
def test_a_bad_setting_is_named(images, method, lam, settings, message):
    with pytest.raises(InputError, match=message):
        apply_filter(images, method, lam, settings)


def test_the_script_restores_one_shard(tmp_path):
    images = np.random.default_rng(0).uniform(-1, 1, (4, 3, 16, 16)).astype(np.float32)
    save_arrays(tmp_path / "case.npz", {"corrupted": images, "index": np.array([7, 8, 11, 12])})

    def call(first, last, lam=0.3):
        options = {"case": tmp_path / "case.npz", "method": "total-variation", "lam": lam}
        options |= {"settings": json.dumps({"iterations": 50}), "first": first, "last": last}
        options |= {"output": tmp_path / "out.npz"}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, SCRIPT, *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    assert call(1, 3).returncode == 0
    read = load_arrays(tmp_path / "out.npz", "restored", "score", "index", "seconds")
    expected = apply_filter(images[1:3], "total-variation", 0.3, {"iterations": 50})
    assert np.array_equal(read["restored"], expected.restored)
    assert read["index"].tolist() == [8, 11] and read["seconds"].dtype == np.float64
    for arguments, message in (((2, 5), "rows 0 to 4"), ((1, 3, "a"), "error: --lam a: expected")):
        failed = call(*arguments)
        assert failed.returncode == 1 and message in failed.stderr


def test_lambda_is_a_number_or_none():
    assert parse_lam("0.05") == 0.05
    assert parse_lam("none") is None
    for text in ("", "None", "nan", "inf", "0,1"):
        with pytest.raises(InputError, match=f"--lam {text}: expected a number, or none"):
            parse_lam(text)


def test_a_shard_lies_inside_its_case():
    assert shard(1, 3, 4, "case.npz") == slice(1, 3)
    for first, last in ((-1, 2), (2, 2), (3, 1), (0, 5)):
        with pytest.raises(InputError, match="case.npz has rows 0 to 4"):
            shard(first, last, 4, "case.npz")

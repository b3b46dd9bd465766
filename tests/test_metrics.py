"""Metrics agree with other implementations, and say what they cannot measure."""

import copy

import numpy as np
import pytest
import torch

from rgi.errors import InputError
from rgi.evaluation import METRICS, aupro, auroc, average_precision, dice, lpips, psnr, rmse, ssim
from rgi.evaluation.metrics import pooled_aupro
from rgi.files import sha256_of
from rgi.models.perceptual import _network, perceptual_network


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def images(rng, count=3, channels=3, side=20):
    return rng.uniform(-1, 1, (count, channels, side, side)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_those_of_scikit_image(rng, channels):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    restored, clean = images(rng, channels=channels), images(rng, channels=channels)
    pairs = list(zip(restored.astype(float), clean.astype(float), strict=True))
    expected_psnr = [peak_signal_noise_ratio(b, a, data_range=2) for a, b in pairs]
    expected_ssim = [structural_similarity(a, b, data_range=2, channel_axis=0) for a, b in pairs]

    assert psnr(restored, clean).tolist() == pytest.approx(expected_psnr)
    assert ssim(restored, clean).tolist() == pytest.approx(expected_ssim)


def test_psnr_is_that_of_torchmetrics(rng):
    from torchmetrics.functional.image import peak_signal_noise_ratio

    restored, clean = torch.from_numpy(images(rng)), torch.from_numpy(images(rng))
    expected = peak_signal_noise_ratio(
        restored, clean, data_range=2.0, reduction="none", dim=(1, 2, 3)
    )

    np.testing.assert_allclose(psnr(restored, clean), expected, rtol=1e-5)


def test_psnr_and_rmse_of_the_hole_are_those_of_a_loop_over_its_pixels(rng):
    restored, clean = images(rng), images(rng)
    mask = rng.random((3, 20, 20)) < 0.3
    expected = []
    for a, b, hole in zip(restored, clean, mask, strict=True):
        squares = [
            (float(a[c, y, x]) - float(b[c, y, x])) ** 2
            for y in range(20)
            for x in range(20)
            for c in range(3)
            if hole[y, x]
        ]
        expected.append(sum(squares) / len(squares))

    assert psnr(restored, clean, mask).tolist() == pytest.approx(
        [10 * np.log10(4 / e) for e in expected]
    )
    assert rmse(restored, clean, mask).tolist() == pytest.approx([e**0.5 for e in expected])


def test_ssim_of_the_hole_is_the_mean_of_the_similarity_map_there(rng):
    from skimage.metrics import structural_similarity

    restored, clean = images(rng, count=1), images(rng, count=1)
    mask = rng.random((1, 20, 20)) < 0.3
    _, similarity = structural_similarity(
        restored[0].astype(float), clean[0].astype(float), data_range=2, channel_axis=0, full=True
    )

    expected = similarity[:, mask[0]].mean()
    assert ssim(restored, clean, mask).item() == pytest.approx(expected)


@pytest.mark.parametrize("metric", [psnr, rmse, ssim])
def test_an_image_counts_alone_as_in_a_batch(rng, metric):
    restored, clean = images(rng), images(rng)

    assert metric(restored, clean)[1] == metric(restored[1:2], clean[1:2])[0]


@pytest.mark.parametrize("metric", [psnr, rmse, ssim])
def test_the_value_is_not_defined_in_an_empty_hole(rng, metric):
    clean = images(rng, count=2)
    mask = np.zeros((2, 20, 20), bool)
    mask[1, 3:9, 3:9] = True

    assert np.isnan(metric(-clean, clean, mask)).tolist() == [True, False]


def test_equal_images_have_the_best_values(rng):
    clean = images(rng)

    assert psnr(clean, clean).tolist() == [np.inf] * 3
    assert rmse(clean, clean).tolist() == [0.0] * 3
    assert ssim(clean, clean).tolist() == pytest.approx([1.0] * 3)


def test_the_range_is_not_rescaled_per_image(rng):
    clean = images(rng)

    assert rmse(clean / 2 + 0.5, clean).tolist() != pytest.approx([0.0] * 3, abs=0.1)
    assert psnr(clean / 10, clean / 10 + 0.2).tolist() == pytest.approx([20.0] * 3, abs=1e-4)


def test_dice_is_that_of_a_count_of_pixels(rng):
    found, truth = rng.random((4, 9, 9)) < 0.4, rng.random((4, 9, 9)) < 0.4
    found[2] = truth[2] = False
    truth[3] = False
    expected = [
        2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(found[:2], truth[:2], strict=True)
    ]

    assert dice(found, truth).tolist() == pytest.approx([*expected, 1.0, 0.0])


def test_auroc_is_the_probability_that_a_corrupted_pixel_scores_higher(rng):
    score = np.round(rng.random((2, 6, 6)), 1)
    truth = rng.random((2, 6, 6)) < 0.4
    expected = []
    for values, labels in zip(score, truth, strict=True):
        positive, negative = values[labels][:, None], values[~labels][None]
        expected.append(((positive > negative) + 0.5 * (positive == negative)).mean())

    assert auroc(score, truth).tolist() == pytest.approx(expected)


def maps(rng, count=3, side=12):
    """Scores with many ties, in float32, and a mask of several regions in each image."""
    score = rng.integers(0, 9, (count, side, side)).astype(np.float32) / 7
    return score, rng.random((count, side, side)) < 0.15


def test_auroc_and_average_precision_are_those_of_scikit_learn(rng):
    from sklearn.metrics import average_precision_score, roc_auc_score

    score, truth = maps(rng)
    for ours, theirs in ((auroc, roc_auc_score), (average_precision, average_precision_score)):
        expected = [theirs(t.ravel(), s.ravel()) for s, t in zip(score, truth, strict=True)]
        assert ours(score, truth).tolist() == pytest.approx(expected, rel=1e-12)


def test_average_precision_is_that_of_a_walk_down_the_ranking(rng):
    score, truth = rng.permutation(100).reshape(1, 10, 10), rng.random((1, 10, 10)) < 0.2
    ranked = truth.ravel()[np.argsort(-score.ravel())]
    hits = [ranked[: place + 1].mean() for place in np.flatnonzero(ranked)]

    assert average_precision(score, truth).tolist() == pytest.approx([np.mean(hits)])


@pytest.mark.parametrize("metric", [auroc, average_precision, aupro])
def test_maps_are_not_scored_against_a_truth_with_one_class(rng, metric):
    truth = np.zeros((2, 5, 5), bool)
    truth[1] = True
    assert np.isnan(metric(rng.random((2, 5, 5)), truth)).all()


def overlap_by_threshold(score, truth, limit):
    """Bergmann et al.'s definition, threshold by threshold and region by region."""
    from scipy.ndimage import label

    regions = []
    for number, mask in enumerate(truth):
        labels, count = label(mask, structure=np.ones((3, 3)))
        regions += [(number, labels == value) for value in range(1, count + 1)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(score)[::-1]:
        found = score >= threshold
        overlap = np.mean([found[number][region].mean() for number, region in regions])
        points.append((found[~truth].mean(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if x0 >= limit:
            break
        end = min(x1, limit)
        y_end = y1 if x1 == x0 else y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@pytest.mark.parametrize("limit", [0.05, 0.3, 1])
def test_aupro_is_that_of_its_definition(rng, limit):
    score, truth = maps(rng)
    expected = [overlap_by_threshold(score[i : i + 1], truth[i : i + 1], limit) for i in range(3)]

    assert aupro(score, truth, limit).tolist() == pytest.approx(expected)
    pooled = pooled_aupro(score, truth, limit)
    assert pooled == pytest.approx(overlap_by_threshold(score, truth, limit))


@pytest.mark.parametrize("limit", [0.0, -0.3, 1.01, 30, float("nan")])
@pytest.mark.parametrize("metric", [aupro, pooled_aupro])
def test_a_false_positive_rate_that_cannot_be_is_refused(metric, limit):
    with pytest.raises(InputError, match=f"aupro: limit: {limit}; allowed: above 0, at most 1"):
        metric(np.zeros((1, 4, 4)), np.zeros((1, 4, 4), bool), limit)


def test_aupro_of_a_drawing():
    """A defect of four pixels and one of two among 18 clean pixels, worked out by hand.

    At score 2 (capitals) half of the large one and all of the small one are found and no clean
    pixel is: overlap (1/2 + 1) / 2 = 3/4 at rate 0. At score 1 the rest of the large one comes with
    three clean pixels: overlap 1 at rate 3/18 = 1/6. So the mean overlap is 7/8 up to 1/6 and 1
    from there to 0.3: (1/6 x 7/8 + (0.3 - 1/6) x 1) / 0.3 = 67/72.
    """
    drawing = np.array([list("AAo..."), list("aa...."), list("....BB"), list("oo....")])
    truth = np.isin(drawing, list("AaB"))
    score = np.where(np.isin(drawing, list("AB")), 2.0, np.isin(drawing, list("ao")))

    assert aupro(score[None], truth[None]).item() == pytest.approx(67 / 72)


def test_regions_that_touch_at_a_corner_are_one(rng):
    truth = np.zeros((1, 6, 6), bool)
    truth[0, [1, 2, 4], [1, 2, 5]] = True
    score = np.zeros((1, 6, 6))
    score[0, 4, 5] = 1  # all of one region of two, before any false positive

    # From overlap 1/2 without false positives straight to (1, 1).
    assert aupro(score, truth).item() == pytest.approx((0.5 + 0.5 + 0.3 * 0.5) / 2)


def test_aupro_is_that_of_anomalib(rng):
    theirs = pytest.importorskip("anomalib.metrics.aupro")._AUPRO(fpr_limit=0.3)
    score, truth = rng.random((4, 32, 32)).astype(np.float32), rng.random((4, 32, 32)) < 0.1
    theirs.update(torch.from_numpy(score), torch.from_numpy(truth))

    assert pooled_aupro(score, truth) == pytest.approx(theirs.compute().item(), abs=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: psnr(np.zeros((2, 1, 8, 8)), np.zeros((2, 1, 8, 9))),
        lambda: psnr(np.zeros((8, 8)), np.zeros((8, 8))),
        lambda: rmse(np.zeros((2, 1, 8, 8)), np.zeros((2, 1, 8, 8)), np.ones((2, 1, 8, 8), bool)),
        lambda: rmse(np.zeros((2, 1, 8, 8)), np.zeros((2, 1, 8, 8)), np.ones((2, 8, 8))),
        lambda: ssim(np.zeros((2, 1, 6, 8)), np.zeros((2, 1, 6, 8))),
        lambda: dice(np.zeros((2, 8, 8)), np.zeros((2, 8, 8), bool)),
        lambda: auroc(np.zeros((2, 8, 8)), np.zeros((1, 8, 8), bool)),
        lambda: lpips(np.zeros((2, 2, 8, 8)), np.zeros((2, 2, 8, 8))),
    ],
)
def test_input_that_does_not_fit_is_refused_on_one_line(call):
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)


def test_every_metric_is_registered_under_its_name():
    assert list(METRICS) == [
        "psnr",
        "ssim",
        "lpips",
        "rmse",
        "dice",
        "auroc",
        "ap",
        "aupro",
    ]
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == [
        "lpips",
        "rmse",
    ]
    assert [name for name, metric in METRICS.items() if metric.compares != "images"] == [
        "dice",
        "auroc",
        "ap",
        "aupro",
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_tells_images_apart_whatever_their_size_and_channels(rng, random_backbone, channels):
    clean = images(rng, channels=channels, side=16)

    assert lpips(clean, clean).tolist() == pytest.approx([0.0] * 3)
    assert (lpips(-clean, clean) > 0.001).all()
    assert lpips(-clean, clean)[1] == pytest.approx(lpips(-clean[1:2], clean[1:2])[0])


def test_lpips_is_that_of_torchmetrics(rng, random_backbone):
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    restored, clean = images(rng, side=64), images(rng, side=64)
    expected = [
        learned_perceptual_image_patch_similarity(
            torch.from_numpy(a)[None], torch.from_numpy(b)[None], net_type="squeeze"
        ).item()
        for a, b in zip(restored, clean, strict=True)
    ]

    assert lpips(restored, clean).tolist() == pytest.approx(expected, rel=1e-4)


def test_lpips_has_a_finite_gradient_where_the_network_is_blind(random_backbone):
    """A backbone of zeros: every map is 0 after its ReLU, where a root has no slope."""
    network = copy.deepcopy(perceptual_network())
    for parameter in network.network.net.parameters():
        parameter.zero_()
    first = torch.rand(2, 1, 16, 16, requires_grad=True)
    network(first, torch.zeros(2, 1, 16, 16)).sum().backward()
    assert first.grad.isfinite().all()


def test_lpips_refuses_a_backbone_of_other_bytes(random_backbone, tmp_path):
    """A page of an error, say, that was saved under the file's name."""
    (cached,) = (tmp_path / "hub" / "checkpoints").iterdir()
    cached.write_bytes(cached.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match=r"not the published file: its sha256 is .* begin with"):
        lpips(np.zeros((1, 3, 64, 64)), np.zeros((1, 3, 64, 64)))


def test_lpips_takes_a_backbone_of_other_bytes_that_its_owner_vouches_for(
    random_backbone, tmp_path, caplog
):
    (cached,) = (tmp_path / "hub" / "checkpoints").iterdir()
    weights = torch.load(cached, weights_only=True)
    torch.save({name: value.half().float() for name, value in weights.items()}, cached)
    other = rf"{sha256_of(cached)}.*vouch for this one: sha256sum {cached} > {cached}\.sha256"
    with pytest.raises(InputError, match=other):
        lpips(np.zeros((1, 3, 64, 64)), np.zeros((1, 3, 64, 64)))

    vouched = cached.with_name(f"{cached.name}.sha256")
    vouched.write_text(f"{sha256_of(cached)}  {cached}\n")  # as sha256sum writes it
    assert lpips(np.zeros((1, 3, 64, 64)), np.zeros((1, 3, 64, 64))).tolist() == [0]
    assert f"{vouched.name} vouches for it" in caplog.text

    vouched.write_text(f"{'0' * 64}  {cached}\n")
    _network.cache_clear()
    with pytest.raises(InputError, match=other):
        lpips(np.zeros((1, 3, 64, 64)), np.zeros((1, 3, 64, 64)))


def test_lpips_without_its_backbone_names_the_file_and_the_way_out(tmp_path, monkeypatch):
    from torchvision.models import SqueezeNet1_1_Weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    nowhere = SqueezeNet1_1_Weights.IMAGENET1K_V1.value
    url = "http://127.0.0.1:9/models/squeezenet1_1-b8a52dc0.pth"
    monkeypatch.setattr(
        SqueezeNet1_1_Weights.IMAGENET1K_V1, "_value_", type(nowhere)(url, nowhere.transforms, {})
    )
    with pytest.raises(InputError) as error:
        lpips(np.zeros((1, 3, 64, 64)), np.zeros((1, 3, 64, 64)))

    message = str(error.value)
    assert str(tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth") in message
    assert "metrics:" in message
    assert "\n" not in message

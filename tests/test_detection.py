"""Detection: lambda and threshold are chosen on other images; numbers are those of scikit-learn."""

import runpy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from rgi.corruption import Case, save_case
from rgi.errors import InputError
from rgi.evaluation import dice
from rgi.evaluation.detection import (
    Maps,
    contrast,
    detect,
    found_defects,
    load_maps,
    read_curves,
    read_images,
    read_summary,
    write_detection,
)
from rgi.evaluation.intervals import CONFIDENCE, summarise
from rgi.evaluation.intervals import RESAMPLES as MEAN_RESAMPLES
from rgi.evaluation.metrics import pooled_aupro
from rgi.evaluation.operating import best_dice
from rgi.evaluation.pooled import POOLED, RESAMPLES, binned, curves, interval, resampled_curves
from rgi.evaluation.selection import assign_folds
from rgi.files import save_arrays

IMAGES, SIDE, FOLDS, SEED = 14, 10, 3, 0
GOOD = 4  # images without a defect, the last ones


@pytest.fixture
def case():
    """Defects of two kinds, and good images; what is clean is known."""
    rng = np.random.default_rng(0)
    mask = rng.random((IMAGES, SIDE, SIDE)) < 0.15
    mask[-GOOD:] = False
    clean = rng.uniform(-1, 1, (IMAGES, 2, SIDE, SIDE)).astype(np.float32)
    corrupted = np.where(mask[:, None], clean / 2, clean)
    kind = np.array([("crack", "scratch")[i % 2] for i in range(IMAGES - GOOD)] + ["good"] * GOOD)
    return Case(clean, corrupted, mask, np.arange(IMAGES) * 3 + 1, kind)


@pytest.fixture
def maps(case):
    """Maps with ties, better at the second lambda."""
    rng = np.random.default_rng(1)
    level = rng.integers(0, 6, (IMAGES, 1, 1))  # some images score higher throughout
    score = {
        lam: (rng.integers(0, 12, case.mask.shape) + level + gain * case.mask).astype(np.float32)
        for lam, gain in (("0.1", 2), ("0.20", 5))
    }
    return Maps(score, {lam: rng.uniform(10, 30, IMAGES) for lam in score})


def take(case, rows):
    """A case of some rows, repeated or not."""
    return Case(*(None if array is None else array[rows] for array in vars(case).values()))


def fold_of(case):
    folds = assign_folds(case.index, FOLDS, SEED)
    return np.array([folds[int(index)] for index in case.index])


def best_point(case, maps, images):
    """Every lambda and every score as threshold, one by one."""
    found = []
    for lam, score in maps.score.items():
        for threshold in np.unique(score[images])[::-1]:
            found.append(
                (dice(score[images] >= threshold, case.mask[images]).mean(), lam, threshold)
            )
    return max(found, key=lambda point: point[0])


def value(summary, metric, statistic, kind="all", column="value"):
    row = summary[
        (summary["metric"] == metric)
        & (summary["statistic"] == statistic)
        & (summary["kind"] == kind)
    ]
    assert len(row) == 1
    return row[column].item()


def test_lambda_and_threshold_have_the_best_mean_dice_of_the_other_folds(case, maps):
    found = detect(case, maps, FOLDS, SEED)
    fold, defective = fold_of(case), case.mask.any(axis=(1, 2))

    for number, row in enumerate(found.points.itertuples()):
        others = np.flatnonzero(defective & (fold != number))
        _, lam, threshold = best_point(case, maps, others)
        assert (row.lam, row.threshold) == (lam, threshold)
        own = np.flatnonzero(defective & (fold == number))
        if row.fold == "all":
            own = others
        expected = dice(maps.score[lam][own] >= threshold, case.mask[own])
        assert row.value == pytest.approx(expected.mean())
        if row.fold != "all":
            assert found.images["dice"][own].tolist() == pytest.approx(expected.tolist())
    dices = found.images["dice"][defective]
    assert value(found.summary, "dice", "mean") == pytest.approx(dices.mean())
    assert value(found.summary, "dice", "median") == pytest.approx(dices.median())
    assert found.images["dice"][~defective].isna().all()
    assert set(found.summary["lam"]) == {found.points["lam"].iloc[-1]}


def test_a_folds_point_does_not_see_its_images(case, maps):
    before = detect(case, maps, FOLDS, SEED).points
    own = fold_of(case) == 1
    rng = np.random.default_rng(5)
    mask, score = case.mask.copy(), {lam: score.copy() for lam, score in maps.score.items()}
    mask[own & mask.any(axis=(1, 2))] ^= True
    for values in score.values():
        values[own] = rng.random(values[own].shape)
    after = detect(replace(case, mask=mask), replace(maps, score=score), FOLDS, SEED).points

    pd.testing.assert_series_equal(
        before.loc[1, ["lam", "threshold"]], after.loc[1, ["lam", "threshold"]]
    )
    assert before["threshold"][0] != after["threshold"][0]


def test_the_oracles_dice_is_the_best_of_all_thresholds(case, maps):
    score = maps.score["0.1"]
    expected = [
        max(dice(s[None] >= t, m[None]).item() for t in np.unique(s)) if m.any() else np.nan
        for s, m in zip(score, case.mask, strict=True)
    ]
    assert best_dice(score, case.mask).tolist() == pytest.approx(expected, nan_ok=True)


def held_out_score(case, maps):
    images = detect(case, maps, FOLDS, SEED).images
    return np.stack([maps.score[lam][row] for row, lam in enumerate(images["lam"])])


@pytest.mark.parametrize("kind", ["all", "crack", "scratch"])
def test_pooled_values_are_of_a_kinds_images_with_the_good_ones(case, maps, kind):
    summary = detect(case, maps, FOLDS, SEED).summary
    rows = np.isin(case.kind, [kind, "good"]) | (kind == "all")
    score, truth = held_out_score(case, maps)[rows], case.mask[rows]
    highest, defective = score.max(axis=(1, 2)), truth.any(axis=(1, 2))

    for metric, expected in {
        "auroc": roc_auc_score(truth.ravel(), score.ravel()),
        "ap": average_precision_score(truth.ravel(), score.ravel()),
        "aupro": pooled_aupro(score, truth),
        "image-auroc": roc_auc_score(defective, highest),
    }.items():
        assert value(summary, metric, "pooled", kind) == pytest.approx(expected)
        assert value(summary, metric, "pooled", kind, "images") == rows.sum()
        low, high = (value(summary, metric, "pooled", kind, side) for side in ("low", "high"))
        assert low < expected < high
    assert value(summary, "dice", "mean", kind, "images") == defective.sum()
    assert value(summary, "psnr", "mean", kind, "images") == defective.sum()


@pytest.mark.parametrize("metric", ["auroc", "ap", "aupro"])
def test_intervals_are_those_of_resampled_images(case, maps, metric):
    """Scores with ties have a bin each, so that the bins are exact."""
    score, rows = maps.score["0.1"], np.arange(2, IMAGES)
    exact, of_curve = POOLED[metric]
    draws = np.random.default_rng(SEED).integers(0, len(rows), (RESAMPLES, len(rows)))
    expected = [exact(score[rows[draw]], case.mask[rows[draw]]) for draw in draws]
    outside = (1 - CONFIDENCE) / 2

    resampled = resampled_curves(binned(score, case.mask), rows, SEED)
    found = interval([of_curve(curve) for curve in resampled])
    assert found == pytest.approx(np.quantile(expected, [outside, 1 - outside]).tolist())


@pytest.mark.parametrize("metric", ["auroc", "ap", "aupro"])
def test_bins_of_many_scores_are_nearly_exact(metric):
    rng = np.random.default_rng(0)
    truth = rng.random((20, 32, 32)) < 0.03
    score = rng.normal(size=truth.shape) + 2 * truth
    exact, of_curve = POOLED[metric]

    (curve,) = curves(binned(score, truth), np.ones((1, 20)))
    assert of_curve(curve) == pytest.approx(exact(score, truth), abs=2e-3)


def test_without_good_images_there_is_no_image_auroc(case, maps):
    few = take(case, np.arange(IMAGES - GOOD))
    cut = Maps(*({lam: v[:-GOOD] for lam, v in part.items()} for part in vars(maps).values()))
    summary = detect(few, cut, FOLDS, SEED).summary

    assert np.isnan(value(summary, "image-auroc", "pooled"))
    assert np.isfinite(value(summary, "auroc", "pooled"))


def test_without_kinds_there_is_one_group(case, maps):
    known = detect(case, maps, FOLDS, SEED).summary
    unknown = detect(replace(case, kind=None), maps, FOLDS, SEED).summary

    assert set(known["kind"]) == {"all", "crack", "scratch"}
    assert set(unknown["kind"]) == {"all"}
    pd.testing.assert_frame_equal(unknown, known[known["kind"] == "all"].reset_index(drop=True))


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [(0, "good", "image 1 .* 'good', but its mask has"), (-1, "dent", "'dent', .* mask has no")],
)
def test_kinds_that_contradict_the_masks_are_refused(case, maps, row, kind, words):
    case.kind[row] = kind
    with pytest.raises(InputError, match=words):
        detect(case, maps, FOLDS, SEED)


def test_no_kind_is_called_as_all_of_them(case, maps):
    kind = np.where(case.kind == "crack", "all", case.kind)
    with pytest.raises(InputError, match="kind 'all' .* all kinds together"):
        detect(replace(case, kind=kind), maps, FOLDS, SEED)


@pytest.mark.parametrize(
    ("defects", "words"),
    [(1, "no image with a defect is left to choose"), (0, "no image has a defect")],
)
def test_a_threshold_needs_a_defect_in_another_fold(case, maps, defects, words):
    mask = case.mask.copy()
    mask[defects:] = False
    with pytest.raises(InputError, match=words):
        detect(replace(case, mask=mask, kind=None), maps, FOLDS, SEED)


# Groups: images of the same thing


def shot_twice(case, maps):
    """Every image two times, beside each other, the two as one group."""
    rows = np.repeat(np.arange(IMAGES), 2)
    group = np.array([f"tile {row}" for row in rows])
    score, quality = ({lam: v[rows] for lam, v in part.items()} for part in vars(maps).values())
    twice = replace(take(case, rows), index=np.arange(2 * IMAGES), group=group)
    return twice, Maps(score, quality)


def test_no_group_is_in_two_folds(case, maps):
    twice, shots = shot_twice(case, maps)

    def spread(case):
        images = detect(case, shots, FOLDS, SEED).images
        return images.groupby(twice.group)["fold"].nunique().max(), images["fold"].nunique()

    assert detect(twice, shots, FOLDS, SEED).images["group"].tolist() == twice.group.tolist()
    assert spread(twice) == (1, FOLDS)
    assert spread(replace(twice, group=None)) == (2, FOLDS)


def test_two_shots_of_each_thing_tell_no_more_than_one(case, maps):
    """Also the intervals are those of one shot; as independent images they would be narrower."""
    one = replace(case, index=np.arange(IMAGES))
    twice, shots = shot_twice(one, maps)
    # In the order of their names, groups are numbered as the images are.
    named = replace(twice, group=np.repeat([f"{row:02}" for row in range(IMAGES)], 2))
    once, grouped = (detect(c, m, FOLDS, SEED) for c, m in ((one, maps), (named, shots)))

    pd.testing.assert_frame_equal(
        grouped.summary.drop(columns="images"), once.summary.drop(columns="images")
    )
    assert (grouped.summary["images"] == 2 * once.summary["images"]).all()
    assert grouped.images["fold"].tolist() == np.repeat(once.images["fold"], 2).tolist()


def test_intervals_over_groups_of_two_are_wider_by_the_root_of_two():
    values = np.repeat(np.random.default_rng(0).normal(size=300), 2)
    group = np.repeat(np.arange(300).astype(str), 2)
    independent, grouped = (summarise(values, np.mean, SEED, own) for own in (None, group))

    wider = (grouped.high - grouped.low) / (independent.high - independent.low)
    assert wider == pytest.approx(np.sqrt(2), rel=0.05)
    assert (grouped.value, grouped.images) == (independent.value, independent.images)


@pytest.mark.parametrize("metric", ["auroc", "ap", "aupro"])
def test_all_images_of_a_drawn_group_count(case, maps, metric):
    """Groups of unequal size, one image of which is not asked for; against brute force."""
    score, rows = maps.score["0.1"], np.arange(2, IMAGES)
    group = np.array([f"tile {number}" for number in (0, 1, 0, 0, 1, 2, 2, 3, 4, 4, 5, 5, 5, 6)])
    members = [np.flatnonzero(group[rows] == name) + 2 for name in np.unique(group[rows])]
    exact, of_curve = POOLED[metric]
    draws = np.random.default_rng(SEED).integers(0, len(members), (RESAMPLES, len(members)))
    taken = [np.concatenate([members[number] for number in draw]) for draw in draws]
    expected = [exact(score[own], case.mask[own]) for own in taken if case.mask[own].any()]
    outside = (1 - CONFIDENCE) / 2

    resampled = resampled_curves(binned(score, case.mask), rows, SEED, group)
    found = interval([of_curve(curve) for curve in resampled])
    assert found == pytest.approx(np.quantile(expected, [outside, 1 - outside]).tolist())


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_without_groups_every_image_is_drawn_for_itself(statistic):
    """The draws are those of numpy's generator, also where every image is its own group."""
    values = np.random.default_rng(0).normal(size=40)
    draws = np.random.default_rng(SEED).integers(0, 40, (MEAN_RESAMPLES, 40))
    outside = 100 * (1 - CONFIDENCE) / 2
    expected = np.percentile(statistic(values[draws], axis=-1), [outside, 100 - outside])

    for groups in (None, np.arange(40)):
        found = summarise(values, statistic, SEED, groups)
        assert [found.low, found.high] == pytest.approx(expected.tolist(), rel=1e-12)


def test_one_group_alone_has_no_interval(case, maps):
    grouped = replace(case, group=np.where(case.kind == "crack", "tile", case.index.astype(str)))
    summary = detect(grouped, maps, FOLDS, SEED).summary
    assert np.isfinite(value(summary, "dice", "mean", "crack"))
    assert np.isnan(value(summary, "dice", "mean", "crack", "low"))
    assert (
        resampled_curves(
            binned(maps.score["0.1"], case.mask), np.arange(3), SEED, np.full(IMAGES, "tile")
        )
        == []
    )


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (["a", "b"] * (IMAGES // 2), "folds: 3 .* allowed: 2 to 2 groups of images"),
        (["a"] * (IMAGES - GOOD) + ["b", "c", "d", "e"], "left to choose .* all are in one fold"),
    ],
)
def test_groups_that_leave_nothing_to_choose_by_are_refused(case, maps, groups, words):
    with pytest.raises(InputError, match=words):
        detect(replace(case, group=np.array(groups)), maps, FOLDS, SEED)


def test_contrast_is_the_change_or_the_distance_from_the_surroundings(case):
    first = np.abs(case.clean[0] - case.corrupted[0])[:, case.mask[0]].mean()
    assert contrast(case)[0] == pytest.approx(first)
    assert np.isnan(contrast(case)[-GOOD:]).all()

    mask = np.zeros((1, 9, 9), bool)
    mask[0, 4, 4] = True
    shown = np.zeros((1, 1, 9, 9), np.float32)
    shown[0, 0, 4, 4], shown[0, 0, 3:6, 3] = -0.5, 0.8
    ring = 24  # pixels within three steps of the middle one
    unknown = Case(np.full_like(shown, np.nan), shown, mask, np.zeros(1, int))
    assert contrast(unknown).tolist() == pytest.approx([0.5 + 3 * 0.8 / ring])


@pytest.fixture
def saved(tmp_path, case, maps):
    """The case and two shards per lambda, the second in another order, of a detector."""
    save_case(tmp_path / "case.npz", case)
    for lam, score in maps.score.items():
        for number, rows in enumerate((np.arange(5), np.arange(IMAGES)[:4:-1])):
            arrays = {
                "restored": np.full_like(case.clean[rows], np.nan),
                "score": score[rows],
                "index": case.index[rows],
                "seconds": np.ones(len(rows)),
            }
            save_arrays(tmp_path / "method" / lam / f"{number}.npz", arrays)
    return tmp_path


def test_the_scripts_write_what_the_library_finds(saved, case, maps):
    unknown = {lam: np.full(IMAGES, np.nan) for lam in maps.psnr}
    expected = detect(case, replace(maps, psnr=unknown), FOLDS, SEED)
    common = {
        "case": saved / "case.npz",
        "restorations": saved / "method",
        "lam": list(maps.score),
        "shards": 2,
        "restores": False,
    }
    runpy.run_path("workflow/scripts/score_detection.py")["main"](
        **common, folds=FOLDS, seed=SEED, directory=saved / "found"
    )
    runpy.run_path("workflow/scripts/measure_defects.py")["main"](
        **common, detection=saved / "found", output=saved / "defects.csv"
    )

    pd.testing.assert_frame_equal(
        read_summary(saved / "found"), expected.summary, check_dtype=False
    )
    pd.testing.assert_frame_equal(read_images(saved / "found"), expected.images, check_dtype=False)
    assert set(expected.summary["metric"]) == {
        *("dice", "dice-oracle", "auroc", "ap", "aupro", "image-auroc")
    }
    defects = pd.read_csv(saved / "defects.csv")
    image = expected.images.iloc[3]
    area = (maps.score[image["lam"]][3] >= image["threshold"]).sum()
    assert defects.loc[defects["index"] == image["index"], "area"].sum() == area


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": np.array(["good"] * IMAGES)}, "image 1 is of kind 'good', but its mask has"),
        ({"kind": np.array(["all"] * (IMAGES - GOOD) + ["good"] * GOOD)}, "kind 'all' of defect"),
        ({"mask": np.zeros((IMAGES, SIDE, SIDE), bool), "kind": None}, "no image has a defect"),
        (
            {"group": np.array(["a"] * (IMAGES - GOOD) + list("bcde"))},
            "no image with a defect is left",
        ),
    ],
)
def test_a_case_that_cannot_be_scored_is_named(saved, case, maps, change, words):
    save_case(saved / "case.npz", replace(case, **change))
    with pytest.raises(InputError, match=f"case.npz: {words}") as error:
        runpy.run_path("workflow/scripts/score_detection.py")["main"](
            case=saved / "case.npz",
            restorations=saved / "method",
            lam=list(maps.score),
            shards=2,
            restores=False,
            folds=FOLDS,
            seed=SEED,
            directory=saved / "found",
        )
    assert str(error.value).startswith(str(saved / "case.npz"))


@pytest.mark.parametrize(
    ("read", "file", "column"),
    [(read_images, "images.csv", "threshold"), (read_curves, "curves.csv", "y")],
)
def test_what_is_no_number_is_named_with_file_and_column(tmp_path, case, maps, read, file, column):
    write_detection(tmp_path, detect(case, maps, FOLDS, SEED))
    table = pd.read_csv(tmp_path / file, dtype=str)
    table.loc[2, column] = "much"
    table.to_csv(tmp_path / file, index=False)
    (tmp_path / f".{file}.sha256").unlink()
    with pytest.raises(InputError, match=f"{file}: {column}: not a number .*much"):
        read(tmp_path)


def test_the_file_of_points_gives_back_each_mask_to_the_pixel(case, tmp_path):
    """A threshold is some pixel's score: the last digit of either decides on that pixel."""
    rng = np.random.default_rng(7)
    score = (rng.random(case.mask.shape) + case.mask / 3).astype(np.float32)
    maps = Maps({"none": score}, {"none": np.full(IMAGES, np.nan)})
    found = detect(case, maps, FOLDS, SEED)
    write_detection(tmp_path, found)

    assert read_images(tmp_path)["threshold"].isin(score.ravel()).all()
    defects = found_defects(case, maps, read_images(tmp_path))
    masks = score >= found.images["threshold"].to_numpy()[:, None, None]
    expected = masks.sum(axis=(1, 2))
    areas = defects.groupby("index")["area"].sum().reindex(case.index, fill_value=0)
    assert areas.tolist() == expected.tolist()


def test_a_method_that_restores_has_the_psnr_of_its_background(saved, case, maps):
    for path in (saved / "method").glob("*/*.npz"):
        with np.load(path) as arrays:
            rows = np.searchsorted(case.index, arrays["index"])
            save_arrays(path, {**arrays, "restored": case.clean[rows] + np.float32(0.2)})
    _, found = load_maps(saved / "case.npz", saved / "method", list(maps.score), 2, restores=True)

    assert found.psnr["0.1"].tolist() == pytest.approx([20.0] * IMAGES, rel=1e-5)
    for lam, score in maps.score.items():
        np.testing.assert_array_equal(found.score[lam], score)


def test_curves_lead_from_nothing_to_everything(case, maps, tmp_path):
    write_detection(tmp_path, detect(case, maps, FOLDS, SEED))
    drawn = read_curves(tmp_path)
    roc, precision = (drawn[drawn["curve"] == name] for name in ("roc", "precision-recall"))

    assert roc[["x", "y"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert precision["x"].iloc[-1] == 1
    assert precision["y"].iloc[-1] == pytest.approx(case.mask.mean())
    assert len(drawn) < 1100


def test_defects_are_measured_at_each_images_own_point(case, maps):
    images = detect(case, maps, FOLDS, SEED).images
    defects = found_defects(case, maps, images)

    for row, image in enumerate(images.itertuples(index=False)):
        area = (maps.score[image.lam][row] >= image.threshold).sum()
        assert defects.loc[defects["index"] == image.index, "area"].sum() == area

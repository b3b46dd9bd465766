"""Lambda is chosen without the images it is shown on, and intervals cover what they should."""

import itertools

import numpy as np
import pandas as pd
import pytest

from rgi.errors import InputError
from rgi.evaluation.intervals import root_mean_square, summarise
from rgi.evaluation.selection import (
    assign_folds,
    chosen_lambda,
    held_out,
    image_folds,
    read_selection,
    reference_lambda,
    select_lambda,
    write_selection,
)

LAMS = ["0.05", "0.1", "none"]
FOLDS, SEED = 3, 7


def random_scores(seed=0, images=11, lams=LAMS):
    rng = np.random.default_rng(seed)
    keys = [("psnr", "whole"), ("psnr", "hole"), ("rmse", "whole"), ("seconds", "whole")]
    rows = [
        (index, lam, metric, region, rng.random())
        for lam, (metric, region), index in itertools.product(lams, keys, range(images))
    ]
    return pd.DataFrame(rows, columns=["index", "lam", "metric", "region", "value"])


def brute_force(scores, metric, sign, outside):
    """The lambda with the best mean over the images in `outside`, by plain loops."""
    best, best_mean = None, None
    for lam in LAMS:
        values = [
            row.value
            for row in scores.itertuples(index=False)
            if (row.lam, row.metric, row.region) == (lam, metric, "whole") and row[0] in outside
        ]
        mean = sign * sum(values) / len(values)
        if best_mean is None or mean > best_mean:
            best, best_mean = lam, mean
    return best, sign * best_mean


@pytest.mark.parametrize(("metric", "sign"), [("psnr", 1), ("rmse", -1)])
@pytest.mark.parametrize("seed", range(5))
def test_each_fold_gets_the_lambda_that_is_best_on_the_others(metric, sign, seed):
    scores = random_scores(seed)
    fold_of = assign_folds(range(11), FOLDS, SEED)
    selection = select_lambda(scores, FOLDS, SEED).set_index(["metric", "fold"])

    for fold in range(FOLDS):
        own = {image for image, number in fold_of.items() if number == fold}
        lam, _ = brute_force(scores, metric, sign, set(fold_of) - own)
        row = selection.loc[metric, str(fold)]
        shown = scores[
            (scores["lam"] == lam)
            & (scores["metric"] == metric)
            & (scores["region"] == "whole")
            & scores["index"].isin(own)
        ]
        assert row["lam"] == lam
        assert row["value"] == pytest.approx(shown["value"].mean())
    lam, value = brute_force(scores, metric, sign, set(fold_of))
    assert selection.loc[metric, "all"].tolist() == [lam, pytest.approx(value)]


def test_a_folds_own_values_never_change_the_lambda_chosen_for_it():
    scores = random_scores()
    before = select_lambda(scores, FOLDS, SEED).set_index(["metric", "fold"])["lam"]
    fold = scores["index"].map(assign_folds(range(11), FOLDS, SEED))
    for number in range(FOLDS):
        for lam in LAMS:
            temptation = scores.copy()
            temptation.loc[(fold == number) & (scores["lam"] == lam), "value"] = 1000.0
            after = select_lambda(temptation, FOLDS, SEED).set_index(["metric", "fold"])["lam"]
            for metric in ("psnr", "rmse"):
                assert after[metric, str(number)] == before[metric, str(number)]


def test_folds_are_balanced_and_depend_on_the_set_of_images_only():
    images = [40, 2, 17, 5, 90, 33, 8]
    folds = assign_folds(images, 3, 0)

    assert sorted(np.bincount(list(folds.values()))) == [2, 2, 3]
    assert assign_folds(sorted(images) * 2, 3, 0) == folds
    assert assign_folds(images, 3, 1) != folds


def in_pairs(scores):
    """Images 0 and 1 show one thing, 2 and 3 another, and so on; the last one is alone."""
    return scores.assign(group="tile " + (scores["index"] // 2).astype(str))


def test_images_of_one_group_share_a_fold():
    index, group = np.arange(11), np.array(["a", "b", "c"] * 3 + ["d", "e"])
    for seed in range(10):
        folds = pd.Series(image_folds(index, group, FOLDS, seed))
        assert folds.groupby(group).nunique().max() == 1
        assert sorted(folds.groupby(group).first().value_counts()) == [1, 2, 2]
    assert list(image_folds(index, None, FOLDS, SEED)) == [
        assign_folds(index, FOLDS, SEED)[image] for image in range(11)
    ]


@pytest.mark.parametrize("group", range(6))
def test_no_image_chooses_the_lambda_of_another_of_its_group(group):
    """Whatever images of a group score, they are shown at the same lambda: none saw any of them."""
    scores = in_pairs(random_scores())
    own = scores["group"] == f"tile {group}"

    def shown(scores):
        kept = held_out(scores, select_lambda(scores, FOLDS, SEED), FOLDS, SEED)
        return kept.loc[kept["index"] // 2 == group, ["index", "metric", "region", "lam"]]

    for lam in LAMS:
        temptation = scores.copy()
        temptation.loc[own & (scores["lam"] == lam), "value"] = 1000.0
        pd.testing.assert_frame_equal(
            shown(temptation).sort_values(["index", "metric", "region"], ignore_index=True),
            shown(scores).sort_values(["index", "metric", "region"], ignore_index=True),
        )


def test_folds_cannot_be_more_than_groups():
    with pytest.raises(InputError, match="folds: 7 .* 2 to 6 groups of images"):
        select_lambda(in_pairs(random_scores()), 7, SEED)


@pytest.mark.parametrize("folds", [0, 1, 8])
def test_a_number_of_folds_that_cannot_be_is_refused(folds):
    with pytest.raises(InputError, match=f"folds: {folds} .* 2 to 7"):
        assign_folds(range(7), folds, 0)


@pytest.mark.parametrize(("by", "columns"), [(None, 3), ("rmse", 4)])
def test_held_out_values_are_one_per_image_at_the_lambda_of_its_fold(by, columns):
    scores = random_scores()
    selection = select_lambda(scores, FOLDS, SEED)
    kept = held_out(scores, selection, FOLDS, SEED, by)
    fold_of = assign_folds(range(11), FOLDS, SEED)
    lam_of = selection.set_index(["metric", "fold"])["lam"]

    assert len(kept) == 11 * columns  # seconds choose nothing for themselves
    assert not kept.duplicated(["index", "metric", "region"]).any()
    for row in kept.to_dict("records"):
        assert row["lam"] == lam_of[by or row["metric"], str(fold_of[row["index"]])]


def test_a_selection_of_other_scores_is_refused():
    selection = select_lambda(random_scores(lams=["0.3"]), FOLDS, SEED)
    with pytest.raises(InputError, match="does not fit"):
        held_out(random_scores(), selection, FOLDS, SEED)


def test_a_method_without_lambda_goes_the_same_way(tmp_path):
    selection = select_lambda(random_scores(lams=["none"]), FOLDS, SEED)
    write_selection(tmp_path / "selection.csv", selection)

    read = read_selection(tmp_path / "selection.csv")
    assert list(read.columns) == ["metric", "fold", "lam", "value"]
    assert chosen_lambda(read, "psnr") == "none"
    assert read["fold"].tolist() == ["0", "1", "2", "all"] * 2


def scores_of(*metrics):
    return pd.concat(
        [
            random_scores(number).query("metric == 'psnr'").assign(metric=name)
            for number, name in enumerate(metrics)
        ]
    )


@pytest.mark.parametrize(
    ("metrics", "first"),
    [
        (["dice", "ssim", "psnr"], "psnr"),
        (["rmse", "ssim"], "ssim"),
        (["auroc", "dice"], "dice"),
        (["auroc"], "auroc"),
    ],
)
def test_one_metric_stands_for_the_method_whatever_was_scored_first(metrics, first):
    selection = select_lambda(scores_of(*metrics), FOLDS, SEED)
    assert reference_lambda(selection) == chosen_lambda(selection, first)


def test_where_no_metric_applies_the_first_lambda_stands(tmp_path):
    scores = scores_of("seconds")
    write_selection(tmp_path / "selection.csv", select_lambda(scores, FOLDS, SEED))
    selection = read_selection(tmp_path / "selection.csv")

    assert reference_lambda(selection) == LAMS[0]
    assert held_out(scores, selection, FOLDS, SEED).empty


def test_images_without_a_value_do_not_count_and_a_metric_without_any_is_no_error():
    scores = random_scores(lams=["0.1", "0.2"])
    scores.loc[scores["metric"] == "rmse", "value"] = np.nan
    first = (scores["metric"] == "psnr") & (scores["index"] == 0) & (scores["lam"] == "0.2")
    scores.loc[first, "value"] = np.nan
    scores.loc[(scores["metric"] == "psnr") & (scores["lam"] == "0.2"), "value"] += 10
    selection = select_lambda(scores, FOLDS, SEED)

    assert chosen_lambda(selection, "psnr") == "0.2"
    assert chosen_lambda(selection, "rmse") == "0.1"
    assert selection.loc[selection["metric"] == "rmse", "value"].isna().all()


def test_the_bootstrap_interval_covers_the_mean_of_a_normal_sample():
    covered = 0
    for seed in range(200):
        sample = np.random.default_rng(seed).normal(5, 2, 60)
        summary = summarise(sample, np.mean, seed)
        assert summary.value == pytest.approx(sample.mean())
        covered += summary.low <= 5 <= summary.high

    assert 0.90 <= covered / 200 <= 0.98


def test_the_interval_is_the_same_for_the_same_seed_only():
    sample = np.random.default_rng(0).normal(size=30)

    assert summarise(sample, np.median, 1) == summarise(sample, np.median, 1)
    assert summarise(sample, np.mean, 1) != summarise(sample, np.mean, 2)


def test_a_summary_counts_the_images_that_have_a_value():
    few = summarise([np.nan, 3.0], np.mean, 0)
    none = summarise([np.nan], np.mean, 0)

    assert (few.value, few.images) == (3.0, 1)
    assert np.isnan([few.low, few.high, none.value, none.low]).all()
    assert none.images == 0


def test_rmse_over_images_is_the_root_of_the_mean_square():
    summary = summarise([1.0, 7.0], root_mean_square, 0)

    assert summary.value == pytest.approx(5.0)
    assert (summary.low, summary.high) == (1.0, 7.0)

"""Scores of restoration files: what is measured where, and what is refused."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rgi.errors import InputError
from rgi.evaluation.metrics import PSNR_CEILING, dice, psnr, rmse
from rgi.evaluation.scoring import groups_of, read_scores, score_restorations, write_scores
from rgi.files import save_arrays

INDEX = np.array([3, 5, 8, 9, 20])


@pytest.fixture
def case(tmp_path):
    """A case of five 8 x 8 images."""
    rng = np.random.default_rng(0)
    arrays = {
        "clean": rng.uniform(-1, 1, (5, 1, 8, 8)).astype(np.float32),
        "corrupted": rng.uniform(-1, 1, (5, 1, 8, 8)).astype(np.float32),
        "mask": rng.random((5, 8, 8)) < 0.3,
        "index": INDEX,
    }
    save_arrays(tmp_path / "case.npz", arrays)
    return arrays


def restoration(rng, rows):
    return {
        "restored": rng.uniform(-1, 1, (len(rows), 1, 8, 8)).astype(np.float32),
        "score": rng.random((len(rows), 8, 8)).astype(np.float32),
        "index": INDEX[rows],
        "seconds": rng.random(len(rows)),
    }


@pytest.fixture
def shards(case, tmp_path):
    """Two lambdas in two shards each, the second with the images in another order."""
    rng = np.random.default_rng(1)
    saved = {}
    for lam in ("0.1", "0.20"):
        for number, rows in enumerate(([4, 0], [2, 1, 3])):
            saved[lam, number] = restoration(rng, rows)
            save_arrays(tmp_path / "method" / lam / f"{number}.npz", saved[lam, number])
    return saved


def score(tmp_path, **changes):
    arguments = {
        "lams": ["0.1", "0.20"],
        "shards": 2,
        "metrics": ["psnr", "rmse", "dice", "auroc"],
        "mask": "found",
    } | changes
    return score_restorations(tmp_path / "case.npz", tmp_path / "method", **arguments)


def value(scores, index, lam, metric, region):
    row = scores.query(
        "index == @index and lam == @lam and metric == @metric and region == @region",
        engine="python",
    )
    assert len(row) == 1
    return row["value"].item()


@pytest.fixture
def columns_of(case, shards):
    """Truth and restoration of one image, each as a batch of one."""

    def pick(index, lam, number):
        row = int(np.flatnonzero(index == INDEX)[0])
        shard = shards[lam, number]
        place = int(np.flatnonzero(shard["index"] == index)[0])
        return (
            {name: array[row : row + 1] for name, array in case.items()},
            {name: array[place : place + 1] for name, array in shard.items()},
        )

    return pick


def test_each_value_is_that_of_the_image_it_names(tmp_path, columns_of):
    scores = score(tmp_path)

    for index, lam, number in [(20, "0.1", 0), (5, "0.20", 1), (9, "0.1", 1)]:
        truth, made = columns_of(index, lam, number)
        found = made["score"] > 0.5
        composite = np.where(found[:, None], made["restored"], truth["corrupted"])
        expected = {
            ("psnr", "whole"): psnr(made["restored"], truth["clean"]),
            ("psnr", "hole"): psnr(made["restored"], truth["clean"], truth["mask"]),
            ("psnr", "composite"): psnr(composite, truth["clean"]),
            ("rmse", "whole"): rmse(made["restored"], truth["clean"]),
            ("dice", "whole"): dice(found, truth["mask"]),
            ("seconds", "whole"): made["seconds"],
        }
        for (metric, region), numbers in expected.items():
            assert value(scores, index, lam, metric, region) == pytest.approx(float(numbers[0]))


def test_the_file_is_tidy_and_keeps_lambda_as_it_was_written(tmp_path, shards):
    write_scores(tmp_path / "scores.csv", score(tmp_path))

    table = pd.read_csv(tmp_path / "scores.csv", dtype=str)
    assert list(table.columns) == ["index", "lam", "metric", "region", "value"]
    assert set(table["lam"]) == {"0.1", "0.20"}
    assert len(table) == 2 * 5 * (2 * 3 + 1 + 1 + 1)
    assert not table.duplicated(["index", "lam", "metric", "region"]).any()


@pytest.mark.parametrize(
    ("mask", "metrics", "regions"),
    [
        ("none", {"psnr", "rmse", "auroc", "seconds"}, {"whole", "hole"}),
        ("found", {"psnr", "rmse", "auroc", "dice", "seconds"}, {"whole", "hole", "composite"}),
        ("given", {"psnr", "rmse", "seconds"}, {"whole", "hole", "composite"}),
    ],
)
def test_only_what_a_method_finds_itself_is_compared_with_the_mask(
    tmp_path, shards, mask, metrics, regions
):
    scores = score(tmp_path, mask=mask)

    assert set(scores["metric"]) == metrics
    assert set(scores["region"]) == regions


def test_without_a_truth_only_the_map_is_scored(tmp_path, case, shards):
    expected = score(tmp_path, metrics=["dice", "auroc"])
    unknown = case | {"clean": np.full_like(case["clean"], np.nan)}
    save_arrays(tmp_path / "case.npz", unknown)

    pd.testing.assert_frame_equal(score(tmp_path), expected)


def test_generator_passes_are_kept_where_a_method_counts_them(tmp_path, shards):
    for (lam, number), arrays in shards.items():
        passes = np.full(len(arrays["index"]), 300)
        save_arrays(tmp_path / "method" / lam / f"{number}.npz", {**arrays, "passes": passes})

    assert value(score(tmp_path), 8, "0.1", "passes", "whole") == 300


def test_more_shards_than_images_leave_empty_files(tmp_path, shards):
    empty = restoration(np.random.default_rng(0), [])
    for lam in ("0.1", "0.20"):
        save_arrays(tmp_path / "method" / lam / "2.npz", empty)

    pd.testing.assert_frame_equal(score(tmp_path, shards=3), score(tmp_path))


def test_a_perfect_restoration_counts_as_the_ceiling_and_is_not_dropped(tmp_path, case, shards):
    for lam in ("0.1", "0.20"):
        for number, rows in enumerate(([4, 0], [2, 1, 3])):
            perfect = shards[lam, number] | {"restored": case["clean"][rows]}
            save_arrays(tmp_path / "method" / lam / f"{number}.npz", perfect)
    scores = score(tmp_path)
    write_scores(tmp_path / "scores.csv", scores)

    assert value(scores, 8, "0.1", "psnr", "whole") == np.inf
    read = read_scores(tmp_path / "scores.csv")
    assert value(read, 8, "0.1", "psnr", "whole") == pytest.approx(PSNR_CEILING)
    assert round(PSNR_CEILING, 1) == 58.9
    assert len(read) == len(scores)


def test_values_survive_the_file(tmp_path, shards):
    scores = score(tmp_path)
    write_scores(tmp_path / "scores.csv", scores)

    pd.testing.assert_frame_equal(
        read_scores(tmp_path / "scores.csv"), scores, check_dtype=False, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"restored": np.zeros((2, 1, 8, 9), np.float32)}, "restored"),
        ({"score": np.zeros((2, 1, 8, 8), np.float32)}, "score"),
        ({"seconds": np.zeros(3)}, "seconds"),
        ({"index": np.array([20, 4])}, "index 4"),
        ({"index": np.array([20, 20])}, "once"),
        ({"restored": np.full((2, 1, 8, 8), np.nan, np.float32)}, "not finite"),
    ],
)
def test_a_file_that_does_not_fit_the_case_is_named(tmp_path, shards, change, named):
    save_arrays(tmp_path / "method" / "0.1" / "0.npz", shards["0.1", 0] | change)
    with pytest.raises(InputError, match=named) as error:
        score(tmp_path)
    assert str(tmp_path / "method" / "0.1") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_shard_is_named(tmp_path, shards):
    with pytest.raises(InputError, match=r"2\.npz: no such file"):
        score(tmp_path, shards=3)


def test_an_unknown_metric_is_refused_with_those_that_exist(tmp_path, shards):
    with pytest.raises(InputError, match="'fid' is unknown; allowed: psnr, ssim"):
        score(tmp_path, metrics=["fid"])


def test_a_score_table_without_a_column_is_named(tmp_path):
    (tmp_path / "scores.csv").write_text("index,lam,metric,value\n")
    with pytest.raises(InputError, match=r"scores\.csv: no column 'region'"):
        read_scores(tmp_path / "scores.csv")


def test_scoring_and_selection_run_as_commands(tmp_path, shards):
    scores, selection = tmp_path / "scores.csv", tmp_path / "selection.csv"
    score_it = ["score_restorations.py", f"--case={tmp_path}/case.npz", "--shards=2"]
    score_it += [f"--restorations={tmp_path}/method", "--lam=0.1", "--lam=0.20"]
    score_it += ["--metrics=psnr", "--metrics=dice", "--mask=found", f"--output={scores}"]
    select_it = ["select_lambda.py", f"--scores={scores}", "--folds=2", "--seed=0"]
    select_it += [f"--output={selection}"]
    for script, *arguments in (score_it, select_it):
        command = [sys.executable, "-X", "importtime", f"workflow/scripts/{script}", *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert not re.search(r"\| +torch$", done.stderr, re.M)  # seconds per job for nothing

    chosen = pd.read_csv(selection, dtype=str)
    assert list(chosen.columns) == ["metric", "fold", "lam", "value"]
    assert chosen["metric"].unique().tolist() == ["psnr", "dice"]
    assert set(chosen["lam"]) <= {"0.1", "0.20"}


def test_the_groups_of_a_case_come_along(tmp_path, case, shards):
    plain = score(tmp_path)
    group = np.array(["tile 1", "tile 1", "tile 2", "tile 3", "tile 2"])
    save_arrays(tmp_path / "case.npz", case | {"group": group})
    write_scores(tmp_path / "scores.csv", score(tmp_path))
    scores = read_scores(tmp_path / "scores.csv")

    expected = scores["index"].map(dict(zip(INDEX.tolist(), group.tolist(), strict=True)))
    assert scores["group"].tolist() == expected.tolist()
    assert list(groups_of(scores)) == expected.tolist()
    assert groups_of(plain) is None


def without_images(tmp_path, shards, keep=()):
    """The shards of a detector: nothing is restored, but in the first pixels of `keep`."""
    for (lam, number), arrays in shards.items():
        nothing = np.full_like(arrays["restored"], np.nan)
        if (lam, number) in keep:
            nothing[0, 0, 0] = 0
        path = tmp_path / "method" / lam / f"{number}.npz"
        save_arrays(path, arrays | {"restored": nothing})


def test_of_a_detector_that_restores_nothing_only_the_map_is_scored(tmp_path, shards):
    expected = score(tmp_path, metrics=["auroc"], mask="none")
    without_images(tmp_path, shards)

    found = score(tmp_path, metrics=["psnr", "rmse", "auroc"], mask="none", restores=False)
    pd.testing.assert_frame_equal(found, expected)


def test_a_method_that_restores_must_not_hide_behind_nan(tmp_path, shards):
    without_images(tmp_path, shards)
    with pytest.raises(InputError, match=r"0\.1/0\.npz: restored .* diverged"):
        score(tmp_path)
    without_images(tmp_path, shards, keep=[("0.20", 1)])
    with pytest.raises(InputError, match=r"0\.20/1\.npz: restored .* diverged"):
        score(tmp_path, restores=False)

"""Tables hold held-out values with intervals, in fixed columns, and print as people read them."""

import itertools
import json
import runpy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rgi.corruption import Case
from rgi.errors import InputError
from rgi.evaluation.detection import Maps, detect, read_summary, write_detection
from rgi.evaluation.scoring import read_scores, write_scores
from rgi.evaluation.selection import assign_folds, at_edge, select_lambda, write_selection
from rgi.reporting import published
from rgi.reporting.layout import (
    Block,
    Cell,
    anomaly_blocks,
    cost_blocks,
    inpainting_blocks,
    lambda_sensitivity_blocks,
    simulation_blocks,
    solver_blocks,
    write_markdown,
    write_tex,
)
from rgi.reporting.published import is_as_published, published_lambda, published_value
from rgi.reporting.tables import (
    MAKERS,
    Request,
    Scored,
    anomaly_table,
    cost_table,
    inpainting_table,
    lambda_sensitivity_table,
    simulation_table,
    solver_table,
)

COLUMNS = ["dataset", "case", "method", "metric", "region", "statistic"]
COLUMNS += ["value", "low", "high", "images", "lam", "published"]
FOLDS, SEED, IMAGES = 3, 0, 12
LAMS = {"l2": ["none"], "rgi": ["0.05", "0.1", "0.2"]}
LEVELS = [-1, 0.5]
SIMULATION = Request(["digits"], [f"simulation_{x}" for x in LEVELS], ["l2", "rgi"])
LINES = [("robust", ["rgi"]), ("plain", ["l2"])]
SOLVER = Request(["digits"], ["block", "simulation_0.5"], ["rgi", "l2"], lines=LINES, lam="0.1")
PAPER = {
    "corruption": "block",
    "size": 32,
    "position": "centre",
    "fill": {"kind": "noise", "mean": -1, "sd": 1},
}
FACES = {"source": "celeba", "resolution": 128, "channels": 3, "test": 100}
FACES |= {"held_out": 2000, "images": None, "crop": "centre", "archive": None}


def method_scores(rng, lams, has_mask):
    keys = [("psnr", "whole"), ("psnr", "hole"), ("ssim", "whole"), ("rmse", "whole")]
    keys += [("auroc", "whole"), ("seconds", "whole"), ("objective", "whole")]
    keys += [("dice", "whole"), ("psnr", "composite"), ("passes", "whole")] if has_mask else []
    rows = [
        (index, lam, metric, region, 20 * rng.random())
        for lam, (metric, region), index in itertools.product(lams, keys, range(IMAGES))
    ]
    return pd.DataFrame(rows, columns=["index", "lam", "metric", "region", "value"])


def detection():
    """Two kinds of defect in six of twelve images, and a random map."""
    rng, mask = np.random.default_rng(1), np.zeros((IMAGES, 6, 6), bool)
    mask[:6, 1:3, 1:4] = True
    images = np.zeros((IMAGES, 1, 6, 6), np.float32)
    kind = np.array(["crack", "dent"] * 3 + ["good"] * 6)
    maps = Maps({"0.1": rng.random(mask.shape) + mask / 2}, {"0.1": np.full(IMAGES, 20.0)})
    return detect(Case(images, images, mask, np.arange(IMAGES), kind), maps, FOLDS, SEED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random scores of two methods on two data sets, and their selections."""
    folder, rng = tmp_path_factory.mktemp("results"), np.random.default_rng(0)
    places = [("digits", "block"), ("celeba", "block")]
    places += [("digits", f"simulation_{level}") for level in LEVELS]
    for (dataset, case), (method, lams) in itertools.product(places, LAMS.items()):
        write_detection(folder / "detection" / dataset / case / method, detection())
        scores = method_scores(rng, lams, has_mask=method == "rgi")
        name = f"{dataset}/{case}/{method}.csv"
        write_scores(folder / "scores" / name, scores)
        write_selection(folder / "selection" / name, select_lambda(scores, FOLDS, SEED))
    return folder


@pytest.fixture(scope="module")
def scored(folder):
    return Scored(folder / "scores", folder / "selection", folder / "detection", FOLDS, SEED)


@pytest.fixture(scope="module")
def request_():
    return Request(["digits", "celeba"], ["block"], ["l2", "rgi"], ["celeba/block"])


def row_of(table, **keys):
    for column, value in keys.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_every_table_has_the_columns_that_others_rely_on(scored, request_):
    level = [*COLUMNS[:2], "level", *COLUMNS[2:]]
    simulation = simulation_table(scored, SIMULATION)

    assert list(inpainting_table(scored, request_).columns) == COLUMNS
    assert list(cost_table(scored, request_).columns) == COLUMNS
    assert list(simulation.columns) == level
    assert list(lambda_sensitivity_table(scored, request_).columns) == [*COLUMNS, "chosen"]
    assert list(anomaly_table(scored, request_).columns) == [
        *COLUMNS[:2],
        "kind",
        *COLUMNS[2:],
        "edge",
    ]
    assert list(solver_table(scored, SOLVER).columns) == [*COLUMNS[:2], "line", *COLUMNS[2:]]


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_each_image_counts_at_the_lambda_of_the_other_folds(folder, scored, request_, statistic):
    row = row_of(
        inpainting_table(scored, request_),
        dataset="digits",
        method="rgi",
        metric="psnr",
        region="hole",
        statistic=statistic,
    )
    selection = pd.read_csv(folder / "selection/digits/block/rgi.csv", dtype=str)
    scores = pd.read_csv(folder / "scores/digits/block/rgi.csv", dtype={"lam": str})
    scores = scores.set_index(["index", "lam", "metric", "region"])["value"]
    lam_of = selection.set_index(["metric", "fold"])["lam"]
    values = [
        scores[image, lam_of["psnr", str(fold)], "psnr", "hole"]
        for image, fold in assign_folds(range(IMAGES), FOLDS, SEED).items()
    ]

    assert row["value"] == pytest.approx(getattr(np, statistic)(values))
    assert row["low"] < row["value"] < row["high"]
    assert row["images"] == IMAGES
    assert row["lam"] == lam_of["psnr", "all"]


def test_the_papers_numbers_stand_beside_ours_where_it_has_them(scored, request_):
    table = inpainting_table(scored, request_)
    known = table[table["published"].notna()]

    assert known[["dataset", "method", "metric", "published"]].to_numpy().tolist() == [
        ["celeba", "rgi", "psnr", 19.70],
        ["celeba", "rgi", "ssim", 0.451],
    ]
    assert published_value("lsun-bedroom", "random", "r-rgi", "psnr") == 22.29
    assert published_value("cars", "block", "pan-with-mask", "ssim") == 0.636
    assert published_value("cars", "block", "pan-with-mask", "lpips") is None
    assert published_lambda("celeba", "random", "r-rgi", "ssim") == 0.25
    assert published_lambda("digits", "random", "r-rgi", "ssim") is None


def test_they_stand_only_where_everything_is_as_in_the_paper(scored, request_):
    assert is_as_published("celeba", FACES, "block", PAPER)
    assert not is_as_published("celeba", FACES, "block", PAPER | {"size": 16})
    assert not is_as_published("digits", FACES, "block", PAPER)

    other = Request(request_.datasets, request_.cases, request_.methods)
    assert inpainting_table(scored, other)["published"].isna().all()


def test_the_simulation_has_the_root_of_the_mean_square_of_rmse_too(folder, scored):
    table = simulation_table(scored, SIMULATION)
    values = pd.read_csv(folder / "scores/digits/simulation_0.5/l2.csv").query("metric == 'rmse'")
    rows = table[(table["level"] == "0.5") & (table["method"] == "l2")]
    value_of = rows[rows["metric"] == "rmse"].set_index("statistic")["value"]

    assert set(rows["case"]) == {"simulation_0.5"}
    assert value_of["rms"] == pytest.approx(np.sqrt((values["value"] ** 2).mean()))
    assert value_of["mean"] == pytest.approx(values["value"].mean())
    assert set(table.loc[table["metric"] != "rmse", "statistic"]) == {"mean", "median"}
    assert table["level"].unique().tolist() == ["-1", "0.5"]


def test_cost_is_that_of_one_restoration_at_the_chosen_lambda(folder, scored, request_):
    table = cost_table(scored, request_)
    row = row_of(table, dataset="celeba", method="rgi", metric="passes", statistic="mean")
    scores = pd.read_csv(folder / "scores/celeba/block/rgi.csv", dtype={"lam": str})
    own = scores[(scores["metric"] == "passes") & (scores["lam"] == row["lam"])]

    assert row["value"] == pytest.approx(own["value"].mean())
    assert set(table["metric"]) == {"seconds", "passes"}
    assert set(table.loc[table["method"] == "l2", "metric"]) == {"seconds"}


def test_sensitivity_shows_every_lambda_and_marks_the_chosen_one(scored, request_):
    table = lambda_sensitivity_table(scored, request_)
    one = table[
        (table["dataset"] == "digits")
        & (table["method"] == "rgi")
        & (table["metric"] == "psnr")
        & (table["statistic"] == "mean")
    ]

    assert one["lam"].tolist() == LAMS["rgi"]
    assert one.loc[one["chosen"] == "yes", "value"].item() == one["value"].max()


@pytest.mark.parametrize("case", SOLVER.cases)
@pytest.mark.parametrize(
    ("metric", "chooser"),
    [
        ("psnr", "psnr"),
        ("rmse", "rmse"),
        ("dice", "dice"),
        ("passes", "psnr"),
        ("seconds", "psnr"),
        ("objective", None),
    ],
)
def test_a_solvers_quality_and_cost_are_held_out_and_its_objective_is_at_the_common_lambda(
    folder, scored, case, metric, chooser
):
    keys = {"case": case, "line": "robust", "region": "whole", "statistic": "mean"}
    row = row_of(solver_table(scored, SOLVER), metric=metric, **keys)
    scores = pd.read_csv(folder / f"scores/digits/{case}/rgi.csv", dtype={"lam": str})
    scores = scores[scores["metric"] == metric].query("region == 'whole'")
    value_of = scores.set_index(["index", "lam"])["value"]
    selection = pd.read_csv(folder / f"selection/digits/{case}/rgi.csv", dtype=str)
    lam_of = selection.set_index(["metric", "fold"])["lam"]
    fold_of = assign_folds(range(IMAGES), FOLDS, SEED)
    values = [
        value_of[image, lam_of[chooser, str(fold)] if chooser else "0.1"]
        for image, fold in fold_of.items()
    ]

    assert row["method"] == "rgi"
    assert row["value"] == pytest.approx(np.mean(values))
    assert row["low"] < row["value"] < row["high"]
    assert row["images"] == IMAGES
    assert row["lam"] == (lam_of[chooser, "all"] if chooser else "0.1")


def test_the_anomaly_table_holds_what_was_detected_in_every_case(folder, scored, request_):
    table = anomaly_table(scored, request_)
    own = read_summary(folder / "detection/celeba/block/rgi")
    rows = table[(table["dataset"] == "celeba") & (table["method"] == "rgi")]

    pd.testing.assert_frame_equal(rows[own.columns].reset_index(drop=True), own)
    assert len(table) == 4 * len(own)
    assert table["published"].isna().all()


def test_the_pooled_auroc_of_a_projection_stands_beside_the_paper_s(scored, request_, monkeypatch):
    monkeypatch.setitem(published._PROJECTED, "celeba", (0.5,) * 8)
    monkeypatch.setattr(published, "PROJECTIONS", ("rgi", *published.PROJECTIONS[1:]))
    table = anomaly_table(scored, request_)
    known = table[table["published"].notna()]
    columns = ["dataset", "case", "method", "kind", "metric", "statistic", "published"]
    expected = ["celeba", "block", "rgi", "all", "auroc", "pooled", 0.5]
    assert known[columns].to_numpy().tolist() == [expected]


def test_the_paper_s_gain_of_projections_is_the_one_that_it_states():
    """Its table's mean improvement over the autoencoders is 9.52%, one by one."""
    gains = [
        after / before - 1
        for row in published._PROJECTED.values()
        for before, after in zip(row[::2], row[1::2], strict=True)
    ]
    assert len(gains) == 15 * 4
    assert 100 * np.mean(gains) == pytest.approx(9.52, abs=0.05)


NUTS = {
    "source": "mvtec-ad",
    "category": "metal_nut",
    "part": "defects",
    "crop": "whole",
    "resolution": 128,
    "test": 93,
    "normal": 22,
}


def test_a_whole_category_of_mvtec_ad_is_the_paper_s():
    given = {"corruption": "given"}
    assert published.projected_auroc("metal-nut", "vae-grad") == 0.907
    assert published.projected_auroc("metal-nut", "rgi") is None
    assert published.projected_auroc("brick", "vae-grad") is None
    assert published.is_projected_as_published("metal-nut", NUTS, given)
    for change in (
        {"test": 92},
        {"normal": 0},
        {"part": "clean"},
        {"resolution": 64},
        {"train": 9},
    ):
        assert not published.is_projected_as_published("metal-nut", NUTS | change, given)
    assert not published.is_projected_as_published("nuts", NUTS, given)
    assert not published.is_projected_as_published("metal-nut", NUTS, {"corruption": "crack"})
    assert not published.is_projected_as_published("brick", {"source": "brick"}, given)


def test_table_2_has_dice_first_and_a_row_per_kind(scored, request_):
    table = anomaly_table(scored, request_)
    blocks = anomaly_blocks(table)

    assert [block.title.split()[0] for block in blocks[:2]] == ["Dice", "Dice"]
    assert "oracle" in blocks[1].title
    assert len(blocks) == 8
    assert list(blocks[0].labels) == ["data set", "case", "kind"]
    assert blocks[0].methods == ["l2", "rgi"]
    assert [keys for keys, _ in blocks[0].rows] == [
        (dataset, "block", kind)
        for dataset in ("digits", "celeba")
        for kind in ("all", "crack", "dent")
    ]
    assert list(anomaly_blocks(table[table["kind"] == "all"])[0].labels) == ["data set", "case"]


def test_a_solver_without_lambda_has_no_objective_to_compare(scored):
    table = solver_table(scored, SOLVER)
    plain = table[table["line"] == "plain"]

    assert set(plain["metric"]) == {"psnr", "rmse", "seconds"}
    assert set(plain["lam"]) == {"none"}


def test_missing_scores_are_named(scored):
    with pytest.raises(InputError, match=r"digits/block/dgp\.csv: no such file"):
        inpainting_table(scored, Request(["digits"], ["block"], ["dgp"]))


def test_methods_stand_side_by_side_with_intervals_and_the_paper(scored, request_):
    blocks = inpainting_blocks(inpainting_table(scored, request_))
    whole = blocks[0]

    assert [block.title.split()[0] for block in blocks] == [
        "Whole",
        "Hole:",
        "Composite:",
        "Corrupted",
        "Lambda",
    ]
    assert whole.methods == ["l2", "rgi"]
    assert [labels for labels, _ in whole.rows] == [
        ["digits", "block", "PSNR (dB) ↑"],
        ["digits", "block", "SSIM ↑"],
        ["celeba", "block", "PSNR (dB) ↑"],
        ["celeba", "block", "SSIM ↑"],
    ]
    assert whole.rows[2][1][1].paper == "19.70"
    assert whole.rows[0][1][1].interval.startswith("[")
    assert blocks[3].rows[0][1][0] == Cell("–")  # l2 finds no mask
    assert [labels[1:] for labels, _ in blocks[4].rows] == [
        ("block", "PSNR (dB)"),
        ("block", "SSIM"),
    ] * 2
    assert blocks[4].rows[2][1][0].paper == "0.07"


@pytest.mark.parametrize(
    ("make", "request_of"),
    [
        (inpainting_table, Request(["digits"], ["block"], ["rgi"])),
        (cost_table, Request(["digits"], ["block"], ["rgi"])),
        (lambda_sensitivity_table, Request(["digits"], ["block"], ["rgi"])),
        (solver_table, Request(["digits"], ["block"], [], lines=LINES[:1], lam="0.1")),
    ],
)
def test_two_shots_of_each_thing_tell_no_more_than_one(tmp_path, make, request_of):
    """Folds and intervals are those of the things; as independent images they would be others."""
    once = method_scores(np.random.default_rng(3), LAMS["rgi"], has_mask=True)
    once = once.assign(group=once["index"].map("{:02}".format))
    twice = pd.concat([once.assign(index=2 * once["index"] + shot) for shot in (0, 1)])

    def table(name, scores):
        scored = Scored(tmp_path / name, tmp_path / f"{name}-selection", tmp_path, FOLDS, SEED)
        write_scores(scored.scores / "digits/block/rgi.csv", scores)
        selection = select_lambda(scores, FOLDS, SEED)
        write_selection(scored.selection / "digits/block/rgi.csv", selection)
        return make(scored, request_of).drop(columns="images")

    one = table("once", once)
    pd.testing.assert_frame_equal(table("twice", twice), one)
    independent = table("independent", twice.drop(columns="group"))
    assert not independent[["low", "high"]].equals(one[["low", "high"]])


def test_the_other_layouts_have_a_row_per_case_and_mark_the_chosen_lambda(scored, request_):
    simulation = simulation_table(scored, SIMULATION)
    sensitivity = lambda_sensitivity_blocks(lambda_sensitivity_table(scored, request_))

    assert [row[0] for row in simulation_blocks(simulation)[0].rows] == [
        ["digits", "-1", "RMSE ↓"],
        ["digits", "0.5", "RMSE ↓"],
    ]
    assert len(cost_blocks(cost_table(scored, request_))[0].rows) == 4
    assert sensitivity[0].methods == ["λ = 0.05", "λ = 0.1", "λ = 0.2"]
    assert all(sum("*" in c.value for c in cells) == 1 for _, cells in sensitivity[0].rows)


def test_solvers_have_a_block_per_case_and_a_row_per_line_and_method(scored):
    blocks = solver_blocks(solver_table(scored, SOLVER))

    assert [block.title for block in blocks] == ["digits, block", "digits, simulation_0.5"]
    assert blocks[0].methods == [
        "PSNR (dB) ↑",
        "RMSE ↓",
        "Dice ↑",
        "objective at λ = 0.1 ↓",
        "passes ↓",
        "seconds ↓",
    ]
    assert [tuple(labels) for labels, _ in blocks[0].rows] == [("robust", "rgi"), ("plain", "l2")]
    assert [cell == Cell("–") for cell in blocks[0].rows[1][1]] == [
        False,
        False,
        *[True] * 3,
        False,
    ]


def test_a_choice_at_the_edge_of_its_grid_is_named_below_the_table(scored, request_):
    table = lambda_sensitivity_table(scored, request_)
    for best, note in (
        ("0.1", ""),
        ("0.2", "Chosen at the edge of the grid: rgi (digits block, celeba block)."),
    ):
        chosen = table.assign(chosen=np.where(table["lam"] == best, "yes", "no"))
        assert {block.note for block in lambda_sensitivity_blocks(chosen)} == {note}


def test_table_2_names_it_below_its_first_block(tmp_path, scored, request_):
    """The detection's lambda is 0.1, in the middle of rgi's grid and at the edge of another."""
    assert {block.note for block in anomaly_blocks(anomaly_table(scored, request_))} == {""}

    name, narrow = "celeba/block/rgi", replace(scored, scores=tmp_path)
    scores = read_scores(scored.scores / f"{name}.csv")
    write_scores(tmp_path / f"{name}.csv", scores[scores["lam"] != "0.2"])
    table = anomaly_table(narrow, Request(["celeba"], ["block"], ["rgi"]))
    first, *others = anomaly_blocks(table)
    assert set(table["edge"]) == {"yes"}
    assert first.note == "Chosen at the edge of the grid: rgi (celeba block)."
    assert {block.note for block in others} == {""}


@pytest.mark.parametrize(
    ("lam", "lams", "edge"),
    [
        ("0.5", ["1", "0.5", "10"], True),
        ("10", ["1", "0.5", "10"], True),
        ("1", ["1", "0.5", "10"], False),
        ("0.1", ["0.1"], False),
        ("none", ["none"], False),
    ],
)
def test_the_edge_of_a_grid_is_that_of_its_numbers(lam, lams, edge):
    assert at_edge(lam, lams) == edge


def test_print_escapes_what_would_break_it(tmp_path):
    rows = [(["50%"], [Cell("1", "[0, 2]"), Cell("2")])]
    block = Block("T", ["case"], ["a|b_c", "<i>&"], rows, "See a_b.")
    write_markdown(tmp_path / "t.md", "cost", [block])
    write_tex(tmp_path / "t.tex", "cost", [block])

    markdown = (tmp_path / "t.md").read_text().splitlines()
    assert "| case | a\\|b\\_c | \\<i\\>& |" in markdown
    assert "| 50% | 1 [0, 2] | 2 |" in markdown
    assert "See a\\_b." in markdown
    tex = (tmp_path / "t.tex").read_text()
    assert r"case & a\textbar{}b\_c & \textless{}i\textgreater{}\& \\" in tex
    assert r"50\% & 1 {\scriptsize {[}0, 2{]}} & 2 \\" in tex
    assert r"\par\smallskip See a\_b." in tex
    assert tex.count(r"\begin{table}") == tex.count(r"\end{table}") == 1


@pytest.mark.parametrize("name", list(MAKERS))
def test_the_script_writes_csv_markdown_and_latex(folder, tmp_path, name):
    case = "simulation_-1" if name == "simulation" else "block"
    table = {"datasets": ["digits"], "cases": [case], "methods": ["l2", "rgi"]}
    table |= {"lines": LINES, "lam": "0.1"} if name == "solver" else {}
    outputs = {f"output_{kind}": tmp_path / f"t.{kind}" for kind in ("csv", "md", "tex")}
    script = runpy.run_path("workflow/scripts/make_table.py")
    script["main"](
        name=name,
        scores=folder / "scores",
        selection=folder / "selection",
        detection=folder / "detection",
        table=[json.dumps(table), json.dumps(table | {"methods": ["rgi"]})],
        folds=FOLDS,
        seed=SEED,
        **outputs,
    )

    assert all(path.stat().st_size > 200 for path in outputs.values())
    assert not pd.read_csv(outputs["output_csv"]).duplicated().any()

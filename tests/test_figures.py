"""Figures show what they say, in one look, as PNG and PDF."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rgi.corruption import load_case, save_case
from rgi.errors import InputError
from rgi.evaluation.detection import detect, load_maps, write_detection
from rgi.evaluation.scoring import load_shard, score_restorations
from rgi.evaluation.selection import select_lambda, write_selection
from rgi.files import save_arrays
from rgi.reporting.curves import (
    lambda_sensitivity_figure,
    simulation_figure,
    solver_figure,
    solver_seconds_figure,
)
from rgi.reporting.detection_lines import (
    detection_curves_figure,
    dice_by_defect_figure,
    steps_figure,
    training_size_figure,
)
from rgi.reporting.detections import OUTLINE, ROWS, TRUTH, detection_strips, detections_figure
from rgi.reporting.restorations import TILE, restoration_strip, restorations_figure
from rgi.reporting.style import figure_style, looks, save_figure
from rgi.reporting.tables import Request, write_table

METHODS = ["l2", "rgi", "own-method", "$hostile_"]


@pytest.fixture
def saved(tmp_path):
    """Save a figure and look whether both files can be read."""

    def save(figure):
        png, pdf = tmp_path / "figure.png", tmp_path / "figure.pdf"
        save_figure(figure, png, pdf)
        assert pdf.read_bytes().startswith(b"%PDF")
        with Image.open(png) as image:
            assert image.format == "PNG"
            return png.read_bytes(), pdf.read_bytes(), image.size

    with figure_style():
        yield save


@pytest.fixture
def simulation():
    rows = [
        (method, level, "rmse", "whole", "rms", 0.2 + number, 0.1 + number, 0.3 + number)
        for number, method in enumerate(METHODS)
        for level in ("-1", "0", "0.5")
    ]
    columns = ["method", "level", "metric", "region", "statistic", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def sensitivity():
    rows = [
        (dataset, case, method, metric, "mean", lam, 20.0, 19.0, 21.0, "yes")
        for dataset in ("digits", "brick")
        for case in ("block", "random")
        for method, lams in (("l2", ["none"]), ("rgi", ["0.05", "0.1"]))
        for metric in ("psnr", "ssim", "rmse")
        for lam in lams
    ]
    columns = ["dataset", "case", "method", "metric", "statistic", "lam", "value", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "chosen"])


@pytest.fixture
def solver():
    """Two budgets of a solver, one of another that is given the mask."""
    told = {
        ("joint, Adam", "joint-250"): {"dice": 0.8, "objective": 1.5, "passes": 250, "seconds": 2},
        ("joint, Adam", "joint-500"): {"dice": 0.9, "objective": 1.2, "passes": 500, "seconds": 3},
        ("$known_ mask", "known-250"): {"passes": 250, "seconds": 1},
    }
    rows = [
        (dataset, case, line, method, metric, "whole", "mean", value, value - 0.1, value + 0.1, lam)
        for dataset in ("digits", "brick")
        for case in ("block", "simulation_0")
        for number, ((line, method), values) in enumerate(told.items())
        for metric, value in {"psnr": 20 + number, **values}.items()
        for lam in ["0.05" if metric == "objective" else "0.1"]
    ]
    columns = ["dataset", "case", "line", "method", "metric", "region", "statistic"]
    return pd.DataFrame(rows, columns=[*columns, "value", "low", "high", "lam"])


def test_the_simulation_has_a_line_per_method_through_its_values(simulation, saved):
    figure = simulation_figure(simulation)
    lines = figure.axes[0].containers

    assert [line.get_label() for line in lines] == METHODS
    assert [line[0].get_ydata().tolist() for line in lines] == [
        pytest.approx([0.2 + number] * 3) for number in range(4)
    ]
    saved(figure)


def test_sensitivity_has_a_panel_per_case_and_metric_and_a_tick_per_lambda(sensitivity, saved):
    figure = lambda_sensitivity_figure(sensitivity)

    assert len(figure.axes) == 2 * 2 * 2  # data sets, cases, PSNR and SSIM
    assert [tick.get_text() for tick in figure.axes[-1].get_xticklabels()] == ["0.05", "0.1"]
    assert figure.axes[0].get_xscale() == "log"
    saved(figure)


def test_sensitivity_shows_the_map_where_the_truth_is_unknown(sensitivity, saved):
    names = {"psnr": "dice", "ssim": "auroc"}
    given = sensitivity[(sensitivity["dataset"] == "brick") & (sensitivity["metric"] != "rmse")]
    given = given.assign(metric=given["metric"].map(names))
    figure = lambda_sensitivity_figure(given)

    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == [
        "brick\nDice",
        "brick\nAUROC",
    ]
    saved(figure)


def test_sensitivity_has_no_panel_for_what_a_data_set_was_not_asked(sensitivity, saved):
    """Brick alone has cracks; of magnetic tiles, which come corrupted, the truth is unknown."""
    crack = sensitivity[(sensitivity["dataset"] == "brick") & (sensitivity["case"] == "block")]
    tiles = crack[crack["metric"] == "psnr"]
    tiles = tiles.assign(dataset="tiles", case="given", metric="dice")
    table = pd.concat([sensitivity, crack.assign(case="crack"), tiles])
    figure = lambda_sensitivity_figure(table)
    figure.draw_without_rendering()

    assert [axes.get_title() for axes in figure.axes] == [
        *["block", "random"] * 2,  # digits
        *["block", "random", "crack"] * 2,  # brick
        "given",
    ]
    assert all(len(axes.lines) > 0 for axes in figure.axes)
    lowest = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_title() for axes in lowest] == ["random", "crack", "given"]
    saved(figure)


@pytest.mark.parametrize(
    "lams",
    [
        ["0.0025", "0.02", "0.05", "0.07", "0.1", "0.15", "0.2", "0.25", "0.3", "0.4", "0.5", "3"],
        ["0.05", "0.06", "0.0625"],
        ["0", "0.001", "0.01", "1"],
    ],
)
def test_labels_of_lambdas_do_not_overlap_and_every_lambda_has_its_tick(sensitivity, lams, saved):
    one = sensitivity[sensitivity["lam"] == "0.05"]
    figure = lambda_sensitivity_figure(pd.concat([one.assign(lam=lam) for lam in lams]))
    saved(figure)

    axes = figure.axes[-1]
    assert axes.get_xticks().tolist() == sorted(map(float, lams))
    boxes = [tick.get_window_extent() for tick in axes.get_xticklabels() if tick.get_text()]
    assert len(boxes) > 1
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


@pytest.mark.parametrize(
    ("draw", "joint", "known"),
    [(solver_figure, [250, 500], [250]), (solver_seconds_figure, [2, 3], [1])],
)
def test_solvers_have_a_line_through_their_budgets_in_every_panel(
    solver, saved, draw, joint, known
):
    figure = draw(solver)
    panels = np.reshape(figure.axes, (3, 4))  # metrics x data sets and cases

    for row, values in zip(panels, ([20, 21], [0.8, 0.9], [1.5, 1.2]), strict=True):
        for axes in row:
            line = axes.containers[0]
            assert line.get_label() == "joint, Adam"
            assert line[0].get_xdata().tolist() == joint
            assert line[0].get_ydata().tolist() == values
            assert line[0].get_marker() != "None"
            (bars,) = line[2]
            assert bars.get_segments()[0][:, 1] == pytest.approx([values[0] - 0.1, values[0] + 0.1])
            assert axes.get_xscale() == "log"
    assert [len(axes.containers) for axes in panels[:, 0]] == [2, 1, 1]
    assert panels[0, 0].containers[1][0].get_xdata().tolist() == known
    assert [axes.get_title() for axes in panels[0]][1] == "digits\nsimulation_0"
    assert [axes.get_ylabel() for axes in panels[:, 0]] == [
        "PSNR (dB)",
        "Dice",
        "objective\nat λ = 0.05",
    ]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["joint, Adam", "$known_ mask"]
    saved(figure)


def test_equal_figures_give_equal_files(simulation, saved):
    assert saved(simulation_figure(simulation)) == saved(simulation_figure(simulation))


def test_a_method_looks_the_same_wherever_it_appears():
    assert looks(["rgi", "l2"])["rgi"] == looks(["own", "rgi"])["rgi"]
    many = looks([f"method-{number}" for number in range(20)] + ["rgi", "l1"])
    assert len(set(many.values())) == len(many)


@pytest.fixture
def results(tmp_path):
    """Four 8 x 8 images in two shards; the method's images are all 0.25, its mask is the truth."""
    rng = np.random.default_rng(0)
    index = np.array([2, 5, 7, 9])
    clean = rng.uniform(-1, 1, (4, 1, 8, 8)).astype(np.float32)
    mask = rng.random((4, 8, 8)) < 0.3
    case = {"clean": clean, "corrupted": -clean, "mask": mask, "index": index}
    save_arrays(tmp_path / "cases/digits/block.npz", case)
    for method, lams in (("l2", ["none"]), ("rgi", ["0.1", "0.2"])):
        folder = tmp_path / "restorations/digits/block" / method
        for lam in lams:
            for shard, rows in enumerate(([3, 0], [1, 2])):
                arrays = {
                    "restored": np.full((2, 1, 8, 8), 0.25, np.float32),
                    "score": mask[rows].astype(np.float32),
                    "index": index[rows],
                    "seconds": np.ones(2),
                }
                save_arrays(folder / lam / f"{shard}.npz", arrays)
        scores = score_restorations(
            tmp_path / "cases/digits/block.npz", folder, lams, 2, ["psnr"], "found"
        )
        selection = select_lambda(scores, 2, 0)
        write_selection(tmp_path / f"selection/digits/block/{method}.csv", selection)
    return tmp_path


def test_a_strip_shows_the_first_images_in_order(results):
    strip = restoration_strip(results, "digits", "block", ["l2", "rgi"], ["rgi"], rows=3)
    titles = [column.title for column in strip.columns]
    pictures = {column.title: column.pictures for column in strip.columns}

    assert titles == ["input", "truth", "l2", "rgi\nλ = 0.1", "true\nmask", "rgi\nmask"]
    assert all(p.shape == (3, TILE, TILE, 3) for p in pictures.values())
    assert np.allclose(pictures["input"] + pictures["truth"], 1)  # -clean and clean
    assert np.allclose(pictures["l2"], 0.625)
    assert np.array_equal(pictures["true\nmask"], pictures["rgi\nmask"])


def test_an_unknown_truth_is_an_empty_panel(results):
    path = results / "cases/digits/block.npz"
    case = load_case(path)
    save_case(path, replace(case, clean=np.full_like(case.clean, np.nan)))
    strip = restoration_strip(results, "digits", "block", ["l2"], [], rows=3)

    assert strip.columns[1].title == "truth\nunknown"
    assert len(np.unique(strip.columns[1].pictures)) == 1


def test_where_an_operator_is_known_there_is_no_mask_to_show(results):
    path = results / "cases/digits/block.npz"
    case = load_case(path)
    operator = np.array('{"corruption": "denoising", "noise": 0.1, "seed": [0]}')
    save_case(path, replace(case, observed=case.corrupted, operator=operator))
    strip = restoration_strip(results, "digits", "block", ["l2"], [], rows=3)

    assert strip.columns[-1].title == "no mask"
    assert len(np.unique(strip.columns[-1].pictures)) == 1


def test_restorations_become_a_figure(results, saved):
    request = Request(["digits"], ["block"], ["l2", "rgi"])
    _, _, (width, height) = saved(restorations_figure(results, request, ["rgi"]))

    assert width > 6 * TILE
    assert height > 3 * TILE


def test_an_image_that_no_shard_holds_is_named(results):
    (results / "restorations/digits/block/l2/none/1.npz").unlink()
    with pytest.raises(InputError, match="no shard holds image 5"):
        restoration_strip(results, "digits", "block", ["l2"], [], rows=3)


@pytest.fixture
def detected(results):
    """The case with kinds of defect in three images; l2 restores nothing."""
    path = results / "cases/digits/block.npz"
    case = load_case(path)
    mask = case.mask.copy()
    mask[1] = False
    save_case(path, replace(case, mask=mask, kind=np.array(["dent", "good", "crack", "dent"])))
    for method, lams in (("l2", ["none"]), ("rgi", ["0.1", "0.2"])):
        folder = results / "restorations/digits/block" / method
        for shard in folder.glob("none/*.npz"):
            with np.load(shard) as arrays:
                nothing = np.full_like(arrays["restored"], np.nan)
                save_arrays(shard, {**arrays, "restored": nothing})
        found = load_maps(path, folder, lams, 2, restores=method == "rgi")
        write_detection(results / "detection/digits/block" / method, detect(*found, 2, 0))
    return results


DETECTORS = Request(["digits"], ["block"], ["l2", "rgi"])


def test_detections_have_a_strip_per_kind_and_a_column_per_method(detected, saved):
    crack, dent = detection_strips(detected, "digits", "block", ["l2", "rgi"])
    case = load_case(detected / "cases/digits/block.npz")

    assert (crack.title, dent.title) == ("digits, block, crack", "digits, block, dent")
    assert list(dent.columns) == [TRUTH, "l2", "rgi"]
    assert all(len(column) == len(ROWS) for column in dent.columns.values())
    assert np.allclose(dent.columns[TRUTH][0] + dent.columns[TRUTH][1], 1)  # -clean and clean
    assert len(np.unique(dent.columns["l2"][0])) == 1  # an empty panel
    assert np.allclose(dent.columns["rgi"][0], 0.625)
    found, truth = dent.columns["rgi"][2], dent.columns[TRUTH][2]
    assert np.array_equal(found[truth == 1], truth[truth == 1])
    around = np.isclose(found, OUTLINE).all(axis=-1)
    assert around.any()
    assert not (around & (truth[..., 0] == 1)).any()
    assert case.mask[0].mean() == pytest.approx((truth[..., 0] == 1).mean())
    _, _, (width, height) = saved(detections_figure(detected, DETECTORS))
    assert width > 3 * TILE
    assert height > 2 * len(ROWS) * TILE


def test_curves_of_detection_have_a_line_per_method(detected, saved):
    figure = detection_curves_figure(detected / "detection", DETECTORS)

    assert [axes.get_ylabel() for axes in figure.axes] == ["true positive rate", "precision"]
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == ["l2", "rgi"]
    # rgi's map is the truth, but in the image that is good now.
    good = load_shard(detected / "restorations/digits/block/rgi/0.1/1.npz").score[0]
    clean = ~load_case(detected / "cases/digits/block.npz").mask
    roc = figure.axes[0].lines[1]
    assert roc.get_xdata()[roc.get_ydata() == 1].min() == pytest.approx(good.sum() / clean.sum())
    assert (roc.get_xdata()[-1], roc.get_ydata()[-1]) == (1, 1)
    saved(figure)


def test_dice_by_defect_has_the_mean_of_groups_of_growing_defects(detected, saved):
    folder = detected / "detection/digits/block/rgi"
    images = pd.read_csv(folder / "images.csv")
    sizes = [5, 10, 10, 30, 40, 80, 81, 82, 83, 84]
    levels = [0.5] * 4 + [0.8] * 6
    many = pd.concat([images.iloc[[0]]] * len(sizes)).assign(
        area=sizes, contrast=levels, dice=np.arange(10) / 10, lam="0.1"
    )
    write_table(folder / "images.csv", many)
    figure = dice_by_defect_figure(detected / "detection", replace(DETECTORS, methods=["rgi"]))
    by_size, by_contrast = figure.axes

    (line,) = by_size.containers
    assert line[0].get_xdata().tolist() == pytest.approx([5, 10, 60, 81.5, 83.5])
    assert line[0].get_ydata().tolist() == pytest.approx([0, 0.2, 0.45, 0.65, 0.85])
    (line,) = by_contrast.containers
    assert line[0].get_xdata().tolist() == pytest.approx([0.5, 0.8])
    assert line[0].get_ydata().tolist() == pytest.approx([0.15, 0.65])
    saved(figure)


@pytest.mark.parametrize("grouped", [True, False])
def test_dice_by_defect_has_the_interval_of_things_not_of_images(detected, grouped):
    """Six shots each of two tiles, or two images in six cases: there are two things to draw."""
    folder = detected / "detection/digits/block/rgi"
    images = pd.read_csv(folder / "images.csv")
    thing = np.repeat([1, 2], 6)
    shots = pd.concat([images.iloc[[0]]] * 12).assign(area=5, dice=thing / 2, lam="0.1")
    named = {"index": np.arange(12), "group": thing} if grouped else {"index": thing}
    write_table(folder / "images.csv", shots.assign(**named))
    figure = dice_by_defect_figure(detected / "detection", replace(DETECTORS, methods=["rgi"]))

    (line,) = figure.axes[0].containers
    ((low, high),) = line[2][0].get_segments()
    assert line[0].get_ydata().tolist() == [0.75]
    assert (low[1], high[1]) == (0.5, 1.0)


def test_training_size_is_drawn_in_its_order_by_data_sets_that_belong_together(saved):
    rows = [
        (dataset, "crack", kind, "rgi", metric, statistic, value, value - 0.1, value + 0.1)
        for dataset, value in (("brick", 0.9), ("brick-100", 0.5), ("brick-300", 0.7))
        for metric, statistic in (("dice", "mean"), ("auroc", "pooled"), ("aupro", "pooled"))
        for kind in ("all", "crack")
    ]
    columns = ["dataset", "case", "kind", "method", "metric", "statistic", "value", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    sizes = {"brick": 1000, "brick-100": 100, "brick-300": 300}
    figure = training_size_figure(table, [list(sizes)], sizes)

    assert [axes.get_ylabel() for axes in figure.axes] == ["Dice", "AUROC", "AUPRO"]
    for axes in figure.axes:
        (line,) = axes.containers
        assert line[0].get_xdata().tolist() == pytest.approx([100, 300, 1000])
        assert line[0].get_ydata().tolist() == [0.5, 0.7, 0.9]
    saved(figure)


def test_auroc_is_drawn_against_the_steps_and_as_a_level_without_them(saved):
    rows = [
        ("brick", "crack", kind, method, "auroc", statistic, value, value - 0.1, value + 0.1)
        for method, value in (("slow-9", 0.7), ("slow-1", 0.5), ("vae", 0.6), ("slow-3", 0.9))
        for kind in ("all", "crack")
        for statistic in ("pooled", "mean")
    ]
    columns = ["dataset", "case", "kind", "method", "metric", "statistic", "value", "low", "high"]
    lines = {"slow": {"slow-1": 1, "slow-3": 3, "slow-9": 9}}
    (axes,) = steps_figure(pd.DataFrame(rows, columns=columns), lines).axes

    (line,) = axes.containers
    assert line[0].get_xdata().tolist() == pytest.approx([1, 3, 9])
    assert line[0].get_ydata().tolist() == [0.5, 0.9, 0.7]
    (level,) = [own for own in axes.lines if own.get_ydata()[0] == own.get_ydata()[-1] == 0.6]
    assert level.get_xdata() == [0, 1]  # of the panel, from side to side
    assert axes.get_title() == "brick\ncrack"
    saved(axes.figure)

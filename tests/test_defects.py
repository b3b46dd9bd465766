"""Defects are counted and measured as an inspector would on a drawing."""

import numpy as np
import pandas as pd
import pytest

from rgi.errors import InputError
from rgi.evaluation.defects import COLUMNS, defects_of, find_defects, write_defects


@pytest.fixture
def drawing():
    """A bar of 2 x 6 pixels, and three pixels in a diagonal."""
    mask = np.zeros((12, 12), bool)
    mask[1:3, 4:10] = True
    mask[[6, 7, 8], [2, 3, 4]] = True
    score = np.where(mask, 1.0, 0.25)
    score[1, 4] = 7
    return mask, score


def test_a_defect_is_what_hangs_together_also_by_its_corners(drawing):
    found = find_defects(*drawing)

    assert list(found.columns) == COLUMNS
    assert found["defect"].tolist() == [1, 2]
    assert found["area"].tolist() == [12, 3]
    box = found[["top", "left", "box_height", "box_width"]].to_numpy().tolist()
    assert box == [[1, 4, 2, 6], [6, 2, 3, 3]]


def test_length_and_width_are_those_of_the_ellipse_with_the_same_moments(drawing):
    """4 sqrt(moment): for a solid a x b rectangle of pixels the moments are a^2/12 and b^2/12."""
    found = find_defects(*drawing)

    assert found["length"][0] == pytest.approx(4 * np.sqrt(36 / 12))
    assert found["width"][0] == pytest.approx(4 * np.sqrt(4 / 12))
    assert found["length"][1] > 1.5 * found["width"][1]


def test_the_scores_are_those_of_its_pixels(drawing):
    found = find_defects(*drawing)

    assert found["score_mean"].tolist() == pytest.approx([(11 + 7) / 12, 1])
    assert found["score_max"].tolist() == [7, 1]


def test_a_turned_image_has_the_same_defects(drawing):
    found = find_defects(*drawing)
    turned = find_defects(*(np.rot90(array).copy() for array in drawing))

    same = ["area", "length", "width", "score_mean", "score_max"]
    left, right = (t[same].sort_values("area", ignore_index=True) for t in (found, turned))
    pd.testing.assert_frame_equal(left, right)


def test_one_pixel_is_a_defect_too():
    mask = np.zeros((4, 4), bool)
    mask[2, 3] = True
    (row,) = find_defects(mask, mask.astype(np.float32)).to_dict("records")

    assert row["area"] == row["box_height"] == row["box_width"] == 1
    assert row["length"] == row["width"] == pytest.approx(4 / np.sqrt(12))


def test_an_image_without_a_defect_has_no_row(drawing, tmp_path):
    mask, score = drawing
    masks, scores = np.stack([mask, np.zeros_like(mask), mask]), np.stack([score] * 3)
    write_defects(tmp_path / "defects.csv", defects_of([4, 7, 9], masks, scores))

    table = pd.read_csv(tmp_path / "defects.csv")
    assert list(table.columns) == ["index", *COLUMNS]
    assert table["index"].tolist() == [4, 4, 9, 9]
    assert find_defects(masks[1], score).empty


def test_no_defect_in_any_image_is_an_empty_table_with_its_header(tmp_path):
    nothing = np.zeros((2, 5, 5), bool)
    write_defects(tmp_path / "defects.csv", defects_of([0, 1], nothing, nothing + 0.0))

    table = pd.read_csv(tmp_path / "defects.csv")
    assert table.empty
    assert list(table.columns) == ["index", *COLUMNS]


@pytest.mark.parametrize(
    ("mask", "score"),
    [
        (np.zeros((4, 4)), np.zeros((4, 4))),
        (np.zeros((1, 4, 4), bool), np.zeros((1, 4, 4))),
        (np.zeros((4, 4), bool), np.zeros((4, 5))),
    ],
)
def test_what_is_no_mask_or_of_another_size_is_refused(mask, score):
    with pytest.raises(InputError, match="expected bool and numbers, both H x W"):
        find_defects(mask, score)

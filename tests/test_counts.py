"""How many training images there are, as far as it is known before a data set is prepared."""

import re
from pathlib import Path

import numpy as np
import pytest

from rgi.data import prepare, training_images
from rgi.data.inspected import CATEGORIES

DOCUMENT = Path(__file__).parent.parent / "docs/data.md"
FACES = {"source": "celeba", "resolution": 8, "test": 4, "held_out": 2000, "images": None}
CARS = {"source": "cars", "resolution": 8, "test": 4, "held_out": None}


@pytest.mark.parametrize(
    ("values", "count"),
    [
        (FACES, 200_599),  # the paper's
        (FACES | {"images": 10_000, "held_out": 1000}, 9000),
        (FACES | {"images": 10_000, "held_out": 1000, "train": 500}, 500),
        (FACES | {"images": 10_000, "held_out": 1000, "train": 20_000}, 9000),
        (CARS, 8144),
        (CARS | {"archive": "cropped.zip", "held_out": 1000}, None),
        ({"source": "lsun-bedroom", "resolution": 8, "test": 4}, 3_033_042),
        ({"source": "folder", "path": "pictures", "resolution": 8, "test": 4}, None),
        ({"source": "folder", "path": "pictures", "resolution": 8, "test": 4, "train": 9}, 9),
        ({"source": "magnetic-tile", "resolution": 8, "test": 4}, None),
    ],
)
def test_training_images_are_those_that_are_left(values, count):
    assert training_images(values) == count


@pytest.mark.parametrize(
    "values",
    [
        {"source": "digits", "resolution": 8, "test": 40},
        {"source": "brick", "resolution": 8, "test": 4, "train": 12},
    ],
)
def test_embedded_sets_have_what_is_counted(values, tmp_path):
    prepare(values, tmp_path, 0)
    assert len(np.load(tmp_path / "train.npy")) == training_images(values)


def test_inspected_products_have_what_is_documented():
    """All of the training part with real defects; for synthetic ones test images are taken out."""
    table = dict(re.findall(r"^\| (\w+) \| (\d+) \| \d+ \| \d+ \|$", DOCUMENT.read_text(), re.M))
    assert set(table) == set(CATEGORIES)
    (counts,) = re.findall(
        r"^\| BTAD 1 / 2 / 3 \| (\d+) / (\d+) / (\d+) ", DOCUMENT.read_text(), re.M
    )
    btad = {"source": "btad", "resolution": 8, "test": 20}
    products = [btad | {"product": number} for number in (1, 2, 3)]
    products += [btad | {"source": "mvtec-ad", "category": name} for name in table]
    for values, count in zip(products, map(int, [*counts, *table.values()]), strict=True):
        assert training_images(values | {"part": "defects"}) == count
        assert training_images(values | {"part": "clean"}) == count - 20

"""Stanford cars: the publisher's parts, cropped to their boxes, or images cropped already."""

import pickle

import numpy as np
import pytest
from publishers import annotations, car, cars, plain, tarred, turned, zipped

from rgi.data import open_images, prepare, unpack
from rgi.data.cars import CarsSettings
from rgi.data.cars import cars as open_cars
from rgi.data.pictures import UnreadableImageError
from rgi.errors import InputError


def packed(root, archives):
    return tuple(str(tarred(root / f"{name}.tar", members)) for name, members in archives.items())


def opened(archive, seed=0, **changes):
    return open_cars(
        CarsSettings(**{"archive": archive, "resolution": 8, "test": 4} | changes), seed
    )


def values(images):
    """The value of a car that fills the whole image."""
    assert all(image.min() == image.max() for image in images)
    return [int(image.min()) for image in images]


def test_cars_are_cut_out_by_their_boxes_and_the_publisher_s_parts_kept(tmp_path):
    parts = opened(packed(tmp_path, cars()))
    assert values(parts.train) == list(range(10, 22))
    tested = values(parts.test)
    assert len(set(tested)) == 4 and set(tested) <= set(range(200, 208))
    assert [name.split("/")[0] for name in parts.test.names] == ["cars_test"] * 4


def test_one_zip_file_or_folder_of_everything_does_as_well(tmp_path):
    everything = {n: d for members in cars().values() for n, d in members.items()}
    nested = {f"stanford_cars/{name}": data for name, data in everything.items()}
    for name, data in nested.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    expected = opened(packed(tmp_path, cars()))
    for archive in (zipped(tmp_path / "a.zip", nested), tmp_path / "folder"):
        parts = opened(str(archive))
        for found, own in ((parts.train, expected.train), (parts.test, expected.test)):
            assert np.array_equal(list(found), list(own))


def test_a_box_that_ends_beyond_the_image_is_cut_and_one_outside_is_of_no_use(tmp_path):
    archives = cars()
    boxes = {f"{n:05}.jpg": (1, 1, 40, 24) for n in range(1, 13)}
    boxes |= {"00001.jpg": (31, 5, 41, 25), "00002.jpg": (50, 1, 60, 20)}
    del boxes["00003.jpg"]
    archives["car_devkit"]["devkit/cars_train_annos.mat"] = annotations(boxes)
    archives["cars_train"]["cars_train/00001.jpg"] = car(7, (31, 5, 40, 24))
    read = opened(packed(tmp_path, archives)).train.read
    assert values([read("cars_train/00001.jpg")]) == [7]
    with pytest.raises(UnreadableImageError, match=r"box \(50, 1, 60, 20\) holds nothing"):
        read("cars_train/00002.jpg")
    with pytest.raises(UnreadableImageError, match="no box of 00003.jpg"):
        read("cars_train/00003.jpg")


def test_a_box_is_of_the_pixels_as_they_are_stored(tmp_path):
    archives = cars()
    archives["cars_train"]["cars_train/00001.jpg"] = turned(car(10, (1, 3, 21, 20)))
    assert values(opened(packed(tmp_path, archives)).train) == list(range(10, 22))


def cropped(count=12):
    return {f"cars_cropped_128/{n:05}.jpg": plain(10 * n, (16, 16)) for n in range(1, count + 1)}


def test_of_cropped_cars_the_last_are_held_out(tmp_path):
    archive = zipped(tmp_path / "cropped.zip", cropped())
    prepare(
        {"source": "cars", "archive": str(archive), "resolution": 8, "test": 3, "held_out": 4},
        tmp_path / "out",
        seed=0,
    )
    train, test = (open_images(tmp_path / "out" / f"{part}.npy") for part in ("train", "test"))
    assert values(train) == [10 * n for n in range(1, 9)]
    assert len(test) == 3 and set(values(test)) <= {90, 100, 110, 120}


def test_cropped_cars_may_lie_in_the_folder_itself(tmp_path):
    (tmp_path / "mine").mkdir()
    for name, data in cropped().items():
        (tmp_path / "mine" / name.split("/")[1]).write_bytes(data)
    parts = opened(str(tmp_path / "mine"), test=3, held_out=4)
    assert values(parts.train) == [10 * n for n in range(1, 9)]


def test_images_are_read_by_any_process(tmp_path):
    parts = opened(packed(tmp_path, cars()))
    again = pickle.loads(pickle.dumps(parts.train.read))
    name = parts.train.names[5]
    assert np.array_equal(again(name), parts.train.read(name))


def without(*names):
    return {
        archive: {n: d for n, d in members.items() if not n.endswith(names)}
        for archive, members in cars().items()
    }


@pytest.mark.parametrize(
    ("archives", "changes", "message"),
    [
        (without("cars_test_annos.mat"), {}, "none of them has cars_test_annos.mat"),
        ({"cars_train": cars()["cars_train"]}, {}, "none of them has cars_train_annos.mat"),
        (
            {n: m for n, m in cars().items() if n != "cars_test"},
            {},
            "0 of them have images cars_test/NNNNN.jpg, expected 1",
        ),
        (cars(), {"held_out": 5}, "held_out: 5; the publisher's archives have a test part"),
        (cars(), {"test": 9}, "test: 9; of 8 held-out images 8 can be read"),
        ({"a": cropped()}, {}, "held_out: None; cropped images have no test part"),
        ({"a": cropped()}, {"held_out": 12}, "held_out: 12; there are 12 images"),
        ({"a": {"b/c.txt": b""}}, {}, "neither the publisher's images"),
    ],
)
def test_archives_that_lack_something_are_named(tmp_path, archives, changes, message):
    with pytest.raises(InputError, match=f"datasets: cars: .*{message}"):
        opened(packed(tmp_path, archives), **changes)


@pytest.mark.parametrize("data", [b"", b"MATLAB 5.0 MAT-file", annotations({})[:200]])
def test_damaged_annotations_are_named(tmp_path, data):
    archives = cars()
    archives["car_devkit"]["devkit/cars_train_annos.mat"] = data
    with pytest.raises(InputError, match="car_devkit.tar: devkit/cars_train_annos.mat: no annot"):
        opened(packed(tmp_path, archives))


def test_compressed_tar_files_are_unpacked_first(tmp_path):
    archive = [tarred(tmp_path / f"{name}.tgz", m, "w:gz") for name, m in cars().items()]
    paths = tuple(map(str, archive))
    with pytest.raises(InputError, match="devkit.tgz: has to be unpacked to car_devkit.tar first"):
        opened(paths)
    for path in archive:
        unpack(path, tmp_path / "unpacked" / f"{path.stem}.tar")
    parts = opened(paths, unpacked=str(tmp_path / "unpacked"))
    assert values(parts.train) == list(range(10, 22))
    assert "cars_train.tgz: other bytes than the project knows" in parts.describe()["source"]

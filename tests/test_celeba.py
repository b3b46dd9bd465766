"""CelebA: split by the order of names, cropped without stretching, read in place."""

import pickle

import numpy as np
import pytest
import yaml
from publishers import FACES, encoded, faces, plain, tarred, zipped

from rgi.data import open_images, prepare
from rgi.data.celeba import CelebaSettings, celeba
from rgi.data.pictures import UnreadableImageError
from rgi.errors import InputError


def settings(archive, **changes):
    values = {"source": "celeba", "archive": str(archive), "resolution": 8}
    return values | {"test": 4, "held_out": 10} | changes


def opened(archive, seed=0, **changes):
    values = settings(archive, **changes)
    del values["source"]
    return celeba(CelebaSettings(**values), seed)


@pytest.fixture
def archive(tmp_path):
    return zipped(tmp_path / "img_align_celeba.zip", faces())


def values(directory, part):
    return open_images(directory / f"{part}.npy").mean(axis=(1, 2, 3)).round().tolist()


def test_the_last_images_are_held_out_and_the_seed_draws_of_them(tmp_path, archive):
    prepare(settings(archive), tmp_path / "a", seed=0)
    prepare(settings(archive), tmp_path / "b", seed=1)
    ordered = list(FACES.values())
    assert values(tmp_path / "a", "train") == values(tmp_path / "b", "train") == ordered[:20]
    tested = [values(tmp_path / name, "test") for name in "ab"]
    assert all(len(part) == 4 and set(part) <= set(ordered[20:]) for part in tested)
    assert tested[0] == sorted(tested[0]) and tested[0] != tested[1]
    info = yaml.safe_load((tmp_path / "a" / "info.yaml").read_text())
    assert [FACES[name] for name in info["split"]["test"]] == tested[0]
    assert info["counts"] == {"skipped": 0, "train": 20, "test": 4}
    assert "other bytes than the project knows" in info["source"]
    assert len(info["sha256"]["source"]) == 64


def test_the_first_images_alone_are_taken_as_if_there_were_no_others(tmp_path, archive):
    first = {
        name: data for name, data in faces().items() if not name or name < "img_align_celeba/000016"
    }
    for name, source, changes in (
        ("a", archive, {"images": 15}),
        ("b", zipped(tmp_path / "first.zip", first), {}),
    ):
        prepare(settings(source, **changes), tmp_path / name, seed=0)
    for part in ("train", "test"):
        assert np.array_equal(*(open_images(tmp_path / d / f"{part}.npy") for d in "ab"))
    assert values(tmp_path / "a", "train") == list(FACES.values())[:5]


def test_a_folder_and_a_tar_file_give_what_the_zip_file_gives(tmp_path, archive):
    for name, data in faces().items():
        if data:
            path = tmp_path / "folder" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    packed = tarred(tmp_path / "faces.tar", {n: d for n, d in faces().items() if d})
    expected = list(opened(archive).train)
    for source in (tmp_path / "folder", packed):
        assert np.array_equal(list(opened(source).train), expected)


@pytest.mark.parametrize(
    ("crop", "low", "high"), [("centre", 2, 21), ({"box": [4, 6, 8, 8]}, 4, 11)]
)
def test_the_crop_is_not_stretched(tmp_path, crop, low, high):
    """A ramp down the rows: the first and last row of the crop are read off it."""
    ramp = np.broadcast_to(np.arange(24, dtype=np.uint8)[:, None, None] * 10, (24, 20, 3))
    archive = zipped(tmp_path / "a.zip", dict.fromkeys(FACES, encoded(ramp)))
    side = high - low + 1
    image = opened(archive, resolution=side, crop=crop).test.read("img_align_celeba/000030.jpg")
    assert image.shape == (side, side, 3)
    assert np.abs(image[[0, -1], side // 2, 0] / 10 - [low, high]).max() < 0.3


def test_images_are_read_in_any_order_by_any_process(archive):
    parts = opened(archive)
    again = pickle.loads(pickle.dumps(parts.train.read))
    for name in reversed(parts.train.names):
        assert np.array_equal(again(name), parts.train.read(name))
    assert len(pickle.dumps(parts.train.read)) < 2000  # not the list of all names


def test_a_training_image_that_is_a_test_image_too_is_of_no_use(tmp_path):
    same = {"img_align_celeba/000003.jpg": plain(FACES["img_align_celeba/000025.jpg"])}
    parts = opened(zipped(tmp_path / "a.zip", faces(same)), test=10)
    with pytest.raises(UnreadableImageError, match="duplicate of img_align_celeba/000025.jpg"):
        parts.train.read("img_align_celeba/000003.jpg")


def test_a_damaged_image_is_of_no_use_and_another_is_tested(tmp_path):
    broken = {f"img_align_celeba/{number:06}.jpg": b"no picture" for number in (2, 22, 23)}
    archive = zipped(tmp_path / "a.zip", faces(broken))
    parts = opened(archive, test=8)
    assert not set(parts.test.names) & set(broken) and len(parts.test.names) == 8
    passed_over = {entry["name"] for entry in parts.describe()["skipped"]}
    assert passed_over and passed_over <= set(list(broken)[1:])
    with pytest.raises(UnreadableImageError, match="not an image"):
        parts.train.read("img_align_celeba/000002.jpg")
    with pytest.raises(InputError, match="test: 9; of 10 held-out images 8 can be read; .*00002"):
        opened(archive, test=9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": 30}, "held_out: 30; there are 30 images, so at most 29"),
        ({"images": 31}, "has 30 of 31 images NNNNNN.jpg"),
        ({"held_out": 0}, "held_out: 0; must be at least 1"),
        ({"test": 11}, "test: 11; of 10 held-out images 10 can be read"),
        ({"crop": "left"}, "crop: 'left'; allowed: centre"),
        ({"archive": "nowhere.zip"}, "archive: nowhere.zip: no such file"),
    ],
)
def test_a_setting_of_no_use_is_named(tmp_path, archive, changes, message):
    with pytest.raises(InputError, match=f"datasets: celeba: .*{message}"):
        prepare(settings(archive) | changes, tmp_path / "out", seed=0)
    assert not (tmp_path / "out").exists()


def test_a_truncated_or_foreign_archive_is_named(tmp_path, archive):
    archive.write_bytes(archive.read_bytes()[:-500])
    with pytest.raises(InputError, match="celeba.zip: not a whole zip file"):
        opened(archive)
    with pytest.raises(InputError, match="b.zip: has 0 of some images NNNNNN.jpg"):
        opened(zipped(tmp_path / "b.zip", {"a/b.png": b""}))

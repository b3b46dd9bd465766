"""BTAD and MVTec AD: products with real defects and their masks, or their clean images alone."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from publishers import btad, mvtec, plain, tarred, turned, zipped

from rgi.data import companions, open_images, open_kinds, open_masks, prepare, unpack
from rgi.data.counts import INSPECTED
from rgi.data.inspected import (
    CATEGORIES,
    PRODUCTS,
    BtadSettings,
    MvtecSettings,
    mvtec_ad,
)
from rgi.data.inspected import btad as open_btad
from rgi.data.pictures import UnreadableImageError
from rgi.errors import InputError

DOCUMENT = Path(__file__).parent.parent / "docs" / "data.md"
PARTS_OF = ("train", "normal", "defects")  # columns of its table of counts
BTAD = {"source": "btad", "product": 3, "resolution": 8, "test": 4, "normal": 3}
MVTEC = {"source": "mvtec-ad", "category": "metal_nut", "resolution": 8, "test": 5, "normal": 2}


def opened(own, seed=0, **changes):
    values = BTAD | {"archive": str(own)} | changes
    del values["source"]
    return open_btad(BtadSettings(**values), seed)


@pytest.fixture
def archive(tmp_path):
    return zipped(tmp_path / "btad.zip", btad())


def lower(images):
    """The value of the last row, far from any defect."""
    return np.asarray([image[-1].mean() for image in images]).round().tolist()


@pytest.mark.parametrize("product", [1, 3])
def test_btad_s_defects_are_for_testing_with_their_masks(tmp_path, archive, product):
    values = BTAD | {"archive": str(archive), "product": product}
    prepare(values, tmp_path / "out", seed=0)
    images, masks = (
        open_images(tmp_path / "out/test.npy"),
        open_masks(tmp_path / "out/test_masks.npy"),
    )
    assert open_kinds(tmp_path / "out/test_kinds.txt").tolist() == ["ko"] * 4 + ["good"] * 3
    assert images.shape == (7, 8, 8, 3)
    tested, normal = set(lower(images[:4])), set(lower(images[4:]))
    assert tested < set(range(50, 55)) and normal < set(range(30, 36))
    assert (masks[:4, :4] == 1).all() and not masks[:4, 4:].any() and not masks[4:].any()
    assert (images[:4, 0] == 250).all()
    assert lower(open_images(tmp_path / "out/train.npy")) == list(range(10, 22))
    info = yaml.safe_load((tmp_path / "out/info.yaml").read_text())
    assert info["counts"]["kinds"] == {"ko": 4, "good": 3} and len(info["split"]["test"]) == 7
    assert all(f"/0{product}/test/" in name for name in info["split"]["test"])


def test_a_clean_part_is_drawn_of_the_training_images_alone(tmp_path, archive):
    values = BTAD | {"archive": str(archive), "part": "clean", "normal": 0}
    prepare(values, tmp_path / "out", seed=0)
    train, test = (lower(open_images(tmp_path / f"out/{part}.npy")) for part in ("train", "test"))
    assert len(test) == 4 and sorted(train + test) == list(range(10, 22))
    assert not list((tmp_path / "out").glob("test_*"))
    assert companions(values) == () and companions(BTAD) == ("test_masks.npy", "test_kinds.txt")


def test_mvtec_s_kinds_are_its_folders_and_its_tar_file_is_unpacked_first(tmp_path):
    path = tarred(tmp_path / "mvtec_anomaly_detection.tar.xz", mvtec(), "w:xz")
    unpack(path, tmp_path / "unpacked" / "mvtec_anomaly_detection.tar")
    values = MVTEC | {"archive": str(path), "unpacked": str(tmp_path / "unpacked")}
    prepare(values, tmp_path / "out", seed=0)
    kinds = open_kinds(tmp_path / "out/test_kinds.txt").tolist()
    assert kinds == sorted(kinds[:5]) + ["good"] * 2 and set(kinds[:5]) == {"crack", "hole"}
    images = open_images(tmp_path / "out/test.npy")
    for kind, values in (("crack", range(150, 153)), ("hole", range(160, 164))):
        assert set(lower(images[np.equal(kinds, kind)])) <= set(values)
    assert lower(open_images(tmp_path / "out/train.npy")) == list(range(110, 122))
    assert (open_masks(tmp_path / "out/test_masks.npy")[:5, :4] == 1).all()


def test_all_defects_can_be_tested(tmp_path):
    folder = tmp_path / "mvtec"
    for name, data in mvtec().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    settings = MvtecSettings(archive=str(folder), category="bottle", resolution=8, test=7, normal=6)
    parts = mvtec_ad(settings, 0)
    assert lower(parts.test) == [50, 51, 52, 60, 61, 62, 63, 30, 31, 32, 33, 34, 35]


def test_the_seed_draws_defects_and_normal_images_apart(archive):
    few, more = (opened(archive, normal=count).test.names for count in (1, 3))
    assert few[:4] == more[:4] and opened(archive, seed=1).test.names[:4] != more[:4]


def test_the_whole_image_is_shown_unless_a_crop_is_asked_for(archive):
    """Product 03 has more columns than rows."""
    assert opened(archive).test.read("BTech_Dataset_transformed/03/test/ok/000.png").shape[0] == 8
    parts = opened(archive, crop={"box": [10, 0, 10, 10]}, part="clean", normal=0)
    assert lower(parts.test) == [image.mean() for image in parts.test]
    with pytest.raises(InputError, match="its mask marks nothing within the crop"):
        opened(archive, crop={"box": [10, 0, 10, 10]})


def changed(name, data):
    return {n: data if n.endswith(name) else d for n, d in btad().items()}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (
            {n: d for n, d in btad().items() if not n.endswith("03/ground_truth/ko/002.png")},
            "defect image without a mask",
        ),
        (changed("03/ground_truth/ko/002.png", b"no picture"), "not an image"),
        (changed("03/ground_truth/ko/002.png", plain(0, (20, 30))), "marks nothing"),
        (changed("03/ground_truth/ko/002.png", plain(255, (20, 29))), "mask has 20 rows, 29 col"),
        (changed("03/test/ko/002.png", b"no picture"), "not an image"),
    ],
)
def test_a_defect_that_is_of_no_use_is_passed_over(tmp_path, members, reason):
    archive = zipped(tmp_path / "btad.zip", members)
    for seed in range(4):
        parts = opened(archive, seed=seed)
        assert not any(name.endswith("ko/002.png") for name in parts.test.names)
        list(parts.masks)
    with pytest.raises(
        InputError, match=f"test: 5; of 5 held-out images 4 can be read; .*{reason}"
    ):
        opened(archive, test=5)


def test_images_are_turned_no_more_than_their_masks(tmp_path, archive):
    name = "03/test/ko/002.png"
    data = turned(btad()[f"BTech_Dataset_transformed/{name}"])
    parts = opened(zipped(tmp_path / "turned.zip", changed(name, data)), test=5)
    assert np.array_equal(list(parts.test), list(opened(archive, test=5).test))


def test_a_training_image_that_is_tested_too_is_of_no_use(tmp_path):
    twin = btad()["BTech_Dataset_transformed/03/test/ok/002.png"]
    archive = zipped(tmp_path / "btad.zip", changed("03/train/ok/004.png", twin))
    parts = opened(archive, normal=6)
    with pytest.raises(UnreadableImageError, match="duplicate of .*03/test/ok/002.png"):
        parts.train.read("BTech_Dataset_transformed/03/train/ok/004.png")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"product": 4}, "product: 4; allowed: 1, 2, 3"),
        ({"product": 2}, "btad.zip: no images in 02/ground_truth/KIND"),
        ({"part": "all"}, "part: 'all'; allowed: defects, clean"),
        ({"part": "clean"}, "normal: 3; of part clean all are normal"),
        ({"part": "clean", "normal": 0, "test": 12}, "test: 12; 03/train has 12 images"),
        ({"normal": 7}, "normal: 7; of 6 held-out images 6 can be read"),
        ({"normal": -1}, "normal: -1; must not be negative"),
        ({"crop": "left"}, "crop: 'left'; allowed: centre, whole"),
        ({"archive": "nowhere.zip"}, "archive: nowhere.zip: no such file or folder"),
    ],
)
def test_a_setting_of_no_use_is_named(archive, changes, message):
    with pytest.raises(InputError, match=f"datasets: btad: .*{message}"):
        opened(archive, **changes)


def test_the_counts_are_those_of_the_documentation():
    text = DOCUMENT.read_text()
    columns = (" / ".join(str(getattr(INSPECTED[p], key)) for p in PRODUCTS) for key in PARTS_OF)
    assert f"| BTAD 1 / 2 / 3 | {' | '.join(columns)} |" in text
    for name in CATEGORIES:
        counts = " | ".join(str(getattr(INSPECTED[name], key)) for key in PARTS_OF)
        assert f"| {name} | {counts} |" in text


def test_an_unknown_category_is_named(tmp_path):
    with pytest.raises(InputError, match="mvtec-ad: category: 'nut'; allowed: bottle, .*zipper"):
        MvtecSettings(archive="a", category="nut", resolution=8, test=2)

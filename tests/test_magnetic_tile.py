"""Magnetic tiles: split by tile, cut into patches by a rule."""

import io
import re
import zipfile

import numpy as np
import pytest
import yaml
from PIL import Image
from publishers import turned

from rgi.data import (
    open_groups,
    open_images,
    open_kinds,
    open_masks,
    prepare,
)
from rgi.errors import InputError

SIDE = 40  # of a patch
DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")


def encoded(array, kind):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return stream.getvalue()


def shot(kind, exposure, number, value, defect=None, size=(60, 100)):
    """The two members of one shot: a grey image, bright where the defect is, and its mask."""
    image, mask = np.full(size, value, np.uint8), np.zeros(size, np.uint8)
    if defect is not None:
        image[defect], mask[defect] = 250, 255
    stem = f"Magnetic-tile-defect-datasets.-master/MT_{kind}/Imgs/exp{exposure}_num_{number}"
    return {f"{stem}.jpg": encoded(image, "JPEG"), f"{stem}.png": encoded(mask, "PNG")}


def tiles():
    """The publisher's layout: every tile is shot twice, and one is defect-free at one exposure."""
    members = {"Magnetic-tile-defect-datasets.-master/README.md": b"tiles"}
    for place, kind in enumerate(DEFECTS):
        for exposure in (1, 2):
            number = 5000 * (place + 1) + 20 * exposure
            defect = np.s_[5:15, 70 : 80 + place]
            members |= shot(kind, exposure, number, 10 * place + exposure, defect)
    members |= shot("Free", 3, 5060, 190)  # of the first tile with a blowhole
    for tile in range(6):
        for exposure in (1, 2):
            members |= shot("Free", exposure, 50_000 + 5000 * tile + 20 * exposure, 100 + 10 * tile)
    return members


def zipped(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def settings(archive, **changes):
    values = {"source": "magnetic-tile", "archive": str(archive), "resolution": 8, "patch": SIDE}
    return values | {"test": 10, "normal": 3} | changes


@pytest.fixture
def prepared(tmp_path):
    prepare(settings(zipped(tmp_path / "tiles.zip", tiles())), tmp_path / "out", seed=0)
    return tmp_path / "out"


def refusal(tmp_path, members, **changes):
    with pytest.raises(InputError) as caught:
        path = zipped(tmp_path / "tiles.zip", members)
        prepare(settings(path, **changes), tmp_path / "out", seed=0)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()
    return str(caught.value)


# The data set


def test_how_many_normal_images_is_said_by_the_config_alone(tmp_path):
    """The schema has the default."""
    with pytest.raises(InputError, match="key 'normal' is missing"):
        values = settings(zipped(tmp_path / "tiles.zip", tiles()))
        del values["normal"]
        prepare(values, tmp_path / "out", seed=0)


def test_every_defective_image_gives_one_patch_with_its_kind_and_mask(prepared):
    kinds = open_kinds(prepared / "test_kinds.txt").tolist()
    assert kinds == [kind.lower() for kind in DEFECTS for _ in "12"] + ["good"] * 3
    images, masks = open_images(prepared / "test.npy"), open_masks(prepared / "test_masks.npy")
    assert images.shape == (13, 8, 8, 1) and masks.shape == (13, 8, 8)
    assert not masks[10:].any() and masks[:10].any(axis=(1, 2)).all()
    inside = images[:10, ..., 0][masks[:10] == 1]
    outside = images[:10, ..., 0][masks[:10] == 0]
    assert np.median(inside) > 200 and np.median(outside) < 60
    info = yaml.safe_load((prepared / "info.yaml").read_text())
    assert info["counts"]["kinds"] == {kind.lower(): 2 for kind in DEFECTS} | {"good": 3}
    assert "other bytes than the project knows" in info["source"]


def test_images_are_turned_no_more_than_their_masks(prepared, tmp_path):
    members = {n: turned(d) if n.endswith(".jpg") else d for n, d in tiles().items()}
    prepare(settings(zipped(tmp_path / "turned.zip", members)), tmp_path / "turned", seed=0)
    for name in ("train", "test"):
        assert np.array_equal(
            open_images(tmp_path / "turned" / f"{name}.npy"), open_images(prepared / f"{name}.npy")
        )


def test_no_tile_is_in_two_parts(prepared):
    """Tiles differ in brightness: 100, 110 ... are free, 190 is a free shot of a defective one."""
    trained = set(np.rint(open_images(prepared / "train.npy").mean(axis=(1, 2, 3)) / 10) * 10)
    normal = set(np.rint(open_images(prepared / "test.npy")[10:].mean(axis=(1, 2, 3)) / 10) * 10)
    assert len(normal) == 2 and not trained & normal
    assert len(trained) == 4 and trained | normal == {100, 110, 120, 130, 140, 150}
    unused = yaml.safe_load((prepared / "info.yaml").read_text())["split"]["unused"]
    assert len(unused) == 2 and any("num_5060" in name for name in unused)


def test_the_shots_of_one_series_are_one_group_whatever_their_kinds(tmp_path):
    """Numbers 5020 to 5350 are one series, with defects of two kinds; all others are far away."""
    members = tiles() | shot("Fray", 1, 5350, 50, np.s_[5:15, 70:80])
    prepare(settings(zipped(tmp_path / "t.zip", members), test=11), tmp_path / "out", seed=0)
    groups = open_groups(tmp_path / "out" / "test_groups.txt")
    kinds = open_kinds(tmp_path / "out" / "test_kinds.txt")
    tested = yaml.safe_load((tmp_path / "out" / "info.yaml").read_text())["split"]["test"]
    series = [int(re.search(r"num_(\d+)", name)[1]) // 5000 for name in tested]

    # info.yaml lists the images in the order of test.npy.
    assert len(groups) == len(series) == 14
    for one, own in zip(groups, series, strict=True):
        assert (groups == one).tolist() == [other == own for other in series]
    assert set(kinds[groups == groups[0]]) == {"blowhole", "fray"}


def test_training_patches_cover_every_pixel_unstretched(tmp_path):
    """A ramp along the columns: where windows of 40 lie on 100 columns is read off their means."""
    members, ramp = tiles(), np.tile(np.arange(100, dtype=np.uint8), (60, 1))
    for name in members:
        if "MT_Free" in name and name.endswith("jpg"):
            members[name] = encoded(ramp, "JPEG")
    archive = zipped(tmp_path / "tiles.zip", members)
    prepare(settings(archive, resolution=SIDE, normal=0), tmp_path / "out", seed=0)
    train = open_images(tmp_path / "out" / "train.npy")
    assert len(train) == 12 * 6  # 2 windows on 60 rows, 3 on 100 columns
    starts = np.rint(train.mean(axis=(1, 2, 3)) - (SIDE - 1) / 2).astype(int)
    assert set(starts) == {0, 30, 60}
    assert np.abs(train[0, 0, :, 0].astype(int) - np.arange(SIDE)).max() <= 2  # not resized


def test_the_window_shows_most_of_both_defect_and_surroundings(tmp_path):
    members = tiles()
    wide = np.s_[:, 35:]  # fills the right window, and half of the middle one, columns 30 to 69
    members |= shot("Uneven", 1, 25_020, 50, wide) | shot("Uneven", 2, 25_040, 50, np.s_[:, 45:])
    prepare(settings(zipped(tmp_path / "t.zip", members)), tmp_path / "out", seed=0)
    kinds = open_kinds(tmp_path / "out" / "test_kinds.txt")
    parts = open_masks(tmp_path / "out" / "test_masks.npy")[kinds == "uneven"].mean(axis=(1, 2))
    assert parts.tolist() == [35 / 40, 25 / 40]


def test_empty_masks_and_small_images_are_skipped_with_the_reason(tmp_path):
    members = tiles() | shot("Uneven", 3, 25_060, 50) | shot("Fray", 3, 20_060, 50, size=(60, 30))
    prepare(settings(zipped(tmp_path / "t.zip", members)), tmp_path / "out", seed=0)
    skipped = yaml.safe_load((tmp_path / "out" / "info.yaml").read_text())["skipped"]
    reasons = {entry["name"].split("/")[1]: entry["reason"] for entry in skipped}
    assert reasons == {"MT_Uneven": "its mask is empty", "MT_Fray": "60 x 30 pixels hold no patch"}


def test_masks_are_thresholded_above_127(tmp_path):
    members = tiles()
    name = next(name for name in members if "MT_Crack" in name and name.endswith("png"))
    soft = np.full((60, 100), 127, np.uint8)
    soft[20:25, 20:25] = 128
    members[name] = encoded(soft, "PNG")
    archive = zipped(tmp_path / "t.zip", members)
    prepare(settings(archive, resolution=SIDE), tmp_path / "out", seed=0)
    assert 25 in open_masks(tmp_path / "out" / "test_masks.npy").sum(axis=(1, 2))


def test_the_seed_decides_the_split(tmp_path):
    archive = zipped(tmp_path / "t.zip", tiles())
    written = []
    for directory, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare(settings(archive, test=4), tmp_path / directory, seed)
        written.append((tmp_path / directory / "test.npy").read_bytes())
    assert written[0] == written[1] != written[2]


def test_members_outside_the_layout_are_ignored_and_nothing_is_unpacked(tmp_path, prepared):
    (name, data), *_ = shot("Free", 1, 99_000, 7).items()
    others = {f"{name}.txt": data, name.replace("Imgs", "Other"): data, "MT_Free.jpg": data}
    archive = zipped(tmp_path / "deep" / "more.zip", tiles() | others)
    prepare(settings(archive), tmp_path / "again", seed=0)
    for file in ("train.npy", "test.npy"):
        assert (tmp_path / "again" / file).read_bytes() == (prepared / file).read_bytes()
    assert not list(tmp_path.rglob("*.jpg"))


def test_an_archive_with_a_member_outside_of_it_is_refused(tmp_path):
    evil = {f"../{name}": data for name, data in shot("Free", 1, 99_000, 7).items()}
    assert "would leave the archive's folder; refused" in refusal(tmp_path, tiles() | evil)
    assert not list(tmp_path.parent.rglob("MT_*"))


def test_a_folder_of_what_is_in_the_archive_does_as_well(tmp_path, prepared):
    for name, data in tiles().items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_bytes(data)
    prepare(settings(tmp_path / "own"), tmp_path / "again", seed=0)
    for file in ("train.npy", "test.npy"):
        assert (tmp_path / "again" / file).read_bytes() == (prepared / file).read_bytes()


def without(part):
    return {name: data for name, data in tiles().items() if part not in name}


@pytest.mark.parametrize(
    ("members", "changes", "message"),
    [
        (without("MT_Crack"), {}, "tiles.zip: no images in a folder MT_Crack/Imgs"),
        (without("MT_Free"), {}, "no images in a folder MT_Free/Imgs"),
        (
            tiles() | shot("Rust", 1, 9, 50),
            {},
            "MT_Rust/.*_num_9.jpg: of no known kind; .*Fray",
        ),
        (without("num_10020.png"), {}, "exp1_num_10020.jpg: defect image without a mask"),
        (tiles(), {"test": 11}, "test: 11; .*tiles.zip has 10 usable images with a defect"),
        (tiles(), {"normal": 13}, "normal: 13; .* has 12 usable images without a defect"),
        (tiles(), {"normal": 11}, "no defect-free image is left for training"),
        (tiles(), {"normal": -1}, "normal: -1; must not be negative"),
        (tiles(), {"archive": "nowhere.zip"}, "archive: nowhere.zip: no such file"),
    ],
)
def test_an_archive_or_setting_of_no_use_is_named(tmp_path, members, changes, message):
    with pytest.raises(InputError, match=message):
        archive = zipped(tmp_path / "tiles.zip", members)
        prepare(settings(archive) | changes, tmp_path / "out", seed=0)
    assert not (tmp_path / "out").exists()


def test_a_mask_of_another_size_and_a_damaged_image_are_named(tmp_path):
    small = encoded(np.full((60, 99), 255, np.uint8), "PNG")
    for member, data, message in (
        ("exp1_num_10020.png", small, "exp1_num_10020.png: mask has 60 rows, 99 columns; its"),
        ("exp1_num_10020.png", b"no picture", "exp1_num_10020.png: damaged"),
        ("exp1_num_10020.jpg", b"no picture", "exp1_num_10020.jpg: damaged"),
    ):
        changed = {n: data if n.endswith(member) else d for n, d in tiles().items()}
        assert message in refusal(tmp_path, changed)


def test_a_truncated_archive_is_named(tmp_path):
    path = zipped(tmp_path / "tiles.zip", tiles())
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="tiles.zip: not a whole zip file"):
        prepare(settings(path), tmp_path / "out", seed=0)

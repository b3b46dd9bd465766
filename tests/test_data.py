"""Sources become arrays on disk: split honestly, streamed, reproducible, nothing lost silently."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from rgi.data import (
    open_groups,
    open_images,
    open_kinds,
    open_masks,
    prepare,
    save_preview,
    to_tensor,
    to_uint8,
)
from rgi.data.pictures import UnreadableImageError, crop_and_resize, decode, resize_mask
from rgi.data.preparation import draw_images
from rgi.data.sources import BRICK_BANDS, brick_corners
from rgi.data.streams import stream_array
from rgi.errors import InputError

DIGITS = {"source": "digits", "resolution": 16, "channels": 1, "test": 32}
BRICK = {"source": "brick", "resolution": 16, "channels": 1, "train": 50, "test": 8}
SCRIPT = Path(__file__).parent.parent / "workflow" / "scripts" / "prepare_dataset.py"


def read_info(directory):
    return yaml.safe_load((directory / "info.yaml").read_text())


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def grey(path, value=100, size=(20, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def folder_settings(path, **changes):
    settings = {"source": "folder", "path": str(path), "resolution": 8, "channels": 1, "test": 2}
    return settings | changes


def refusal(values, directory):
    """The message of the InputError that `values` cause; nothing may be left behind."""
    with pytest.raises(InputError) as caught:
        prepare(values, directory, seed=0)
    assert "\n" not in str(caught.value)
    assert not directory.exists() or not list(directory.iterdir())
    return str(caught.value)


# Arrays and tensors


def test_bytes_survive_the_way_to_a_tensor_and_back():
    images = np.arange(256, dtype=np.uint8).reshape(2, 8, 8, 2)
    tensor = to_tensor(images)
    assert tensor.shape == (2, 2, 8, 8) and tensor.dtype == torch.float32
    assert tensor.min() == -1 and tensor.max() == 1
    assert np.array_equal(to_uint8(tensor), images)


def test_values_outside_the_range_are_clamped():
    assert to_uint8(torch.tensor([-3.0, 0.0, 3.0]).reshape(3, 1, 1, 1)).ravel().tolist() == [
        0,
        128,
        255,
    ]


def test_images_are_opened_memory_mapped(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 4, 4, 1), np.uint8))
    assert isinstance(open_images(tmp_path / "images.npy"), np.memmap)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (np.zeros((2, 4, 4, 1), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        (np.array([{}], dtype=object), "not a readable"),
        (b"\x93NUMPY", "not a readable"),
        (b"", "not a readable"),
    ],
)
def test_a_wrong_array_is_named(tmp_path, content, message):
    path = tmp_path / "images.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(InputError, match=f"images.npy: .*{message}"):
        open_images(path)


# The streaming writer


def test_a_streamed_file_is_what_numpy_would_have_written(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (1234, 3, 3, 1), dtype=np.uint8)
    np.save(tmp_path / "b.npy", images)
    with stream_array(tmp_path / "a.npy", (3, 3, 1), images) as temporary:
        assert temporary.read_bytes() == (tmp_path / "b.npy").read_bytes()
        assert not (tmp_path / "a.npy").exists()
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_failing_stream_leaves_nothing_behind(tmp_path):
    def images():
        yield np.zeros((3, 3, 1), np.uint8)
        raise RuntimeError("disk")

    stream = stream_array(tmp_path / "a.npy", (3, 3, 1), images())
    with pytest.raises(RuntimeError, match="disk"), stream:
        pass
    assert not list(tmp_path.iterdir())


def test_a_failing_source_leaves_no_part_behind(tmp_path):
    grey(tmp_path / "in" / "a.png")
    grey(tmp_path / "in" / "b.png")
    assert "found 0 usable images for training" in refusal(
        folder_settings(tmp_path / "in"), tmp_path / "out"
    )


# The embedded sets


@pytest.mark.parametrize("settings", [DIGITS, BRICK], ids=["digits", "brick"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_embedded_set_has_the_promised_shape_and_hashes(tmp_path, settings, channels):
    prepare(settings | {"channels": channels}, tmp_path, seed=0)
    info = read_info(tmp_path)
    for part in ("train", "test"):
        images = open_images(tmp_path / f"{part}.npy")
        assert images.shape == (info["counts"][part], 16, 16, channels)
        assert sha256(tmp_path / f"{part}.npy") == info["sha256"][f"{part}.npy"]
        assert images.std() > 10
    assert info["counts"]["test"] == settings["test"]
    assert Image.open(tmp_path / "preview.png").width > 100


@pytest.mark.parametrize("settings", [DIGITS, BRICK], ids=["digits", "brick"])
def test_the_seed_decides_everything(tmp_path, settings):
    names = ["train.npy", "test.npy", "info.yaml", "preview.png"]
    for directory, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare(settings, tmp_path / directory, seed)
    first, same, other = (
        [sha256(tmp_path / directory / name) for name in names] for directory in "abc"
    )
    assert first == same
    assert first[1] != other[1]


def test_every_digit_is_in_exactly_one_part(tmp_path):
    from sklearn.datasets import load_digits

    prepare(DIGITS | {"resolution": 8}, tmp_path, seed=0)
    parts = [open_images(tmp_path / f"{part}.npy") for part in ("train", "test")]
    written = np.concatenate(parts)[..., 0].astype(float) * 16 / 255
    expected = load_digits().images
    assert np.abs(np.sort(written, axis=0) - np.sort(expected, axis=0)).max() < 0.05
    rows = read_info(tmp_path)["split"]["test"]
    assert np.array_equal(np.rint(written[len(parts[0]) :]), expected[rows])


def test_fewer_training_images_are_drawn_and_the_test_images_stay(tmp_path):
    settings = {"source": "digits", "resolution": 8, "test": 10}
    for name, train in (("all", {}), ("few", {"train": 30}), ("again", {"train": 30})):
        (tmp_path / name).mkdir()
        prepare(settings | train, tmp_path / name, seed=0)
    whole, few, again = (
        np.load(tmp_path / name / "train.npy").reshape(-1, 64) for name in ("all", "few", "again")
    )

    assert len(few) == 30
    np.testing.assert_array_equal(few, again)
    rows = [np.flatnonzero((whole == image).all(axis=1))[0] for image in few]
    assert rows == sorted(rows)
    assert max(rows) > len(whole) / 2  # not only the first ones
    same = [(tmp_path / name / "test.npy").read_bytes() for name in ("all", "few")]
    assert same[0] == same[1]
    info = yaml.safe_load((tmp_path / "few/info.yaml").read_text())
    assert (info["settings"]["train"], info["counts"]["train"]) == (30, 30)
    assert info["split"]["train"] == "at most 30, drawn by the seed, of all others"


def test_every_image_is_drawn_equally_often():
    drawn = [list(draw_images(range(10), 3, seed)) for seed in range(2000)]
    counts = np.bincount(np.ravel(drawn), minlength=10)

    assert all(len(set(numbers)) == 3 for numbers in drawn)
    assert np.abs(counts - 600).max() < 5 * np.sqrt(600 * 0.7)  # five standard deviations
    assert list(draw_images(range(2), 3, 0)) == [0, 1]


def test_brick_crops_for_testing_and_training_share_no_pixel():
    crop, touched = 64, {}
    for part in BRICK_BANDS:
        touched[part] = np.zeros((512, 512), dtype=bool)
        for top, left in brick_corners((512, 512), part, 3000, crop, seed=0):
            assert 0 <= top <= 512 - crop and 0 <= left <= 512 - crop
            touched[part][top : top + crop, left : left + crop] = True
    assert not (touched["train"] & touched["test"]).any()
    assert (touched["train"] | touched["test"]).mean() > 0.99


def test_brick_crops_are_cut_from_the_picture(tmp_path):
    from skimage.data import brick

    prepare(BRICK | {"resolution": 64}, tmp_path, seed=0)
    images = open_images(tmp_path / "test.npy")
    for image, (top, left) in zip(
        images, read_info(tmp_path)["split"]["test_corners"], strict=True
    ):
        assert np.array_equal(image[..., 0], brick()[top : top + 64, left : left + 64])


def test_more_training_crops_do_not_move_the_test_crops(tmp_path):
    prepare(BRICK, tmp_path / "a", seed=0)
    prepare(BRICK | {"train": 80}, tmp_path / "b", seed=0)
    assert sha256(tmp_path / "a" / "test.npy") == sha256(tmp_path / "b" / "test.npy")
    small, large = (open_images(tmp_path / d / "train.npy") for d in "ab")
    assert len(small) == 50 and len(large) == 80


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": "mnist"}, "source: 'mnist'; allowed: digits, brick, folder"),
        (DIGITS | {"test": 1797}, "test: 1797; .* at most 1796"),
        (DIGITS | {"test": 0}, "test: 0; must be at least 1"),
        (DIGITS | {"channels": 2}, "channels: 2; allowed: 1"),
        (DIGITS | {"size": 3}, "unknown key 'size'; allowed: resolution"),
        (DIGITS | {"resolution": "16"}, "resolution: '16'; Input should be a valid integer"),
        ({"source": "digits", "test": 3}, "key 'resolution' is missing"),
        (BRICK | {"crop": 200}, "crop: 200; at most 128"),
    ],
)
def test_a_bad_setting_is_named(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        prepare(values, tmp_path / "out", seed=0)
    assert not (tmp_path / "out").exists()


# A folder of one's own


def kinds_of_images(root):
    """One picture of each awkward kind, all of the same grey ramp, which is returned."""
    root.mkdir()
    ramp = np.tile(np.linspace(0, 255, 20).astype(np.uint8), (20, 1))
    Image.fromarray(ramp.astype(np.uint16) * 257).save(root / "deep.png")
    Image.fromarray(ramp).convert("P").save(root / "palette.gif")
    Image.fromarray(ramp).convert("CMYK").save(root / "print.tif")
    Image.fromarray(ramp).convert("1").save(root / "bilevel.png")
    Image.fromarray(np.stack([ramp] * 3 + [ramp], axis=-1), "RGBA").save(root / "glass.png")
    Image.fromarray(np.stack([ramp] * 3, axis=-1)).save(root / "colour.jpg", quality=95)
    turned = Image.fromarray(ramp).rotate(90)  # stored turned; the tag says how to undo it
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(root / "turned.jpg", quality=95, exif=exif)
    return ramp


def test_every_kind_of_image_is_decoded_to_8_bits_upright(tmp_path):
    ramp = kinds_of_images(tmp_path / "in").astype(float)
    black = ramp * ramp / 255  # transparency shows black
    for name, expected, tolerance in [
        ("deep.png", ramp, 0),
        ("palette.gif", ramp, 0),
        ("print.tif", ramp, 1),
        ("glass.png", black, 1),
        ("colour.jpg", ramp, 3),
        ("turned.jpg", ramp, 3),
    ]:
        image = decode((tmp_path / "in" / name).read_bytes())
        grey_levels = np.asarray(image.convert("L")).astype(float)
        assert np.abs(grey_levels - expected).max() <= tolerance, name
    assert set(np.unique(decode((tmp_path / "in" / "bilevel.png").read_bytes()))) == {0, 255}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_every_kind_becomes_one_array(tmp_path, channels):
    kinds_of_images(tmp_path / "in")
    prepare(folder_settings(tmp_path / "in", channels=channels), tmp_path / "out", seed=0)
    assert open_images(tmp_path / "out" / "train.npy").shape == (5, 8, 8, channels)
    assert read_info(tmp_path / "out")["counts"] == {"skipped": 0, "train": 5, "test": 2}


def spoilt_folder(root):
    for number in range(6):
        grey(root / "good" / f"{number}.png", value=40 * number)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(root / "cut.png")
    (root / "cut.png").write_bytes((root / "cut.png").read_bytes()[:2000])
    (root / "text.png").write_text("not a picture")
    (root / "empty.jpg").write_bytes(b"")
    (root / ".hidden").write_text("no matter")
    Image.fromarray(np.ones((20, 20), np.float32)).save(root / "float.tif")
    return {"cut.png", "text.png", "empty.jpg", "float.tif"}


def test_unusable_files_are_skipped_and_listed_with_the_reason(tmp_path):
    spoilt = spoilt_folder(tmp_path / "in")
    prepare(folder_settings(tmp_path / "in"), tmp_path / "out", seed=0)
    info = read_info(tmp_path / "out")
    assert {entry["name"] for entry in info["skipped"]} == spoilt
    reasons = {entry["name"]: entry["reason"] for entry in info["skipped"]}
    assert "truncated" in reasons["cut.png"]
    assert "not an image" in reasons["text.png"]
    assert "no fixed range" in reasons["float.tif"]
    assert info["counts"] == {"skipped": 4, "train": 4, "test": 2}
    test_names = set(info["split"]["test"])
    values = [int(name[5]) * 40 for name in sorted(test_names)]
    assert open_images(tmp_path / "out" / "test.npy")[:, 0, 0, 0].tolist() == values


def test_a_decompression_bomb_is_skipped(tmp_path, monkeypatch):
    for number in range(4):
        grey(tmp_path / "in" / f"{number}.png", value=number)
    grey(tmp_path / "in" / "bomb.png", size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    prepare(folder_settings(tmp_path / "in"), tmp_path / "out", seed=0)
    (skipped,) = read_info(tmp_path / "out")["skipped"]
    assert skipped["name"] == "bomb.png" and "DecompressionBomb" in skipped["reason"]


def test_the_same_folder_gives_the_same_bytes(tmp_path):
    spoilt_folder(tmp_path / "in")
    for directory in "ab":
        prepare(folder_settings(tmp_path / "in"), tmp_path / directory, seed=3)
    for name in ("train.npy", "test.npy", "info.yaml"):
        assert sha256(tmp_path / "a" / name) == sha256(tmp_path / "b" / name)
    source = read_info(tmp_path / "a")["sha256"]["source"]
    grey(tmp_path / "in" / "good" / "0.png", value=7)
    prepare(folder_settings(tmp_path / "in"), tmp_path / "a", seed=3)
    assert read_info(tmp_path / "a")["sha256"]["source"] != source


def test_the_crop_is_the_central_square_or_the_box():
    picture = np.zeros((10, 20), np.uint8)
    picture[:, 5:15] = 200
    picture[2:4, 16:18] = 90
    image = Image.fromarray(picture)
    assert np.asarray(crop_and_resize(image, "centre", 10)).min() == 200
    box = {"box": [2, 16, 2, 2]}
    assert np.asarray(crop_and_resize(image, box, 2)).tolist() == [[90, 90], [90, 90]]
    with pytest.raises(UnreadableImageError, match=r"10 rows, 20 columns"):
        crop_and_resize(image, {"box": [5, 0, 6, 6]}, 2)


def test_shrinking_averages_instead_of_dropping_pixels():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200
    small = np.asarray(crop_and_resize(Image.fromarray(stripes), "centre", 8))
    assert np.abs(small.astype(int) - 100).max() <= 5


# A folder with masks


def masked_folder(root, masked=3):
    for number in range(8):
        grey(root / "images" / f"{number}.jpg", value=20 * number)
    for number in range(masked):
        mask = np.zeros((20, 20), np.uint8)
        mask[:10] = 255
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return folder_settings(root / "images", masks=str(root / "masks"))


def test_images_with_a_mask_are_for_testing_and_never_for_training(tmp_path):
    prepare(masked_folder(tmp_path), tmp_path / "out", seed=0)
    info = read_info(tmp_path / "out")
    names, unused = info["split"]["test"], info["split"]["unused"]
    assert set(names) | set(unused) == {"0.jpg", "1.jpg", "2.jpg"} and len(unused) == 1
    trained = open_images(tmp_path / "out" / "train.npy")[:, 0, 0, 0].tolist()
    assert trained == [60, 80, 100, 120, 140]
    masks = np.load(tmp_path / "out" / "test_masks.npy")
    assert masks.shape == (2, 8, 8) and masks.dtype == np.uint8
    assert (masks[:, :4] == 1).all() and (masks[:, 4:] == 0).all()
    assert info["sha256"]["test_masks.npy"] == sha256(tmp_path / "out" / "test_masks.npy")


def test_masks_kept_inside_the_folder_of_images_are_no_images(tmp_path):
    settings = masked_folder(tmp_path) | {"path": str(tmp_path)}
    (tmp_path / "masks").rename(tmp_path / "truth")
    nested = tmp_path / "truth" / "images"
    nested.mkdir()
    for path in (tmp_path / "truth").glob("*.png"):
        path.rename(nested / path.name)
    prepare(settings | {"masks": str(tmp_path / "truth")}, tmp_path / "out", seed=0)
    assert read_info(tmp_path / "out")["counts"]["train"] == 5


def test_a_mask_of_another_size_is_an_error_that_names_both(tmp_path):
    settings = masked_folder(tmp_path)
    for number in range(3):
        grey(tmp_path / "masks" / f"{number}.png", value=255, size=(20, 19))
    message = refusal(settings, tmp_path / "out")
    assert "masks/" in message and "images/" in message and "19 rows" in message


def test_an_empty_mask_is_an_error_that_names_it(tmp_path):
    settings = masked_folder(tmp_path)
    for number in range(3):
        grey(tmp_path / "masks" / f"{number}.png", value=0)
    assert re.search(r"masks/\d.png: mask is empty", refusal(settings, tmp_path / "out"))


def test_an_image_whose_defect_lies_outside_the_crop_is_skipped(tmp_path):
    settings = masked_folder(tmp_path) | {"test": 3, "crop": {"box": [9, 0, 10, 10]}}
    above = np.zeros((20, 20), np.uint8)
    above[0] = 255
    Image.fromarray(above).save(tmp_path / "masks" / "1.png")
    message = refusal(settings, tmp_path / "out")
    assert "found 2 readable images with a mask, need 3" in message
    assert "1 skipped, the first: 1.jpg" in message and "nothing is corrupted within" in message


def test_normal_test_images_are_held_out_and_have_empty_masks(tmp_path):
    settings = masked_folder(tmp_path)
    prepare(settings, tmp_path / "without", seed=0)
    prepare(settings | {"normal": 3}, tmp_path / "out", seed=0)
    test, masks = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("test", "test_masks"))
    assert np.array_equal(test[:2], np.load(tmp_path / "without" / "test.npy"))
    assert masks[:2].any(axis=(1, 2)).all() and not masks[2:].any() and len(test) == 5
    trained = open_images(tmp_path / "out" / "train.npy")[:, 0, 0, 0].tolist()
    assert sorted(trained + test[2:, 0, 0, 0].tolist()) == [60, 80, 100, 120, 140]
    assert not list((tmp_path / "out").glob("*.txt"))


@pytest.mark.parametrize("normal", [5, 6])
def test_a_folder_without_enough_defect_free_images_is_refused(tmp_path, normal):
    message = refusal(masked_folder(tmp_path) | {"normal": normal}, tmp_path / "out")
    expected = {
        5: "found 0 usable images for training",
        6: "found 5 readable images without a mask",
    }
    assert expected[normal] in message


def sorted_folder(root):
    """Two kinds of defect, three images of each, and four without."""
    for folder, count in (("crack", 3), ("hole", 3), ("fine", 4)):
        for number in range(count):
            grey(
                root / "images" / folder / f"{number}.jpg",
                value=20 * number + len(folder) + ord(folder[0]),
            )
            if folder != "fine":
                grey(root / "masks" / folder / f"{number}.png", value=255)
    masks = str(root / "masks")
    return folder_settings(root / "images", masks=masks, kinds=True, test=6, normal=2)


def test_kinds_are_the_folders_of_the_masks(tmp_path):
    prepare(sorted_folder(tmp_path), tmp_path / "out", seed=0)
    kinds = open_kinds(tmp_path / "out" / "test_kinds.txt").tolist()
    assert kinds == ["crack"] * 3 + ["hole"] * 3 + ["good"] * 2
    assert read_info(tmp_path / "out")["counts"]["kinds"] == {"crack": 3, "hole": 3, "good": 2}
    masks = open_masks(tmp_path / "out" / "test_masks.npy")
    assert [bool(mask.any()) for mask in masks] == [kind != "good" for kind in kinds]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / "masks/hole/1.png").unlink(),
            "images/hole/1.jpg: defect image without",
        ),
        (lambda root: (root / "masks/hole").rename(root / "masks/good"), "mask without an image"),
        (
            lambda root: [
                (root / d / "hole").rename(root / d / "good") for d in ("images", "masks")
            ],
            "with a KIND but 'good'",
        ),
        (
            lambda root: [p.rename(p.parent.parent / p.name) for p in root.glob("*/hole/*")],
            "not in a folder",
        ),
        (
            lambda root: shutil.rmtree(root / "images/fine"),
            "found 0 readable images without a mask",
        ),
    ],
)
def test_kinds_that_are_not_clear_are_refused(tmp_path, spoil, message):
    settings = sorted_folder(tmp_path)
    spoil(tmp_path)
    assert message in refusal(settings, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such file"), (b"a\n\nb\n", "line 2 is empty"), (b"\xff\n", "not a text")],
)
@pytest.mark.parametrize("read", [open_kinds, open_groups])
def test_a_wrong_list_of_kinds_or_groups_is_named(tmp_path, read, text, message):
    if text is not None:
        (tmp_path / "names.txt").write_bytes(text)
    with pytest.raises(InputError, match=f"names.txt: {message}"):
        read(tmp_path / "names.txt")


def test_masks_of_zeros_and_ones_are_refused_rather_than_lost(tmp_path):
    settings = masked_folder(tmp_path)
    for number in range(3):
        grey(tmp_path / "masks" / f"{number}.png", value=1)
    assert "largest value is 1; corrupted means above 127" in refusal(settings, tmp_path / "out")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: grey(root / "masks" / "9.png"), "mask without an image"),
        (lambda root: grey(root / "masks" / "0.bmp"), "two masks of one stem"),
        (lambda root: grey(root / "images" / "0.png"), "two images for one mask"),
        (lambda root: (root / "masks" / "0.png").write_text(""), "found 1 readable images with"),
    ],
)
def test_masks_that_do_not_pair_up_are_refused(tmp_path, spoil, message):
    settings = masked_folder(tmp_path, masked=2)
    spoil(tmp_path)
    assert message in refusal(settings, tmp_path / "out")


def test_masks_are_read_as_zeros_and_ones(tmp_path):
    np.save(tmp_path / "masks.npy", np.eye(4, dtype=np.uint8)[None])
    assert open_masks(tmp_path / "masks.npy").shape == (1, 4, 4)
    for wrong in (np.full((1, 4, 4), 255, np.uint8), np.zeros((1, 4, 4, 1), np.uint8)):
        np.save(tmp_path / "masks.npy", wrong)
        with pytest.raises(InputError, match=r"masks.npy: .*; expected"):
            open_masks(tmp_path / "masks.npy")


@pytest.mark.parametrize("side", [3, 8, 20, 23])
def test_a_shrunk_mask_marks_every_pixel_that_a_marked_one_touches(side):
    random = np.random.default_rng(side)
    for _ in range(20):
        mask = random.random((20, 20)) < 0.02
        expected = np.zeros((side, side), bool)
        for row, column in np.argwhere(mask):
            # In units of 1 / (20 * side) of the picture, all edges are whole numbers.
            for i in range(side):
                for j in range(side):
                    rows = i * 20 < (row + 1) * side and row * side < (i + 1) * 20
                    columns = j * 20 < (column + 1) * side and column * side < (j + 1) * 20
                    expected[i, j] |= rows and columns
        assert np.array_equal(resize_mask(mask, side), expected)


def test_training_files_that_equal_a_held_out_one_are_left_out(tmp_path):
    settings = masked_folder(tmp_path, masked=3)
    for number in range(3):  # whichever is drawn, and whichever is not
        copied = (tmp_path / "images" / f"{number}.jpg").read_bytes()
        (tmp_path / "images" / f"copy{number}.jpg").write_bytes(copied)
    prepare(settings, tmp_path / "out", seed=0)
    info = read_info(tmp_path / "out")
    reasons = {entry["name"]: entry["reason"] for entry in info["skipped"]}
    assert reasons == {f"copy{n}.jpg": f"duplicate of {n}.jpg" for n in range(3)}
    assert info["counts"]["train"] == 5


def test_training_files_that_equal_a_test_image_are_left_out(tmp_path):
    for number in range(6):
        grey(tmp_path / "in" / f"{number}.png", value=20 * (number // 2))  # pairs
    prepare(folder_settings(tmp_path / "in"), tmp_path / "out", seed=0)
    train, test = (open_images(tmp_path / "out" / f"{part}.npy") for part in ("train", "test"))
    assert not set(train.ravel().tolist()) & set(test.ravel().tolist())


def test_too_few_images_names_the_folder_and_both_counts(tmp_path):
    spoilt_folder(tmp_path / "in")
    message = refusal(folder_settings(tmp_path / "in", test=9), tmp_path / "out")
    assert str(tmp_path / "in") in message
    assert "found 6" in message and "need 9" in message and "4 skipped" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "/nowhere"}, "path: /nowhere: no such folder"),
        ({"masks": "/nowhere"}, "masks: /nowhere: no such folder"),
        ({"normal": 1}, "normal: 1; needs the key masks"),
        ({"kinds": True}, "kinds: True; needs the key masks"),
        ({"normal": -1}, "normal: -1; must not be negative"),
        ({"masks": "."}, "must not be the folder of the images"),
        ({"crop": "left"}, "crop: 'left'; allowed: centre"),
        ({"crop": {"box": [0, 0, 0, 5]}}, "allowed: centre"),
        ({"crop": {"box": [0, 0, 5]}}, "allowed: centre"),
    ],
)
def test_a_bad_folder_setting_is_named(tmp_path, changes, message, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    assert message in refusal(folder_settings(".") | changes, tmp_path / "out")


# Preview and script


def test_the_preview_shows_each_image_enlarged_by_a_whole_factor(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    save_preview(tmp_path / "p.png", {"train": image}, columns=1)
    shown = np.asarray(Image.open(tmp_path / "p.png"))
    tile = shown[16 : 16 + 64, 4 : 4 + 64]
    assert np.array_equal(tile, np.kron(image[0], np.ones((4, 4, 1), np.uint8)))


def test_the_script_prepares_a_set_and_refuses_in_one_line(tmp_path):
    def call(settings):
        command = [sys.executable, SCRIPT, "--settings", settings, "--directory", tmp_path / "d"]
        return subprocess.run([*command, "--seed", "1"], capture_output=True, text=True)

    assert call(json.dumps(DIGITS)).returncode == 0
    assert len(open_images(tmp_path / "d" / "test.npy")) == 32
    for bad in ("[]", json.dumps(DIGITS | {"test": -1})):
        failed = call(bad)
        assert failed.returncode == 1
        assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1


@pytest.mark.parametrize("package", ["rgi.data", "rgi.corruption", "rgi.baselines"])
def test_importing_is_cheap(package):
    code = f"import sys, {package}; print({{'torch', 'sklearn', 'skimage'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr

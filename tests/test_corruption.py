"""Corruption is known exactly, stays in range, and depends on nothing but seed, name and index."""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rgi.corruption import (
    FILLS,
    MASKS,
    Block,
    Case,
    Constant,
    Crack,
    Irregular,
    IrregularDefect,
    Library,
    MeanColour,
    MixedLarge,
    Noise,
    Patch,
    RandomPixels,
    Scratch,
    collect_masks,
    given_case,
    library_hash,
    load_case,
    make_case,
    read_corruption,
    save_case,
)
from rgi.errors import InputError

SCRIPTS = Path(__file__).parent.parent / "workflow" / "scripts"
DRAWN = [Crack(), Scratch(), IrregularDefect(), MixedLarge()]
FILL_EXAMPLES = [Noise(-1, 1), Constant(0.3), Patch(), MeanColour()]


def save_masks(root, kind, sizes, side=64):
    """A library: squares of these sizes at different places, KIND/NNN_mask.png as in MVTec AD."""
    folder = Path(root) / "ground_truth" / kind
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes):
        mask = np.zeros((side, side), np.uint8)
        mask[number : number + size, number : number + size] = 255
        Image.fromarray(mask).save(folder / f"{number:03}_mask.png")


EXAMPLES = tempfile.TemporaryDirectory()  # as long as the module
save_masks(EXAMPLES.name, "scratch", [12] * 40)
MASK_EXAMPLES = [Block(6), Block(5, "random"), RandomPixels(0.25), Irregular([0.05, 0.2])]
MASK_EXAMPLES += [*DRAWN, Library(EXAMPLES.name)]


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (7, 3, 16, 16)).astype(np.float32)


def draw(mask, shape=(16, 16), seed=0):
    return mask.draw(shape, np.random.default_rng(seed))


def test_the_examples_cover_every_kind():
    assert {type(mask) for mask in MASK_EXAMPLES} == set(MASKS.values())
    assert {type(fill) for fill in FILL_EXAMPLES} == set(FILLS.values())


@pytest.mark.parametrize("mask", MASK_EXAMPLES, ids=lambda mask: type(mask).__name__)
@pytest.mark.parametrize("fill", FILL_EXAMPLES, ids=repr)
class TestEveryCase:
    def test_follows_the_contract(self, images, mask, fill):
        case = make_case(images, range(7), mask, fill, seed=0, name="case")
        assert case.clean.dtype == case.corrupted.dtype == np.float32
        assert case.clean.shape == case.corrupted.shape == (7, 3, 16, 16)
        assert case.mask.dtype == bool and case.mask.shape == (7, 16, 16)
        assert case.index.dtype == np.int64 and case.index.tolist() == list(range(7))
        assert np.array_equal(case.clean, images)
        assert np.abs(case.corrupted).max() <= 1

    def test_changes_the_masked_pixels_only(self, images, mask, fill):
        case = make_case(images, range(7), mask, fill, seed=0, name="case")
        differs = (case.clean != case.corrupted).any(axis=1)
        assert np.array_equal(differs, case.mask)

    def test_treats_an_image_alone_as_in_the_set(self, images, mask, fill):
        together = make_case(images, range(7), mask, fill, seed=0, name="case")
        for row in (0, 4, 6):
            alone = make_case(images, [row], mask, fill, seed=0, name="case")
            assert np.array_equal(alone.corrupted[0], together.corrupted[row])
            assert np.array_equal(alone.mask[0], together.mask[row])

    def test_depends_on_seed_and_name(self, images, mask, fill):
        def arrays(**changes):
            case = make_case(images, range(7), mask, fill, **{"seed": 0, "name": "case"} | changes)
            return case.mask.tobytes() + case.corrupted.tobytes()

        assert arrays() == arrays()
        if mask != Block(6) or fill not in (Constant(0.3), MeanColour()):  # nothing to draw
            assert arrays() != arrays(seed=1)
            assert arrays() != arrays(name="other")


# Masks


def test_the_paper_s_block_is_the_centre():
    mask = draw(Block(64), (128, 128))
    rows, columns = np.nonzero(mask)
    # Rows and columns 33 to 96, counted from 1 as in appendix C.
    assert (rows.min() + 1, rows.max() + 1) == (columns.min() + 1, columns.max() + 1) == (33, 96)
    assert mask.mean() == 0.25


def test_a_block_at_random_reaches_every_corner_and_keeps_its_size():
    masks = np.stack([draw(Block(5, "random"), (8, 8), seed) for seed in range(300)])
    assert (masks.sum(axis=(1, 2)) == 25).all()
    assert masks.any(axis=0).all()


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.5, 0.999])
def test_random_pixels_are_an_exact_number_and_evenly_spread(fraction):
    masks = np.stack([draw(RandomPixels(fraction), (16, 16), seed) for seed in range(400)])
    assert set(masks.sum(axis=(1, 2))) == {round(fraction * 256)}
    deviation = np.abs(masks.mean(axis=0) - masks.mean()).max()
    assert deviation < 5 * np.sqrt(fraction * (1 - fraction) / 400)


@pytest.mark.parametrize("area", [(0.05, 0.2), (0.25, 0.25), (0.3, 0.3125), (0.9, 0.99)])
@pytest.mark.parametrize("shape", [(16, 16), (32, 20)])
def test_strokes_cover_an_area_inside_the_range(area, shape):
    pixels = shape[0] * shape[1]
    for seed in range(30):
        covered = draw(Irregular(area), shape, seed).sum()
        assert area[0] * pixels <= covered <= area[1] * pixels


def test_strokes_are_connected_unlike_random_pixels():
    from skimage.measure import label

    strokes = [label(draw(Irregular([0.1, 0.1001]), (64, 64), seed)).max() for seed in range(20)]
    pixels = label(draw(RandomPixels(0.1), (64, 64))).max()
    assert np.mean(strokes) < 8 < pixels / 10


def test_strokes_use_the_whole_range():
    covered = [draw(Irregular([0.1, 0.5]), seed=seed).mean() for seed in range(200)]
    assert min(covered) < 0.12 and max(covered) > 0.48
    assert 0.27 < np.mean(covered) < 0.33


# Drawn defects


@pytest.mark.parametrize("mask", DRAWN, ids=repr)
@pytest.mark.parametrize("side", [8, 16, 32, 64, 128])
def test_every_drawn_defect_is_there_and_covers_a_small_part(mask, side):
    parts = [draw(mask, (side, side), seed).mean() for seed in range(100)]
    assert min(parts) > 0 and max(parts) < 0.25


def test_a_blob_smaller_than_a_pixel_is_there():
    assert all(draw(IrregularDefect(), (8, 8), seed).any() for seed in range(1000))


@pytest.mark.parametrize("mask", DRAWN[:3], ids=repr)
def test_the_same_defect_is_drawn_at_every_resolution(mask):
    """A pixel of the small mask and one of the large one are never farther apart than one pixel."""
    from scipy.ndimage import distance_transform_edt

    for seed in range(20):
        small, large = (draw(mask, (side, side), seed) for side in (32, 128))
        shown = np.kron(small, np.ones((4, 4), bool))
        assert distance_transform_edt(~large)[shown].max() < 4 * np.sqrt(2)
        assert distance_transform_edt(~shown)[large].max() < 4 * np.sqrt(2)


@pytest.mark.parametrize("side", [16, 32, 64, 128])
def test_large_defects_cover_more_than_400_of_128_x_128_pixels(side):
    masks = np.stack([draw(MixedLarge(), (side, side), seed) for seed in range(100)])
    assert masks.sum(axis=(1, 2)).min() * (128 / side) ** 2 > 400
    assert not all(draw(Crack(), (side, side), seed).mean() > 400 / 128**2 for seed in range(100))


@pytest.mark.parametrize(("mask", "most"), [(Crack(), 1 / 40), (Scratch(), 1 / 50)])
def test_cracks_and_scratches_are_thin_and_in_one_piece(mask, most):
    from scipy.ndimage import distance_transform_edt, label

    for seed in range(30):
        line = draw(mask, (128, 128), seed)
        assert distance_transform_edt(np.pad(line, 1)).max() < 128 * most + 3
        assert np.count_nonzero(line) > 128 * 0.05
    pieces = [label(draw(mask, (128, 128), n), np.ones((3, 3)))[1] for n in range(30)]
    assert np.median(pieces) == 1


def test_a_blob_is_thick():
    from scipy.ndimage import distance_transform_edt

    thickness = [
        distance_transform_edt(draw(IrregularDefect(), (128, 128), n)).max() for n in range(9)
    ]
    assert min(thickness) > 128 * 0.03


# A library of masks


@pytest.fixture
def library(tmp_path):
    save_masks(tmp_path / "masks", "crack", [4, 4, 4])
    save_masks(tmp_path / "masks", "cut", [16, 32])
    (tmp_path / "masks" / "licence.txt").write_text("no mask")
    return tmp_path / "masks"


def zipped(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


def encrypt(path):
    """Set the flag of every member, as an archive with a password has it."""
    data = bytearray(path.read_bytes())
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for place in re.finditer(re.escape(mark), bytes(data)):
            data[place.start() + flag] |= 1
    path.write_bytes(data)


def areas(mask, side=64):
    return {int(draw(mask, (side, side), seed).sum()) for seed in range(60)}


def test_masks_of_a_library_are_filtered_by_kind_and_area(library):
    assert areas(Library(str(library))) == {16, 256, 1024}
    assert areas(Library(str(library), kinds=("crack",))) == {16}
    assert areas(Library(str(library), area=(400 / 128**2, 1))) == {256, 1024}
    assert areas(Library(str(library), area=(0, 0.1))) == {16, 256}


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped])
def test_photographs_beside_the_truth_and_hidden_files_are_no_masks(library, pack):
    before = library_hash(library)
    photograph = np.full((64, 64), 200, np.uint8)
    (library / "test" / "crack").mkdir(parents=True)
    Image.fromarray(photograph).save(library / "test/crack/000.png")
    (library / "ground_truth/crack/._000_mask.png").write_bytes(b"left by a file manager")
    path = pack(library)
    assert areas(Library(str(path), kinds=("crack",))) == {16}
    assert library_hash(path) == before


def test_a_library_s_mask_marks_every_touched_pixel(library):
    """Squares of 4 pixels at 0, 1 and 2, 4 times smaller: 1 pixel, then 2 x 2."""
    assert areas(Library(str(library), kinds=("crack",)), side=16) == {1, 4}


def test_a_zip_file_and_its_folder_are_the_same_library(library):
    archive = zipped(library)
    for seed in range(5):
        folder, packed = (draw(Library(str(path)), seed=seed) for path in (library, archive))
        assert np.array_equal(folder, packed)
    assert library_hash(library) == library_hash(archive)
    (library / "ground_truth/cut/000_mask.png").unlink()
    assert library_hash(library) != library_hash(archive)


def test_the_masks_of_an_archive_are_collected_without_its_photographs(library, tmp_path):
    (library / "test" / "crack").mkdir(parents=True)
    Image.fromarray(np.full((64, 64), 200, np.uint8)).save(library / "test/crack/000.png")
    for name in "ab":
        collect_masks(zipped(library), tmp_path / name / "masks.zip")
    collected = tmp_path / "a" / "masks.zip"
    assert library_hash(collected) == library_hash(library)
    assert zipfile.ZipFile(collected).namelist() == [
        f"ground_truth/{name}.png"
        for name in (
            "crack/000_mask",
            "crack/001_mask",
            "crack/002_mask",
            "cut/000_mask",
            "cut/001_mask",
        )
    ]
    assert collected.read_bytes() == (tmp_path / "b" / "masks.zip").read_bytes()


def test_an_archive_with_a_member_outside_of_it_is_refused(library, tmp_path):
    archive = zipped(library)
    before = set(tmp_path.parent.rglob("*"))
    assert areas(Library(str(archive), kinds=("cut",))) == {256, 1024}
    assert set(tmp_path.parent.rglob("*")) == before
    with zipfile.ZipFile(archive, "a") as stream:
        stream.write(library / "ground_truth/cut/000_mask.png", "../cut/evil_mask.png")
    with pytest.raises(InputError, match="would leave the archive's folder; refused"):
        library_hash(archive)


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (None, {"kinds": ("hole",)}, "masks.zip: no mask of kind hole in it"),
        (None, {"area": (0.5, 1)}, "of 5 masks of any kind none covers 0.5 to 1 of 32 x 32"),
        (None, {"path": "nowhere"}, "nowhere: no such file or folder"),
        (lambda path: path.write_bytes(path.read_bytes()[:500]), {}, "not a whole zip file"),
        (lambda path: encrypt(path), {}, "masks.zip: ground_truth/crack/000_mask.png: .*encrypted"),
    ],
)
def test_a_library_of_no_use_is_named(library, spoil, changes, message):
    archive = zipped(library)
    if spoil is not None:
        spoil(archive)
    with pytest.raises(InputError, match=message):
        draw(Library(**{"path": str(archive)} | changes), (32, 32))


def test_a_damaged_mask_is_named(library):
    (library / "ground_truth/cut/000_mask.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cut/000_mask.png: not an image"):
        draw(Library(str(library)))


# Fills


def test_the_mean_colour_is_each_channel_s_own_mean_under_the_mask(images):
    case = make_case(images, range(7), Block(5, "random"), MeanColour(), seed=0, name="case")
    for clean, corrupted, mask in zip(case.clean, case.corrupted, case.mask, strict=True):
        for before, after in zip(clean, corrupted, strict=True):
            assert np.unique(after[mask]).size == 1
            assert after[mask][0] == pytest.approx(sum(map(float, before[mask])) / 25, abs=1e-6)


def test_noise_has_the_given_mean_and_spread():
    images = np.zeros((1, 3, 200, 200), np.float32)
    content = Noise(-0.5, 2).draw(images, 0, None, np.random.default_rng(0))
    assert np.abs(content.mean(axis=(1, 2)) + 0.5).max() < 0.05
    assert np.abs(content.std(axis=(1, 2)) - 2).max() < 0.05
    channels = np.corrcoef(content.reshape(3, -1))
    assert np.abs(channels - np.eye(3)).max() < 0.02


def test_clipped_noise_of_the_paper_is_black_for_half_of_the_pixels(images):
    case = make_case(images, range(7), Block(16), Noise(-1, 1), seed=0, name="case")
    assert 0.47 < (case.corrupted == -1).mean() < 0.53


def test_a_constant_is_constant(images):
    case = make_case(images, range(7), Block(4), Constant(-1), seed=0, name="case")
    assert (np.moveaxis(case.corrupted, 1, -1)[case.mask] == -1).all()


def test_a_patch_is_another_image_at_the_same_place(images):
    sources = []
    for seed in range(30):
        case = make_case(images, [2], Block(6), Patch(), seed=seed, name="case")
        inside = case.corrupted[0][:, case.mask[0]]
        matches = [n for n in range(7) if np.array_equal(images[n][:, case.mask[0]], inside)]
        sources += matches
    assert len(sources) == 30
    assert set(sources) == {0, 1, 3, 4, 5, 6}


# Bad settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "corruption: None; allowed: block, random, irregular"),
        ({"corruption": "blok"}, "corruption: 'blok'"),
        ({"corruption": "block", "size": 4}, "fill: None; expected an object"),
        ({"corruption": "block", "size": 0}, "size: 0; must be at least 1"),
        ({"corruption": "block"}, "key 'size' is missing"),
        ({"corruption": "block", "size": 2.5}, "size: 2.5; Input should be a valid integer"),
        ({"corruption": "block", "size": 4, "position": "left"}, "'left'; allowed: centre or"),
        ({"corruption": "block", "size": 4, "fraction": 0.1}, "unknown key 'fraction'"),
        ({"corruption": "random", "fraction": 0}, "fraction: 0.0; must lie between 0 and 1"),
        ({"corruption": "random", "fraction": 1}, "fraction: 1.0; must lie between"),
        ({"corruption": "irregular", "area": [0.2, 0.1]}, r"area: \[0.2, 0.1\]; expected"),
        ({"corruption": "irregular", "area": [0, 0.1]}, "low <= high < 1"),
        ({"corruption": "crack", "length": 1}, "unknown key 'length'; allowed: none"),
        ({"corruption": "library"}, "key 'path' is missing"),
        ({"corruption": "library", "path": "x", "area": [1, 0]}, r"area: \[1.0, 0.0\]; expected"),
        ({"corruption": "irregular", "area": [0.1]}, r"area: \[0.1\]"),
        ({"corruption": "irregular", "area": 0.1}, "area: 0.1; Input should be a valid array"),
        ({"corruption": "block", "size": 4, "fill": {"kind": "x"}}, "kind: 'x'; allowed: noise"),
        ({"corruption": "block", "size": 4, "fill": {"kind": "noise", "sd": -1}}, "sd: -1"),
        ({"corruption": "block", "size": 4, "fill": {"kind": "constant", "value": 2}}, "value: 2"),
        ({"corruption": "block", "size": 4, "fill": {"kind": "constant"}}, "'value' is missing"),
        ({"corruption": "block", "size": 4, "fill": {"kind": "patch", "size": 1}}, "allowed: none"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(values, message):
    default = {} if "expected an object" in message else {"fill": {"kind": "patch"}}
    with pytest.raises(InputError, match=message) as caught:
        read_corruption(default | values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "fill", "count", "message"),
    [
        (Block(17), Constant(0), 2, r"size: 17; larger than the image \(16 x 16\)"),
        (Irregular([0.0001, 0.0002]), Constant(0), 2, "no whole number of pixels"),
        (RandomPixels(0.001), Constant(0), 2, "fraction: 0.001; rounds to no pixel of a 16 x 16"),
        (Block(4), Patch(), 1, "needs at least 2 images, found 1"),
    ],
)
def test_corruption_that_does_not_fit_is_named(images, mask, fill, count, message):
    with pytest.raises(InputError, match=message):
        make_case(images[:count], [0], mask, fill, seed=0, name="case")


# Corruption that the images came with


def test_given_masks_make_a_case_whose_clean_images_are_unknown(images):
    masks = np.random.default_rng(1).integers(0, 2, (7, 16, 16), dtype=np.uint8)
    case = given_case(images, masks)
    assert np.array_equal(case.corrupted, images) and case.corrupted.dtype == np.float32
    assert np.array_equal(case.mask, masks == 1) and case.mask.dtype == bool
    assert case.clean.shape == images.shape and case.clean.dtype == np.float32
    assert np.isnan(case.clean).all()
    assert case.index.tolist() == list(range(7)) and case.index.dtype == np.int64


def test_given_masks_must_be_one_for_each_image(images):
    for shape in ((6, 16, 16), (7, 16, 15)):
        with pytest.raises(InputError, match="expected one for each of the images"):
            given_case(images, np.zeros(shape, np.uint8))


@pytest.mark.parametrize("name", ["kind", "group"])
def test_kinds_and_groups_are_one_for_each_image_and_survive_the_disk(tmp_path, images, name):
    masks, names = np.zeros((7, 16, 16), np.uint8), np.array(["crack", "good"] * 3 + ["hole"])
    save_case(tmp_path / "case.npz", given_case(images, masks, **{name: names}))
    assert getattr(load_case(tmp_path / "case.npz"), name).tolist() == names.tolist()
    save_case(tmp_path / "case.npz", given_case(images, masks))
    assert getattr(load_case(tmp_path / "case.npz"), name) is None
    with pytest.raises(InputError, match=rf"{name}s \(6,\); expected one for each of the 7"):
        given_case(images, masks, **{name: names[:6]})


def test_the_script_takes_given_masks_and_refuses_them_elsewhere(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), dtype=np.uint8)
    masks = np.zeros((3, 16, 16), np.uint8)
    masks[1, 4:8] = 1
    np.save(tmp_path / "test.npy", images)
    np.save(tmp_path / "test_masks.npy", masks)

    def start(settings, **more):
        paths = {"images": tmp_path / "test.npy", "output": tmp_path / "case.npz"}
        paths |= {"preview": tmp_path / "case.png", "name": "real"}
        return call("synthesise_case.py", settings=json.dumps(settings), **paths, **more)

    (tmp_path / "test_kinds.txt").write_text("good\ncrack\ngood\n")
    (tmp_path / "test_groups.txt").write_text("a\nb\na\n")
    given = {"masks": tmp_path / "test_masks.npy", "kinds": tmp_path / "test_kinds.txt"}
    given["groups"] = tmp_path / "test_groups.txt"
    done = start({"corruption": "given"}, **given)
    assert done.returncode == 0, done.stderr
    case = load_case(tmp_path / "case.npz")
    assert np.array_equal(case.mask, masks == 1)
    assert case.kind.tolist() == ["good", "crack", "good"]
    assert case.group.tolist() == ["a", "b", "a"]
    assert np.abs(case.corrupted[:, 0] * 127.5 + 127.5 - images[..., 0]).max() < 1e-3
    assert Image.open(tmp_path / "case.png").height < 3 * 64
    block = {"corruption": "block", "size": 3, "fill": {"kind": "patch"}}
    for settings, more, message in (
        ({"corruption": "given"}, {}, "--masks: missing"),
        ({"corruption": "given", "size": 3}, {}, "unknown key 'size'"),
        (block, {"masks": tmp_path / "test_masks.npy"}, "only the corruption given takes masks"),
        (block, {"kinds": tmp_path / "test_kinds.txt"}, "only the corruption given takes kinds"),
        (block, {"groups": given["groups"]}, "only the corruption given takes groups"),
    ):
        failed = start(settings, **more)
        assert failed.returncode == 1 and message in failed.stderr


# Files and scripts


def test_a_case_survives_the_disk(tmp_path, images):
    case = make_case(images, [1, 5], Block(4), Patch(), seed=0, name="case")
    save_case(tmp_path / "case.npz", case)
    read = load_case(tmp_path / "case.npz")
    for name in ("clean", "corrupted", "mask", "index"):
        assert np.array_equal(getattr(read, name), getattr(case, name))
        assert getattr(read, name).dtype == getattr(case, name).dtype


def call(script, **options):
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, SCRIPTS / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_script_corrupts_a_set(tmp_path):
    np.save(tmp_path / "test.npy", np.full((5, 16, 16, 3), 200, np.uint8))
    options = {
        "images": tmp_path / "test.npy",
        "name": "block",
        "output": tmp_path / "case.npz",
        "preview": tmp_path / "case.png",
    }
    settings = {"corruption": "block", "size": 6, "images": 3, "fill": {"kind": "noise"}}
    done = call("synthesise_case.py", settings=json.dumps(settings), **options)
    assert done.returncode == 0, done.stderr
    case = load_case(tmp_path / "case.npz")
    assert case.mask.sum() == 5 * 36 and case.clean[0, 0, 0, 0] == pytest.approx(200 / 127.5 - 1)
    assert Image.open(tmp_path / "case.png").height > 3 * 64
    failed = call("synthesise_case.py", settings=json.dumps(settings | {"size": 99}), **options)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1


def test_a_simulation_corrupts_the_same_generated_images_at_every_level(tmp_path):
    from rgi.models import Architecture, Generator, load_generator, save_generator

    torch.manual_seed(0)
    save_generator(tmp_path / "generator.pt", Generator(Architecture(16, 1, 8, (8, 8, 8))))
    cases = {}
    for level, count in ((-1, 3), (0.5, 5)):
        settings = {"images": count, "corruption": "block", "size": 8, "fill": {"kind": "noise"}}
        done = call(
            "synthesise_simulation.py",
            generator=tmp_path / "generator.pt",
            settings=json.dumps(settings),
            level=level,
            name="simulation",
            output=tmp_path / f"{level}.npz",
        )
        assert done.returncode == 0, done.stderr
        cases[level] = load_case(tmp_path / f"{level}.npz")
    low, high = cases[-1], cases[0.5]
    assert low.index.tolist() == [0, 1, 2] and len(high.index) == 5
    assert np.array_equal(low.clean, high.clean[:3])
    assert len({image.tobytes() for image in high.clean}) == 5
    assert low.mask.mean() == 0.25
    inside = {level: case.corrupted[:, 0][case.mask].mean() for level, case in cases.items()}
    assert inside[-1] < -0.5 < 0.2 < inside[0.5]
    assert load_generator(tmp_path / "generator.pt").latent_dim == 8


def test_a_case_keeps_the_kinds_of_its_defects_where_they_are_known(tmp_path):
    images, mask = np.zeros((2, 1, 4, 4), np.float32), np.zeros((2, 4, 4), bool)
    case = Case(images, images, mask, np.arange(2))
    for kinds in (None, np.array(["crack", "good"])):
        save_case(tmp_path / "case.npz", replace(case, kind=kinds))
        found = load_case(tmp_path / "case.npz").kind
        assert (found is None) == (kinds is None)
        assert kinds is None or found.tolist() == kinds.tolist()

"""`python -m rgi restore | detect`: pictures and tables of a person's own, none computed twice."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import typer
import yaml
from PIL import Image
from small_inversion import ARCHITECTURE, corrupt

from rgi.__main__ import command
from rgi.data import to_uint8
from rgi.data.inputs import find_pictures
from rgi.errors import InputError
from rgi.evaluation import dice
from rgi.evaluation.defects import find_defects
from rgi.evaluation.selection import COLUMNS
from rgi.files import load_arrays
from rgi.inspection import inverter
from rgi.inversion import invert
from rgi.inversion.methods import configured
from rgi.models import Discriminator, Generator, save_discriminator, save_generator
from rgi.reporting.overlay import outline

restore = command("restore", None, "")
detect = command("detect", "dice", "")
OTHER = {"method": "rgi", "settings": '{"pool": 8, "stages": [[1, 2]]}'}
SETTINGS = '{"pool": 64, "stages": [[4, 4], [1, 40]]}'


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    generator, discriminator = Generator(ARCHITECTURE).eval(), Discriminator(ARCHITECTURE).eval()
    save_generator(folder / "generator.pt", generator)
    save_discriminator(folder / "discriminator.pt", discriminator)
    return folder, generator, discriminator


@pytest.fixture
def options(networks):
    return {"generator": networks[0] / "generator.pt", "settings": SETTINGS}


@pytest.fixture(scope="module")
def corrupted(networks):
    """Five grey pictures of 8 x 8 pixels, uint8, and where they are corrupted."""
    images, mask, _ = corrupt(networks[1])
    return to_uint8(images)[..., 0], mask.numpy()


@pytest.fixture
def photos(tmp_path, corrupted):
    """A folder of pictures: photos/0.png and on, photos/line/3.png, photos/line/4.png."""
    folder = tmp_path / "photos"
    for number, pixels in enumerate(corrupted[0]):
        save(folder / ("line" if number > 2 else ".") / f"{number}.png", pixels)
    return folder


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def read(path):
    return np.asarray(Image.open(path))


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def forbid(monkeypatch):
    """From now on nothing may be computed."""

    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(inverter, "invert", refuse)


def test_restored_pictures_are_those_of_the_library(photos, options, networks, tmp_path):
    restore([photos / "1.png"], out=tmp_path / "out", lam=0.1, **options)
    pixels = read(photos / "1.png")
    found = invert(
        torch.from_numpy(pixels[None, None] / np.float32(127.5) - 1),
        networks[1],
        configured("rgi-profile", {"batch": 4, "pool": 64, "stages": [[4, 4], [1, 40]]}),
        0.1,
        discriminator=networks[2],
    )
    expected, mask = to_uint8(found.restored)[0, ..., 0], found.score[0].numpy() > 0.5
    assert mask.any() and not mask.all()
    assert np.array_equal(read(tmp_path / "out/restored/1.png"), expected)
    assert np.array_equal(read(tmp_path / "out/mask/1.png"), mask * np.uint8(255))
    composite = np.where(mask, expected, pixels)
    assert np.array_equal(read(tmp_path / "out/composite/1.png"), composite)


def test_defects_are_outlined_and_measured(photos, options, tmp_path):
    out = tmp_path / "out"
    detect([photos], out=out, threshold=0.3, **options)
    summary = pd.read_csv(out / "summary.csv").set_index("name")
    names = [f"photos/{name}" for name in ("0", "1", "2", "line/3", "line/4")]
    assert list(summary.index) == names
    for name in names:
        score = load_arrays(out / f"found/{name}.npz", "score")["score"][0]
        mask = score > 0.3
        defects = find_defects(mask, score)
        written = pd.read_csv(out / f"defects/{name}.csv")
        pd.testing.assert_frame_equal(written, defects, rtol=1e-5, check_dtype=False)
        assert np.array_equal(read(out / f"mask/{name}.png"), mask * np.uint8(255))
        assert abs(read(out / f"score/{name}.png") / 255 - score).max() <= 0.5 / 255 + 1e-6
        overlay = outline(read(photos.parent / f"{name}.png")[..., None], mask)
        assert np.array_equal(read(out / f"overlay/{name}.png"), overlay)
        row = summary.loc[name]
        assert row["image"] == str(photos.parent / f"{name}.png")
        assert (row["threshold"], row["defects"]) == (0.3, len(defects))
        assert row["corrupted_fraction"] == pytest.approx(mask.mean(), abs=1e-6)
        assert row["score_max"] == pytest.approx(score.max(), abs=1e-5)
        assert list(row[["cut_top", "cut_left", "cut_height", "cut_width"]]) == [0, 0, 8, 8]


def test_planted_corruption_is_found(photos, options, corrupted, tmp_path):
    settings = '{"pool": 4096, "stages": [[16, 10], [2, 200]]}'
    options |= {"settings": settings, "lam": 0.01}
    detect([photos], out=tmp_path / "out", **options)
    names = ("0", "1", "2", "line/3", "line/4")
    found = np.stack([read(tmp_path / f"out/mask/photos/{name}.png") > 0 for name in names])
    assert dice(found, corrupted[1]).mean() > 0.9


def test_a_picture_does_not_depend_on_its_company(photos, options, tmp_path):
    detect([photos], out=tmp_path / "all", **options)
    detect([photos / "line/4.png"], out=tmp_path / "one", **options)
    for name in ("restored", "score"):
        alone = load_arrays(tmp_path / "one/found/4.npz", name)[name]
        among = load_arrays(tmp_path / "all/found/photos/line/4.npz", name)[name]
        assert np.array_equal(alone, among)


def test_the_other_command_and_another_threshold_compute_nothing(
    photos, options, tmp_path, monkeypatch
):
    detect([photos], out=tmp_path / "out", **options)
    forbid(monkeypatch)
    restore([photos], out=tmp_path / "out", **options)
    assert (tmp_path / "out/composite/photos/0.png").exists()
    shutil.rmtree(tmp_path / "out/composite")
    detect([photos], out=tmp_path / "out", threshold=0.99, **options)
    assert read(tmp_path / "out/mask/photos/0.png").sum() == 0


@pytest.mark.parametrize(
    ("act", "some", "stale"),
    [
        (detect, ["0.png", "1.png"], "mask/1.png"),  # a picture that is not given again
        (restore, ["0.png"], "overlay/0.png"),  # what this command does not write
    ],
)
def test_masks_of_two_thresholds_do_not_mix(
    photos, options, tmp_path, monkeypatch, act, some, stale
):
    out = tmp_path / "out"
    detect([photos / name for name in some], out=out, threshold=0.3, **options)
    forbid(monkeypatch)
    before = {name: (out / name).read_bytes() for name in files(out)}
    message = (
        rf"{stale}: made with threshold 0.3, 0.6 was asked for; delete .*{stale.split('/')[0]}"
    )
    with pytest.raises(InputError, match=message):
        act([photos / "0.png"], out=out, threshold=0.6, **options)
    assert {name: (out / name).read_bytes() for name in files(out)} == before

    for kind in ("mask", "overlay", "defects"):
        shutil.rmtree(out / kind)
    act([photos / "0.png"], out=out, threshold=0.6, **options)
    with pytest.raises(InputError, match="made with threshold 0.6, 0.3 was asked for"):
        (detect if act is restore else restore)(
            [photos / "0.png"], out=out, threshold=0.3, **options
        )


def test_a_changed_picture_is_computed_again(photos, options, corrupted, tmp_path):
    restore([photos], out=tmp_path / "out", **options)
    before = read(tmp_path / "out/restored/photos/0.png")
    save(photos / "0.png", corrupted[0][1])
    restore([photos], out=tmp_path / "out", **options)
    after = read(tmp_path / "out/restored/photos/0.png")
    assert np.array_equal(after, read(tmp_path / "out/restored/photos/1.png"))
    assert not np.array_equal(after, before)


def test_what_was_done_before_a_kill_is_kept(photos, options, tmp_path, monkeypatch):
    computed = []

    def dying(images, *arguments, **others):
        computed.append(len(images))
        if len(computed) == 2:
            raise KeyboardInterrupt
        return invert(images, *arguments, **others)

    monkeypatch.setattr(inverter, "invert", dying)
    monkeypatch.setattr(inverter, "SHARD", 4)
    with pytest.raises(KeyboardInterrupt):
        restore([photos], out=tmp_path / "out", **options)
    assert len(files(tmp_path / "out/restored")) == 4
    restore([photos], out=tmp_path / "out", **options)
    assert computed == [4, 1, 1]
    assert len(files(tmp_path / "out/restored")) == 5


@pytest.mark.parametrize(
    ("change", "named"),
    [({"lam": 0.2}, "lam: 0.05 .* 0.2 "), ({"seed": 1}, "seed"), ({"method": "l2"}, "lam|profile")],
)
def test_other_settings_want_another_folder(photos, options, tmp_path, change, named):
    restore([photos], out=tmp_path / "out", **options)
    before = files(tmp_path / "out")
    settings = {"settings": '{"stages": [[1, 2]], "pool": 8}'} if "method" in change else {}
    with pytest.raises(InputError, match=f"settings.yaml: ({named}).*another folder"):
        restore([photos], out=tmp_path / "out", **options | change | settings)
    assert files(tmp_path / "out") == before


def test_another_generator_wants_another_folder(photos, options, networks, tmp_path):
    restore([photos], out=tmp_path / "out", **options)
    save_generator(tmp_path / "other.pt", Generator(ARCHITECTURE, seed=1))
    options |= {
        "generator": tmp_path / "other.pt",
        "discriminator": networks[0] / "discriminator.pt",
    }
    with pytest.raises(InputError, match=r"settings.yaml: generator: .*another folder"):
        restore([photos], out=tmp_path / "out", **options)


def test_one_bad_picture_does_not_lose_the_others(photos, options, tmp_path, capsys):
    (photos / "notes.txt").write_text("no picture")
    (photos / "torn.png").write_bytes((photos / "0.png").read_bytes()[:60])
    with pytest.raises(typer.Exit) as ended:
        detect([photos], out=tmp_path / "out", **options)
    assert ended.value.exit_code == 1
    errors = capsys.readouterr().err
    assert f"error: {photos / 'notes.txt'}: not an image" in errors
    assert f"error: {photos / 'torn.png'}: " in errors
    assert "error: 2 of 7 pictures were left out" in errors
    assert len(pd.read_csv(tmp_path / "out/summary.csv")) == 5


def test_pictures_are_cut_and_converted_as_in_training(options, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    save(tmp_path / "wide.png", colours)
    for name, crop, corner in (("a", "centre", (0, 5, 20, 25)), ("b", "2,3,16,12", (3, 2, 15, 18))):
        restore([tmp_path / "wide.png"], out=tmp_path / name, crop=crop, threshold=1e-6, **options)
        cut = Image.fromarray(colours).convert("L").crop(corner)
        expected = np.asarray(cut.resize((8, 8), Image.Resampling.LANCZOS))
        clean = read(tmp_path / name / "mask/wide.png") == 0
        assert clean.any()  # there the composite is the input
        composite = read(tmp_path / name / "composite/wide.png")
        assert np.array_equal(composite[clean], expected[clean])


def test_colour_pictures_stay_in_colour(tmp_path):
    colour = replace(ARCHITECTURE, channels=3)
    save_generator(tmp_path / "generator.pt", Generator(colour))
    save_discriminator(tmp_path / "discriminator.pt", Discriminator(colour))
    save(tmp_path / "grey.png", np.full((9, 9), 90, np.uint8))
    for act in (restore, detect):
        act(
            [tmp_path / "grey.png"],
            generator=tmp_path / "generator.pt",
            out=tmp_path / "out",
            settings=SETTINGS,
        )
    assert read(tmp_path / "out/restored/grey.png").shape == (8, 8, 3)
    assert read(tmp_path / "out/overlay/grey.png").shape == (512, 512, 3)


def test_a_residual_is_no_mask_without_a_threshold(photos, options, tmp_path):
    options |= {"method": "l2", "settings": '{"stages": [[1, 2]], "pool": 8}'}
    restore([photos / "0.png"], out=tmp_path / "out", **options)
    expected = ["found/.0.npz.sha256", "found/0.npz", "restored/0.png", "settings.yaml"]
    assert files(tmp_path / "out") == expected
    with pytest.raises(InputError, match="threshold: not given"):
        detect([photos / "0.png"], out=tmp_path / "out", **options)
    detect([photos / "0.png"], out=tmp_path / "out", threshold=0.5, **options)
    score = load_arrays(tmp_path / "out/found/0.npz", "score")["score"][0]
    assert np.array_equal(read(tmp_path / "out/mask/0.png") > 0, score > 0.5)
    shown = read(tmp_path / "out/score/0.png") / 255 * 2  # 2: from -1 to 1, one channel
    assert abs(shown - score).max() <= 1 / 255 + 1e-6


def test_lambda_comes_from_a_selection(photos, options, tmp_path):
    rows = [("psnr", "all", "0.2", 20), ("psnr", "0", "0.4", 20), ("dice", "all", "0.02", 0.9)]
    path = tmp_path / "rgi-profile.csv"
    pd.DataFrame(rows, columns=COLUMNS).to_csv(path, index=False)
    for act, lam in ((restore, 0.2), (detect, 0.02)):
        out = tmp_path / str(lam)
        act([photos / "0.png"], out=out, lam_from=path, **options)
        assert yaml.safe_load((out / "settings.yaml").read_text())["lam"] == lam
    with pytest.raises(InputError, match="--lam-from: --lam is given, too"):
        detect([photos / "0.png"], out=tmp_path / "o", lam=0.1, lam_from=path, **options)
    with pytest.raises(InputError, match=r"rgi-profile.csv: .* allowed: a file rgi.csv, .* --lam"):
        detect([photos / "0.png"], out=tmp_path / "o", lam_from=path, **options | OTHER)


def test_names_are_unique_and_hidden_files_no_pictures(photos, tmp_path):
    (photos / ".cache").mkdir()
    (photos / ".cache/0.png").write_text("hidden")
    out = photos / "out"
    save(out / "mask/0.png", np.zeros((8, 8), np.uint8))
    save(tmp_path / "more/0.png", np.zeros((8, 8), np.uint8))
    single = tmp_path / "more/0.png"
    pictures = find_pictures([photos / "line", single, photos / "line/3.png"], out)
    assert [picture.name for picture in pictures] == ["line/3", "line/4", "0"]
    assert len(find_pictures([photos], out)) == 5
    with pytest.raises(InputError, match=r"photos/0.png and .*more/0.png: both would be named 0;"):
        find_pictures([photos / "0.png", single], out)
    save(photos / "0.bmp", np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match=r"0.bmp and .*0.png: both would be named photos/0;"):
        find_pictures([photos], out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": ["missing.png"]}, "missing.png: no such file or folder"),
        ({"images": ["empty"]}, "empty: no file in it"),
        ({"out": "photos"}, "photos: no file in it"),
        ({"out": "other"}, "out: .*other holds other files"),
        ({"out": "file"}, "out: .*file: File exists"),
        ({"generator": "none.pt"}, "none.pt: no such file"),
        ({"generator": "file"}, "file: not a readable generator"),
        ({"generator": "lone/generator.pt"}, "lone/discriminator.pt: no such file"),
        ({"discriminator": "small/discriminator.pt"}, "discriminator.pt: resolution 16; .*is 8"),
        ({"discriminator": "colour.pt"}, "colour.pt: channels 3; .*is 1"),
        ({"method": "magic"}, "--method: 'magic'; allowed: l2"),
        ({"method": "yeh-with-mask", "settings": "{}"}, "needs the true mask"),
        ({"method": "l2", "settings": "{}", "lam": 0.1}, "lam: 0.1; this method has none"),
        ({"lam": -1.0}, "lam: -1.0; allowed: a number above 0"),
        ({"threshold": 0.0}, "threshold: 0.0; allowed: above 0, at most 1"),
        ({"threshold": float("nan")}, "threshold: nan"),
        ({"crop": "1,2,3"}, "--crop: 1,2,3; allowed: centre"),
        ({"crop": "0,0,0,4"}, "--crop: 0,0,0,4; allowed: centre"),
        ({"settings": '{"pool": "many"}'}, "--settings: pool: 'many'"),
        ({"settings": '{"speed": 3}'}, "--settings: unknown key 'speed'"),
        ({"device": "tpu"}, "device: 'tpu' is unknown"),
    ],
)
def test_bad_input_is_named_before_anything_is_written(
    photos, options, networks, tmp_path, change, message
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    save(tmp_path / "other/mask/0.png", np.zeros((8, 8), np.uint8))
    save_generator(tmp_path / "lone/generator.pt", networks[1])
    larger = replace(ARCHITECTURE, resolution=16, widths=(8, 8, 8))
    save_discriminator(tmp_path / "small/discriminator.pt", Discriminator(larger))
    save_discriminator(tmp_path / "colour.pt", Discriminator(replace(ARCHITECTURE, channels=3)))
    before = files(tmp_path)
    paths = {
        key: tmp_path / change[key]
        for key in ("out", "generator", "discriminator")
        if key in change
    }
    images = [tmp_path / name for name in change.pop("images", ["photos"])]
    with pytest.raises(InputError, match=message):
        detect(images, **{"out": tmp_path / "out"} | options | change | paths)
    assert files(tmp_path) == before


def test_the_outline_is_every_pixel_beside_the_mask():
    source = np.random.default_rng(0)
    image, mask = source.integers(0, 200, (512, 512, 1), dtype=np.uint8), np.zeros((512, 512), bool)
    mask[source.integers(0, 512, 40), source.integers(0, 512, 40)] = True
    mask[100:140, 0:30] = True
    drawn = outline(image, mask)
    padded = np.pad(mask, 1)
    beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    changed = (drawn != image).any(2)
    assert np.array_equal(changed, beside & ~mask)


def test_help_starts_without_torch():
    program = "import rgi.__main__, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_it_runs_from_a_shell(photos, options, tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "rgi", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )

    common = ("--generator", options["generator"], "--settings", SETTINGS)
    done = run("detect", photos / "0.png", photos / "line", *common, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "out/summary.csv")) == 3
    refused = run("restore", photos, *common, "--out", Path(__file__))
    assert refused.returncode == 1
    (line,) = [line for line in refused.stderr.splitlines() if " INFO device: " not in line]
    assert line.startswith("error: ")
    assert "Traceback" not in refused.stderr

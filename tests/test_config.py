"""A bad config stops before any job: one line, the key, the value, what is allowed."""

import copy
import dataclasses
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow"))

import config_checks  # noqa: E402
from config_reading import read_config, read_experiment  # noqa: E402

from rgi.errors import InputError  # noqa: E402
from rgi.inversion.methods import configured  # noqa: E402
from rgi.models import AutoencoderArchitecture  # noqa: E402
from rgi.models.autoencoder import SMALLEST  # noqa: E402
from rgi.models.progressive import GROUP  # noqa: E402
from rgi.reporting.published import projected_auroc, published_lambda  # noqa: E402
from rgi.settings import read_settings  # noqa: E402
from rgi.training import AutoencoderSettings, EncoderSettings, read_autoencoder  # noqa: E402

# Cases that the default config lacks and some of the mistakes below need.
CASES = {
    "grey": {"corruption": "block", "size": 2, "fill": {"kind": "constant", "value": 0}},
    "own": {"corruption": "given"},
    "coarse": {"corruption": "super-resolution", "factor": 4},
    "sensed": {"corruption": "compressed-sensing", "fraction": 0.25},
    "noisy": {"corruption": "denoising", "noise": 0.2},
}
METHODS = {
    "ilo-mse": {"family": "inversion"},
    "deep": {
        "family": "inversion",
        "preset": "ilo-mse",
        "settings": {"rounds": [[1, 9], [4, 9]]},
    },
}
SOLVER = {
    "datasets": ["digits", "brick"],
    "cases": ["block"],
    "levels": [0],
    "lam": 0.1,
    "lines": {"joint": ["rgi"], "known mask": ["yeh-with-mask"]},
}
# (what is wrong, where, the bad value, words of the message)
NAN = float("nan")
ANOMALY = {"datasets": ["digits"], "cases": ["block"], "methods": ["rgi", "median"]}
AUTOENCODER = {"widths": [8, 8], "window": 7}
PROJECTED = {
    "methods": {"vae-grad": {"family": "projection", "lam": [0.05]}},
    "tables": {"anomaly-detection": ANOMALY | {"methods": ["vae-grad"]}},
}
BAD = [
    ("unknown key", "sede", 1, r"'sede' was unexpected\); allowed: seed, device"),
    ("typo in a nested key", "datasets.digits.resolutoin", 16, "datasets.digits: .*resolutoin"),
    ("wrong type", "seed", "one", "seed: 'one' is not of type 'integer'"),
    ("negative seed", "seed", -1, "seed: -1 is less than the minimum of 0"),
    ("unknown device", "device", "tpu", "device: 'tpu' is not one of"),
    ("unknown metric", "metrics", ["mse"], "metrics.0: 'mse' is not one of"),
    ("unknown source", "datasets.digits.source", "mnist", "source: 'mnist' is not one of"),
    ("no power of two", "datasets.digits.resolution", 20, "resolution: 20 is not one of"),
    ("fewer images than folds", "datasets.digits.test", 3, "at least as many images as folds"),
    (
        "missing folder",
        "datasets.mine",
        {"source": "folder", "path": "nowhere", "resolution": 16, "channels": 1, "test": 8},
        "datasets.mine.path: 'nowhere' is not allowed; allowed: an existing folder",
    ),
    (
        "missing archive",
        "datasets.tiles",
        {"source": "magnetic-tile", "resolution": 16, "test": 8, "archive": "nowhere.zip"},
        "datasets.tiles.archive: 'nowhere.zip' is not allowed; allowed: an existing file or folder",
    ),
    (
        "missing archive of several",
        "datasets.cars",
        {"source": "cars", "resolution": 16, "test": 8, "archive": [".", "nowhere.tgz"]},
        "datasets.cars.archive: 'nowhere.tgz' is not allowed; allowed: an existing file or folder",
    ),
    (
        "normal images beside clean ones",
        "datasets.nuts",
        {
            "source": "mvtec-ad",
            "category": "metal_nut",
            "part": "clean",
            "resolution": 16,
            "test": 8,
            "normal": 4,
        },
        "datasets.nuts.normal: 4 is not allowed; allowed: 0 with part clean",
    ),
    (
        "more test images than are held out",
        "datasets.faces",
        {"source": "celeba", "resolution": 16, "test": 80, "held_out": 79},
        "datasets.faces.test: 80 is not allowed; allowed: at most 79, the key held_out",
    ),
    (
        "more defects than there are",
        "datasets.tiles",
        {"source": "magnetic-tile", "resolution": 16, "test": 400},
        "tiles.test: 400 is greater",
    ),
    ("missing mirror", "mirror", "nowhere", "mirror: 'nowhere' .* existing folder or a base URL"),
    (
        "normal images of no masks",
        "datasets.mine",
        {"source": "folder", "path": ".", "resolution": 16, "channels": 1, "test": 8, "normal": 4},
        "datasets.mine.normal: 4 is not allowed; allowed: with the key masks only",
    ),
    (
        "missing library",
        "cases.real",
        {"corruption": "library", "path": "nowhere", "fill": {"kind": "mean-colour"}},
        "cases.real.path: 'nowhere' is not allowed; allowed: an existing folder or archive",
    ),
    (
        "a library of two places",
        "cases.real",
        {
            "corruption": "library",
            "path": ".",
            "source": "mvtec-ad",
            "fill": {"kind": "mean-colour"},
        },
        "cases.real.path: '.' is not allowed; allowed: either a path or a source",
    ),
    (
        "a library of no place",
        "cases.real",
        {"corruption": "library", "fill": {"kind": "mean-colour"}},
        "cases.real.path: None is not allowed; allowed: either a path or a source",
    ),
    (
        "no library",
        "cases.real",
        {"corruption": "library", "path": str(ROOT / "README.md"), "fill": {"kind": "mean-colour"}},
        "cases.real: .*README.md: not a whole zip or tar file",
    ),
    (
        "a library without masks",
        "cases.real",
        {"corruption": "library", "path": str(ROOT / "rgi"), "fill": {"kind": "mean-colour"}},
        "cases.real: .*rgi: no mask of any kind in it",
    ),
    (
        "a drawn defect's setting",
        "cases.x",
        {"corruption": "crack", "size": 3, "fill": {"kind": "mean-colour"}},
        "cases.x: .*'size'",
    ),
    ("a width too few", "generators.digits.widths", [8, 8], "3 numbers, one per level"),
    ("unknown precision", "generators.digits.precision", "half", "'half' is not one of"),
    (
        "a batch of broken groups",
        "generators.digits.batch",
        18,
        "18 .* multiples of 4, 4 for",
    ),
    ("a batch not shared out", "gpus", 8, "batch: 16 is not allowed; allowed: multiples of 32"),
    ("encoder of no generator", "encoders.digit", {}, "encoders.digit: .* allowed: digits, brick"),
    (
        "a start by an encoder that is not there",
        "methods.rgi.settings",
        {"encoded_start": True, "pool": 0},
        "encoders: no entry for data set 'digits', which method 'rgi' needs; or set its encoded",
    ),
    ("autoencoder of no data set", "autoencoders.digit", {"vae": AUTOENCODER}, "allowed: digits"),
    ("unknown autoencoder", "autoencoders.digits.ae", AUTOENCODER, "'ae' .* allowed: l2-ae, dsae"),
    (
        "an autoencoder for larger images",
        "autoencoders.digits.vae",
        AUTOENCODER | {"widths": [8, 8, 8]},
        "digits.vae.widths: .* at most 2 numbers for 16 pixels, so that 4 are left",
    ),
    (
        "a window larger than a crop",
        "autoencoders.digits.vae",
        {"widths": [8], "window": 9, "crop": 8},
        "digits.vae.window: 9 is not allowed; allowed: at most 8",
    ),
    (
        "a decoder's deviation that is learned",
        "autoencoders.digits.gamma-vae",
        AUTOENCODER | {"deviation": 0.25},
        "gamma-vae.deviation: 0.25 is not allowed; allowed: 1; vae alone has it",
    ),
    ("a crop of more than there is", "autoencoders.digits.vae.crop", 32, "vae.crop: 32 .* most 16"),
    (
        "a projection without lambda",
        "methods.vae-grad",
        {"family": "projection"},
        "vae-grad needs a grid",
    ),
    (
        "a reconstruction with steps",
        "methods.vae",
        {"family": "projection", "settings": {"steps": 9}},
        "vae: setting 'steps' is unknown; allowed: batch",
    ),
    ("generator of no data set", "generators.digit", {"latent_dim": 8, "widths": [8, 8]}, "digit"),
    ("block larger than the image", "cases.block.size", 60, "at most 16"),
    ("unknown corruption", "cases.block.corruption", "blok", "'blok' is not one of"),
    ("unknown fill", "cases.block.fill.kind", "grey", "'grey' is not one of"),
    ("fraction above one", "cases.random.fraction", 1.5, "fraction: 1.5"),
    ("an unknown factor", "cases.coarse.factor", 3, "factor: 3 is not one of"),
    ("no noise to take away", "cases.noisy.noise", 0, "cases.noisy.noise: 0"),
    (
        "a fill of what is observed",
        "cases.coarse.fill",
        {"kind": "patch"},
        "cases.coarse: .*'fill'",
    ),
    (
        "a mask where every pixel is degraded",
        "tables.inpainting",
        {"datasets": ["digits"], "cases": ["coarse"], "methods": ["ilo-mse", "yeh-with-mask"]},
        "methods: 'yeh-with-mask' is not allowed; allowed: .* case 'coarse' degrades every pixel",
    ),
    (
        "a mask to find where every pixel is degraded",
        "tables.inpainting",
        {"datasets": ["digits"], "cases": ["noisy"], "methods": ["rgi"]},
        "methods: 'rgi' is not allowed; allowed: methods without a mask",
    ),
    (
        "defects where every pixel is degraded",
        "tables.anomaly-detection",
        ANOMALY | {"cases": ["sensed"], "methods": ["median"]},
        "cases: 'sensed' is not allowed; allowed: cases of which some pixels",
    ),
    (
        "defects for a method that knows the operator",
        "tables.anomaly-detection.methods",
        ["ilo-mse"],
        "'ilo-mse' is not allowed; allowed: methods that are not given the mask",
    ),
    ("a simulation without a mask", "tables.simulation.case", "coarse", "cases.coarse.fill.kind"),
    (
        "a layer that no generator has",
        "tables.inpainting",
        {"datasets": ["digits"], "cases": ["block"], "methods": ["deep"]},
        r"methods.deep.settings.rounds: \[\[1, 9\], \[4, 9\]\] .* layers 1 to 3",
    ),
    ("rounds of nothing", "methods.ilo-mse.settings.rounds", [], "rounds is empty"),
    ("a case name with a path", "cases.a/b", {"corruption": "block", "size": 2}, "a/b"),
    (
        "areas in the wrong order",
        "cases.strokes",
        {"corruption": "irregular", "area": [0.3, 0.1], "fill": {"kind": "patch"}},
        "cases.strokes.area: .*the least area first",
    ),
    ("empty lambda grid", "methods.rgi.lam", [], r"methods.rgi.lam: \[\]"),
    ("lambda of zero", "methods.rgi.lam", [0], "methods.rgi.lam.0: 0"),
    ("lambda twice", "methods.rgi.lam", [0.1, 0.1], "non-unique"),
    ("lambda of a method without one", "methods.l2.lam", [0.1], "l2 has no lambda"),
    ("no lambda", "methods.x", {"family": "inversion", "preset": "rgi"}, "rgi needs a grid `lam`"),
    ("unknown family", "methods.rgi.family", "inversoin", "family: 'inversoin' is not allowed"),
    (
        "unknown preset",
        "methods.mine",
        {"family": "inversion"},
        "preset 'mine' .* is unknown; allowed: l2",
    ),
    (
        "unknown decomposition",
        "methods.pca",
        {"family": "low-rank", "lam": [1]},
        "methods.pca: preset 'pca' is unknown; allowed: rpca, rasl",
    ),
    (
        "alignment without maps",
        "methods.rpca",
        {"family": "low-rank", "lam": [1], "settings": {"reach": 0.1}},
        "methods.rpca: settings: unknown key 'reach'; allowed: references",
    ),
    (
        "maps without an inverse",
        "methods.rasl",
        {"family": "low-rank", "lam": [1], "settings": {"reach": 0.6}},
        "methods.rasl.settings.reach: 0.6 is greater than the maximum of 0.25",
    ),
    ("a decomposition without lambda", "methods.rasl", {"family": "low-rank"}, "rasl needs a grid"),
    (
        "missing weights",
        "methods.padim",
        {"family": "anomalib", "settings": {"backbone_weights": "nowhere.pth"}},
        "methods.padim.settings.backbone_weights: 'nowhere.pth' .*; allowed: an existing file",
    ),
    ("unknown setting", "methods.l2.settings.lr", 0.1, "methods.l2.settings: .*'lr'"),
    ("no method", "cases.simulation.settings.magic", {}, "methods that invert: .*l2, l1"),
    (
        "a simulation's schedule",
        "cases.simulation.settings.rgi.stages",
        [[1, 9], [2, 9]],
        "settings.rgi: rgi: stages .* must not increase",
    ),
    (
        "a simulation's unknown fidelity",
        "cases.simulation.settings.l2.fidelity",
        "l3",
        "settings.l2.fidelity: 'l3' is not one of",
    ),
    (
        "a detection's schedule",
        "cases.mixed-large.settings.rgi.stages",
        [[1, 9], [2, 9]],
        "mixed-large.settings.rgi: rgi: stages .* must not increase",
    ),
    ("a lambda that is nothing", "methods.rgi.lam", [1e-300], "1e-300 is less than the minimum"),
    ("together without lambda", "methods.l2.together", True, "l2.together: l2 has no lambda"),
    ("schedule", "methods.r-rgi.settings.stages", [[1, 9], [2, 9]], "starts must not increase"),
    (
        "no descent",
        "methods.rgi.settings.stages",
        [[1, 0]],
        "methods.rgi: rgi: .* 0 steps are allowed",
    ),
    ("unknown data set in a table", "tables.inpainting.datasets", ["digit"], "allowed: digits"),
    ("unknown case in a table", "tables.inpainting.cases", ["blok"], "allowed: .*block"),
    ("unknown method in a table", "tables.inpainting.methods", ["rg"], "allowed: .*l2"),
    ("no method in a table", "tables.inpainting.methods", [], "tables.inpainting.methods"),
    ("simulation without noise", "tables.simulation.case", "grey", "cases.grey.fill.kind"),
    ("simulation of what is given", "tables.simulation.case", "own", "cases.own.fill.kind"),
    ("fewer generated images than folds", "tables.simulation.images", 3, "as many images as folds"),
    (
        "a solver that is not there",
        "tables.solver",
        SOLVER | {"lines": {"joint": ["rg"]}},
        "tables.solver.lines.joint: 'rg' is not allowed; allowed: methods that invert: .*l2",
    ),
    (
        "a filter as a solver",
        "tables.solver",
        SOLVER | {"lines": {"joint": ["rgi", "median"]}},
        "tables.solver.lines.joint: 'median' .* methods that invert",
    ),
    (
        "a common lambda off a grid",
        "tables.solver",
        SOLVER | {"lam": 0.03},
        "tables.solver.lam: 0.03 .* one of 0.02, 0.05, 0.1, 0.2, 0.4, the grid of rgi",
    ),
    (
        "levels of no simulation",
        "tables",
        {"simulation": None, "solver": SOLVER},
        r"tables.solver.levels: \[0\] .* without the table simulation",
    ),
    (
        "unknown case of solvers",
        "tables.solver",
        SOLVER | {"cases": ["blok"]},
        "solver.cases: 'blok'",
    ),
    ("unknown truth", "tables.solver", SOLVER | {"cases": ["own"]}, "cases: 'own' .* are known"),
    ("no solver", "tables.solver", SOLVER | {"lines": {}}, "tables.solver.lines: {}"),
    ("a nameless line", "tables.solver", SOLVER | {"lines": {" ": ["rgi"]}}, "solver.lines: ' '"),
    (
        "a detector that is told",
        "tables.anomaly-detection",
        ANOMALY | {"methods": ["rgi", "pan-with-mask"]},
        "anomaly-detection.methods: 'pan-with-mask' .* methods that are not given the mask",
    ),
    (
        "clean images as defects",
        "tables.anomaly-detection",
        ANOMALY | {"cases": ["own"]},
        "datasets.digits.source: 'digits' .*one with masks",
    ),
    (
        "no table",
        "tables",
        {"inpainting": None, "anomaly-detection": None, "simulation": None},
        "tables: all are null",
    ),
    ("nothing to show", "metrics", ["rmse"], "metrics: .* psnr or ssim, which the inpainting"),
    ("no error to show", "metrics", ["psnr", "dice"], "metrics: .* rmse, which the simulation"),
    ("no number", "tables.simulation.levels", [0, NAN], "tables.simulation.levels.1: nan"),
    ("no finite number", "methods.rgi.lam", [float("inf")], "methods.rgi.lam.0: inf"),
    ("a fill for what is given", "cases.own.fill", {"kind": "patch"}, "cases.own: .*'fill'"),
    ("no fill", "cases.x", {"corruption": "block", "size": 2}, "cases.x: 'fill' is a required"),
    (
        "clean images as given",
        "tables.inpainting.cases",
        ["own"],
        "datasets.digits.source: 'digits' .*one with masks",
    ),
]


def overlay(key, value):
    """The nested config that sets one key."""
    first, _, rest = key.partition(".")
    return {first: overlay(rest, value) if rest else value}


def merged(base, change):
    """As Snakemake does it: what `change` holds is copied."""
    for key, value in change.items():
        own = base.get(key) if isinstance(base.get(key), dict) else {}
        base[key] = merged(own, value) if isinstance(value, dict) else value
    return base


@pytest.fixture
def config():
    found = merged({}, yaml.safe_load((ROOT / "config.yaml").read_text()))  # no anchors left
    found["cases"] |= copy.deepcopy(CASES)
    found["methods"] |= copy.deepcopy(METHODS)
    return found


@pytest.fixture
def given(config, tmp_path):
    """An experiment on one's own corrupted images."""
    source = {"source": "folder", "path": str(tmp_path), "masks": str(tmp_path)}
    config["datasets"]["mine"] = source | {"resolution": 16, "channels": 1, "test": 8}
    config["generators"]["mine"] = config["generators"]["digits"]
    table = {"datasets": ["mine"], "cases": ["own"], "methods": ["rgi", "yeh-with-mask"]}
    config["tables"] = {"inpainting": table}
    return config


def test_images_with_masks_are_for_given_cases_and_need_a_metric_of_masks(given):
    experiment = read_experiment(copy.deepcopy(given), "own.yaml")
    assert experiment.images("mine", "own") == 8

    with pytest.raises(InputError, match="metrics: .* dice or auroc"):
        read_experiment(copy.deepcopy(given) | {"metrics": ["psnr"]}, "own.yaml")
    given["tables"]["inpainting"]["cases"] = ["block"]
    with pytest.raises(
        InputError, match="cases: 'block' .* given, since data set 'mine' has masks"
    ):
        read_experiment(given, "own.yaml")


def test_clean_images_are_not_for_given_cases(given):
    product = {"source": "btad", "product": 3, "resolution": 16, "test": 8}
    given["datasets"]["mine"] = product
    assert read_experiment(copy.deepcopy(given), "own.yaml").beside_test("mine")
    given["datasets"]["mine"] = product | {"part": "clean"}
    with pytest.raises(InputError, match="datasets.mine.part: 'clean' .*one with masks, which"):
        read_experiment(copy.deepcopy(given), "own.yaml")
    given["datasets"]["mine"] = {"source": "celeba", "resolution": 16, "test": 8}
    with pytest.raises(InputError, match="datasets.mine.source: 'celeba' .*one with masks"):
        read_experiment(given, "own.yaml")


def test_a_data_set_s_own_files_and_images_are_known_beforehand(given):
    tiles = {"source": "magnetic-tile", "resolution": 16, "test": 300, "normal": 50, "train": 99}
    given["datasets"] |= {"tiles": tiles}
    given["datasets"]["mine"] |= {"normal": 5}
    given["datasets"]["sorted.1"] = given["datasets"]["mine"] | {"kinds": True}
    experiment = read_experiment(given, "own.yaml")
    assert experiment.images("tiles", "own") == 350 and experiment.images("mine", "own") == 13
    kinds = ("test_masks.npy", "test_kinds.txt")
    assert experiment.beside_test("tiles") == (*kinds, "test_groups.txt")
    assert experiment.datasets_with("test_masks.npy") == "mine"
    assert experiment.datasets_with(*kinds) == r"sorted\.1"
    assert experiment.datasets_with(*experiment.beside_test("tiles")) == "tiles"
    name = "Magnetic-tile-defect-datasets.-master.zip"
    assert experiment.archives("tiles") == [f"results/downloads/magnetic-tile/{name}"]
    assert experiment.archives("mine") == []


def test_memory_for_detection_grows_with_images_pixels_and_lambdas(given):
    tiles = {"source": "magnetic-tile", "resolution": 16, "test": 300}
    given["datasets"] |= {"tiles": tiles, "large": tiles | {"resolution": 128}}
    given["methods"]["rgi"]["lam"] = [0.01 * number for number in range(1, 13)]
    experiment = read_experiment(given, "own.yaml")

    def megabytes(dataset, method):
        return experiment.detection_megabytes(dataset, "own", method)

    assert megabytes("tiles", "rgi") == 1000 + 59  # 400 images of 16 x 16, 584 bytes a pixel
    assert megabytes("large", "rgi") == 1000 + 3827
    assert megabytes("large", "yeh-with-mask") == 1000 + 1520  # 232 bytes a pixel


def test_what_cannot_be_read_in_place_is_unpacked_once_for_all_data_sets(given, tmp_path):
    own = tmp_path / "mvtec_anomaly_detection.tar.xz"
    own.touch()
    category = {"source": "mvtec-ad", "resolution": 16, "test": 8}
    given["datasets"] |= {
        "nuts": category | {"category": "metal_nut"},
        "pills": category | {"category": "pill"},
        "own": category | {"category": "pill", "archive": str(own)},
        "cars": {"source": "cars", "resolution": 16, "test": 8, "archive": str(tmp_path)},
    }
    experiment = read_experiment(given, "own.yaml")
    name = "mvtec_anomaly_detection.tar"
    assert experiment.archives("nuts") == [f"results/downloads/mvtec-ad/{name}.xz"]
    assert experiment.unpacked("nuts") == experiment.unpacked("pills")
    assert experiment.unpacked("nuts") == [f"results/unpacked/mvtec-ad/{name}"]
    assert experiment.unpacked("own") == [f"results/unpacked/own-own/{name}"]
    assert experiment.unpacked("cars") == [] and experiment.archives("cars") == [str(tmp_path)]
    assert experiment.packed(f"mvtec-ad/{name}") == f"results/downloads/mvtec-ad/{name}.xz"
    assert experiment.packed(f"own-own/{name}") == str(own)


def test_archives_that_unpack_to_one_name_are_refused(config, tmp_path):
    paths = [tmp_path / "train" / "images.tgz", tmp_path / "test" / "images.tar.xz"]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    archives = [str(path) for path in paths]
    config["datasets"]["cars"] = {"source": "cars", "resolution": 16, "test": 8}
    config["datasets"]["cars"]["archive"] = archives
    with pytest.raises(InputError, match="datasets.cars.archive: .* two unpack to images.tar"):
        read_experiment(config, "own.yaml")


BOTTLE = {"source": "mvtec-ad", "category": "bottle"}
IMPOSSIBLE = [
    ({"source": "celeba", "images": 5, "held_out": 10}, "held_out: 10 .* less than 5, the key ima"),
    ({"source": "celeba", "crop": {"box": [0, 0, 0, 5]}}, "crop.box.2: 0 is less than the minimum"),
    ({"source": "celeba", "crop": {"box": [0, 0, 5, 0]}}, "crop.box.3: 0 is less than the minimum"),
    ({"source": "celeba", "crop": {"box": [0, 0, 5]}}, "crop.box: .* too short"),
    ({"source": "cars", "held_out": 50}, "held_out: 50 .* null without the key archive"),
    ({"source": "lsun-bedroom", "archive": ["/tmp", "/tmp"]}, "archive: .* bedroom_train_lmdb and"),
    ({"source": "btad", "product": 1, "test": 50}, "test: 50 .* at most 49 of 1"),
    ({"source": "btad", "product": 1, "part": "clean", "test": 400}, "test: 400 .* at most 399"),
    (BOTTLE | {"test": 64}, "test: 64 .* at most 63 of bottle"),
    (BOTTLE | {"normal": 21}, "normal: 21 .* at most 20 of bottle"),
]


@pytest.mark.parametrize(("entry", "message"), IMPOSSIBLE)
def test_images_that_cannot_be_there_are_refused_before_any_download(config, entry, message):
    config["datasets"]["x"] = {"resolution": 16, "test": 4} | entry
    with pytest.raises(InputError, match=f"own.yaml: datasets.x.{message}"):
        read_experiment(config, "own.yaml")


@pytest.mark.parametrize(
    "entry",
    [
        {"source": "celeba", "images": 11, "held_out": 10, "crop": {"box": [0, 0, 1, 1]}},
        {"source": "cars", "held_out": 50, "archive": "/tmp"},
        {"source": "btad", "product": 1, "test": 49, "normal": 21},
        {"source": "btad", "product": 1, "part": "clean", "test": 399},
        BOTTLE | {"test": 100, "archive": "/tmp"},
    ],
)
def test_images_that_can_be_there_are_not_refused(config, entry):
    config["datasets"]["x"] = {"resolution": 16, "test": 4} | entry
    experiment = read_experiment(config, "own.yaml")
    asked = entry.get("test", 4) + entry.get("normal", 0)
    assert experiment.images("x", "block") == asked


@pytest.mark.parametrize("mirror", ["ftp://host/data", "file:///tmp", "https:/host", "nowhere"])
def test_a_mirror_is_a_folder_or_reached_by_http(config, mirror):
    config["mirror"] = mirror
    with pytest.raises(InputError, match="mirror: .* an existing folder or a base URL, http or ht"):
        read_experiment(config, "own.yaml")


def test_the_masks_of_a_public_set_are_a_library(config):
    real = {"corruption": "library", "source": "mvtec-ad", "fill": {"kind": "mean-colour"}}
    config["cases"] |= {"real": real}
    experiment = read_experiment(config, "own.yaml")
    assert experiment.collected("real") == ["results/libraries/mvtec-ad.zip"]
    assert experiment.library("real") is None and experiment.collected("block") == []
    case = experiment.case("digits", "real")
    assert case["path"] == "results/libraries/mvtec-ad.zip" and "source" not in case
    block = experiment.case("digits", "block")
    assert block | {"per_dataset": {}, "settings": {}} == config["cases"]["block"]


def test_another_library_of_masks_is_another_case(config, tmp_path):
    entry = {"corruption": "library", "path": str(tmp_path), "fill": {"kind": "mean-colour"}}
    config["cases"]["real"] = entry
    (tmp_path / "first.png").write_bytes(b"0")
    before = read_experiment(config, "own.yaml")
    assert before.library("block") is None
    (tmp_path / "mask.png").write_bytes(b"1")
    after = read_experiment(config, "own.yaml")
    assert after.library("real") != before.library("real")


def test_a_library_is_read_once_for_all_jobs_that_ask(config, tmp_path, monkeypatch):
    entry = {"corruption": "library", "path": str(tmp_path), "fill": {"kind": "mean-colour"}}
    config["cases"]["real"] = entry
    (tmp_path / "first.png").write_bytes(b"0")
    asked = []
    monkeypatch.setattr("experiment.library_hash", lambda *_: asked.append(1) or "hash")
    experiment = read_experiment(config, "own.yaml")
    assert [experiment.library("real") for _ in range(3)] == ["hash"] * 3
    assert len(asked) == 1


def test_several_gpus_are_for_devices_that_have_them(config):
    experiment = read_experiment(copy.deepcopy(config) | {"gpus": 4}, "own.yaml")
    assert experiment.config["gpus"] == 4
    with pytest.raises(InputError, match="gpus: 4 is not allowed; allowed: 1 with device cpu"):
        read_experiment(config | {"gpus": 4, "device": "cpu"}, "own.yaml")


def test_a_batch_is_counted_in_the_groups_of_the_critics_statistic():
    assert config_checks.GROUP == GROUP


def test_a_methods_mask_is_given_found_or_none(config):
    methods = read_experiment(config, "config.yaml").methods
    masks = {name: methods[name].mask for name in ("yeh-with-mask", "rgi", "l2", "median")}
    assert masks == {"yeh-with-mask": "given", "rgi": "found", "l2": "none", "median": "none"}


def test_a_level_is_a_case_of_its_own_however_small(config):
    config["tables"]["simulation"]["levels"] = [-1, 0.00001]
    experiment = read_experiment(config, "config.yaml")
    case = config["tables"]["simulation"]["case"]
    assert experiment.table("simulation")["cases"] == [f"{case}_-1", f"{case}_1e-05"]


def test_the_default_config_is_valid_and_keeps_what_is_written(config):
    experiment = read_experiment(copy.deepcopy(config), "config.yaml")
    assert experiment.methods["rgi"].lams == tuple(map(str, config["methods"]["rgi"]["lam"]))
    assert experiment.config["datasets"]["digits"]["test"] == config["datasets"]["digits"]["test"]


def test_solvers_need_psnr_and_clean_images(config, given):
    solvers = copy.deepcopy(config) | {"tables": {"solver": SOLVER | {"levels": []}}}
    with pytest.raises(InputError, match="metrics: .* psnr, by which the solver table"):
        read_experiment(solvers | {"metrics": ["dice", "ssim", "rmse"]}, "own.yaml")
    given["tables"] = {"solver": SOLVER | {"datasets": ["mine"], "levels": []}}
    with pytest.raises(InputError, match="solver.datasets: 'mine' .* without masks"):
        read_experiment(given, "own.yaml")


def test_levels_of_the_solvers_are_those_of_the_simulation_for_every_data_set(config):
    config["tables"]["solver"] = copy.deepcopy(SOLVER)
    experiment = read_experiment(config, "config.yaml")
    images = config["tables"]["simulation"]["images"]

    assert experiment.table("solver")["cases"] == ["block", "simulation_0"]
    assert experiment.table("solver")["lines"] == list(SOLVER["lines"].items())
    assert ("brick", "simulation_0", "rgi") in experiment.rows("solver")
    assert experiment.images("brick", "simulation_0") == images
    assert experiment.settings("simulation_0", "rgi")["stages"] == [[4, 325]]
    assert experiment.settings("block", "rgi")["stages"] == [[1, 240]]


def test_settings_of_a_case_hold_there_alone_and_make_no_other_images(config):
    config["cases"]["block"]["settings"] = {"rgi": {"critic_weight": 0.3}}
    experiment = read_experiment(config, "config.yaml")

    assert experiment.settings("block", "rgi")["critic_weight"] == 0.3
    assert "critic_weight" not in experiment.settings("random", "rgi")
    assert "settings" not in experiment.case("digits", "block")


def test_an_overlay_takes_settings_back(config):
    own = {"cases": {"mixed-large": {"settings": {"rgi": None}}}}
    experiment = read_experiment(merged(config, own), "own.yaml")

    assert experiment.settings("mixed-large", "rgi") == experiment.methods["rgi"].settings
    assert experiment.settings("crack", "rgi") != experiment.methods["rgi"].settings


def test_table_2_at_the_paper_s_scale_has_the_paper_s_schedules(config):
    """The default experiment's shorter ones must not come through."""
    btad = yaml.safe_load((ROOT / "experiments/btad-03.yaml").read_text())
    experiment = read_experiment(merged(config, btad), "btad-03.yaml")
    rgi, r_rgi = (configured(name, experiment.settings("crack", name)) for name in ("rgi", "r-rgi"))

    assert rgi.stages == ((1, 2000),) and r_rgi.stages == ((1, 500),)
    assert r_rgi.weights_iterations == 1500 and r_rgi.weights_learning_rate == 1e-5
    assert {m.explore_lam for m in (rgi, r_rgi)} == {m.critic_weight for m in (rgi, r_rgi)} == {0}


def projecting(config):
    """An experiment of projections alone."""
    changed = merged(config, copy.deepcopy(PROJECTED))
    changed["tables"] |= {"inpainting": None, "simulation": None}
    return changed


def test_a_start_by_an_encoder_waits_for_it_and_no_other_method_does(config):
    config["methods"]["rgi"]["settings"] |= {"encoded_start": True, "pool": 0}
    config["encoders"] = {"digits": {}, "brick": {"images_shown": 1000}}
    experiment = read_experiment(config, "mine")
    assert experiment.encoder("brick", "block", "rgi") == ["results/encoders/brick/encoder.pt"]
    assert experiment.encoder("brick", "block", "l2") == []
    assert read_settings(EncoderSettings, config["encoders"]["digits"], "") == EncoderSettings()


def test_a_projection_needs_its_autoencoder_and_no_generator(config):
    changed = projecting(config)
    del changed["generators"]["digits"]
    with pytest.raises(
        InputError, match="autoencoders.digits: no entry 'vae', which method 'vae-grad'"
    ):
        read_experiment(copy.deepcopy(changed), "own.yaml")
    changed["autoencoders"] = {"digits": {"vae": AUTOENCODER}}
    experiment = read_experiment(changed, "own.yaml")
    made = "results/autoencoders/digits/vae/autoencoder.pt"
    assert experiment.autoencoder("digits", "vae-grad") == made
    changed["tables"]["anomaly-detection"]["methods"] = ["vae-grad", "rgi"]
    with pytest.raises(InputError, match="generators: no entry for data set 'digits'"):
        read_experiment(changed, "own.yaml")


def test_a_projection_is_given_the_mask_where_it_is_told_so(config):
    changed = projecting(config)
    entry = {"family": "projection", "lam": [0, 0.05]}
    changed["methods"] |= {"vae-grad-with-mask": entry, "told": entry | {"preset": "dsae-grad"}}
    changed["autoencoders"] = {"digits": {"vae": AUTOENCODER}}
    methods = read_experiment(changed, "own.yaml").methods
    assert [methods[name].mask for name in ("vae-grad", "vae-grad-with-mask")] == ["none", "given"]
    assert methods["told"].lams == ("0", "0.05")


def test_the_smallest_features_of_an_autoencoder_are_those_of_the_library():
    assert config_checks.SMALLEST == SMALLEST


def test_the_schema_s_defaults_of_an_autoencoder_are_the_library_s():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    entry = {
        key: value["default"] for key, value in schema["$defs"]["autoencoder"]["properties"].items()
    }
    found = read_autoencoder("vae", entry, resolution=128, channels=3)
    assert found == (AutoencoderArchitecture("vae", 128, 3), AutoencoderSettings())


def test_detectors_need_a_metric_of_maps(config):
    config["tables"] = {"anomaly-detection": ANOMALY}
    with pytest.raises(InputError, match="metrics: .* dice or auroc, which show"):
        read_experiment(config | {"metrics": ["psnr"]}, "own.yaml")


def test_data_sets_that_differ_in_their_training_images_alone_are_a_series(config):
    brick = config["datasets"]["brick"]
    config["datasets"]["brick-100"] = brick | {"train": 100}
    config["datasets"]["brick-small"] = brick | {"train": 100, "resolution": 8}
    for name in ("brick-100", "brick-small"):
        config["generators"][name] = copy.deepcopy(config["generators"]["brick"])
    config["generators"]["brick-small"] |= {"widths": [8, 8], "images_stable": 8, "images_fade": 8}
    config["tables"]["anomaly-detection"] = table = copy.deepcopy(ANOMALY)
    table["datasets"] = ["digits", "brick", "brick-100"]
    config["tables"]["inpainting"]["datasets"] = ["brick", "brick-100", "brick-small"]

    assert read_experiment(config, "own.yaml").training_series() == [["brick", "brick-100"]]
    config["autoencoders"] = {"digits": {"vae": AUTOENCODER}, "brick": {"vae": AUTOENCODER}}
    assert read_experiment(config, "own.yaml").training_series() == [["brick", "brick-100"]]
    config["methods"]["vae"] = {"family": "projection"}
    table["methods"] = [*table["methods"], "vae"]
    config["autoencoders"]["brick-100"] = {"vae": AUTOENCODER | {"latent_dim": 3}}
    assert read_experiment(config, "own.yaml").training_series() == []
    config["autoencoders"]["brick-100"] = {"vae": AUTOENCODER}
    assert read_experiment(config, "own.yaml").training_series() == [["brick", "brick-100"]]


def test_methods_that_are_called_by_their_steps_are_a_line(config):
    changed = projecting(config)
    entry = {"family": "projection", "preset": "vae-grad", "lam": [0.05]}
    names = {"slow-3": 3, "slow-10": 10, "lone-7": 7, "other-4": 5}
    changed["methods"] |= {name: entry | {"settings": {"steps": n}} for name, n in names.items()}
    changed["autoencoders"] = {"digits": {"vae": AUTOENCODER}}
    changed["tables"]["anomaly-detection"]["methods"] = [*names, "median"]
    found = read_experiment(changed, "own.yaml").step_series()
    assert found == {"slow": {"slow-3": 3, "slow-10": 10}}


def test_a_detector_that_restores_nothing_is_not_for_inpainting(config):
    experiment = read_experiment(config, "config.yaml")
    median = dataclasses.replace(experiment.methods["median"], restores=False)
    broken = dataclasses.replace(experiment, methods=experiment.methods | {"median": median})
    with pytest.raises(InputError, match="inpainting.methods: 'median' .* that restore images"):
        config_checks._check_tables(broken, "config.yaml")
    assert median.restores_option == "--no-restores"


TABLES_OF = {
    "btad-03": {"anomaly-detection"},
    "cars-small": {"inpainting"},
    "celeba-small": {"inpainting"},
    "energy-projection": {"inpainting", "anomaly-detection"},
    "inverse-problems": {"inpainting"},
    "energy-projection-magnetic-tile": {"anomaly-detection"},
    "energy-projection-mvtec": {"anomaly-detection"},
    "energy-projection-steps": {"anomaly-detection"},
    "magnetic-tile": {"anomaly-detection"},
    "own-images": {"inpainting"},
    "paper": {"inpainting", "anomaly-detection", "simulation"},
    "robust-ilo": {"inpainting"},
    "solver": {"simulation", "solver"},
    "super-resolution": {"inpainting"},
    "training-size": {"anomaly-detection"},
}


@pytest.mark.parametrize(("name", "asked"), TABLES_OF.items())
def test_an_experiment_asks_for_its_own_tables_alone(config, tmp_path, name, asked):
    """An overlay is merged: a table of the default experiment that it does not drop is computed."""
    overlay = yaml.safe_load((ROOT / f"experiments/{name}.yaml").read_text())
    for entry in overlay.get("datasets", {}).values():
        if "path" in entry:
            entry["path"] = str(tmp_path)  # the user's
    experiment = read_experiment(merged(config, overlay), name)
    assert set(experiment.tables()) == asked
    assert set(experiment.datasets()) == set(overlay.get("datasets", config["datasets"]))


def test_every_category_of_mvtec_has_its_published_numbers_beside_ours():
    experiment = read_config([ROOT / "experiments/energy-projection-mvtec.yaml"])
    table = experiment.table("anomaly-detection")
    assert experiment.as_published("anomaly-detection") == [
        f"{category}/defects" for category in table["datasets"]
    ]
    assert len(table["datasets"]) == 15
    for category, method in itertools.product(table["datasets"], table["methods"]):
        assert projected_auroc(category, method)


def test_every_experiment_is_tested_and_listed():
    names = {path.stem for path in (ROOT / "experiments").glob("*.yaml")}
    listed = (ROOT / "experiments/README.md").read_text()
    assert names == set(TABLES_OF) == set(re.findall(r"\| `([a-z0-9-]+)\.yaml`", listed))


@pytest.mark.parametrize(("wrong", "key", "value", "words"), BAD, ids=[row[0] for row in BAD])
def test_bad_config_stops_the_command_with_one_line_and_writes_nothing(
    wrong, key, value, words, tmp_path
):
    known = {"cases": copy.deepcopy(CASES), "methods": copy.deepcopy(METHODS)}
    change = merged(known, overlay(key, value))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(change))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "mine.yaml"]
    done = subprocess.run(
        [*command, "--snakefile", ROOT / "Snakefile"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(words, line)
    assert "mine.yaml" in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "reports").exists()


def test_defaults_and_bounds_are_documented():
    """Every key that a person may write has a sentence."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())

    def undocumented(node, path):
        for key, value in node.get("properties", {}).items():
            told = "description" in value or "$ref" in value or "const" in value
            if not told and value.get("type") != "object" and "kind" not in key:
                yield f"{path}.{key}"
            yield from undocumented(value, f"{path}.{key}")

    assert not list(undocumented(schema, "config"))
    for name, definition in schema["$defs"].items():
        assert not list(undocumented(definition, name))


def test_a_case_may_be_another_on_some_data_sets(config):
    config["cases"]["block"]["per_dataset"] = {"brick": {"size": 9}}
    config["cases"]["random"]["per_dataset"] = {"digits": {"fraction": 0.5}}
    experiment = read_experiment(copy.deepcopy(config), "own.yaml")
    assert experiment.case("digits", "block")["size"] == 6
    assert experiment.case("brick", "block") == experiment.case("digits", "block") | {"size": 9}
    assert experiment.case("digits", "random")["fraction"] == 0.5
    config["cases"]["block"]["per_dataset"]["brick"]["size"] = 17
    with pytest.raises(InputError, match="block.per_dataset.brick.size: 17 .* resolution of"):
        read_experiment(copy.deepcopy(config), "own.yaml")
    config["cases"]["block"] |= {"size": 17, "per_dataset": {"brick": {"size": 9}}}
    with pytest.raises(InputError, match="cases.block.size: 17 .* resolution of data set digits"):
        read_experiment(copy.deepcopy(config), "own.yaml")
    config["cases"]["block"]["per_dataset"] = {"bricks": {"size": 9}}
    with pytest.raises(InputError, match="block.per_dataset: 'bricks' .* digits, brick"):
        read_experiment(config, "own.yaml")


@pytest.mark.parametrize(
    ("dataset", "change"),
    [
        ("celeba", {"images": 20000}),
        ("celeba", {"train": 1000}),
        ("celeba", {"held_out": 150}),
        ("celeba", {"crop": "whole"}),
        ("celeba", {"test": 50}),
        ("celeba", {"channels": 1}),
        ("celeba", {"resolution": 64}),
        ("cars", {"held_out": 1000, "archive": "."}),
        ("cars", {"train": 1000}),
        ("lsun-bedroom", {"train": 1000}),
        ("lsun-bedroom", {"source": "celeba"}),
    ],
)
def test_the_papers_numbers_do_not_stand_beside_another_data_set_of_the_name(
    config, dataset, change
):
    overlay = yaml.safe_load((ROOT / "experiments/paper.yaml").read_text())
    settings = merged(config, overlay)
    settings["datasets"][dataset] |= change
    if "resolution" in change:
        settings["generators"][dataset] = {"latent_dim": 8, "widths": [8] * 5}
    rows = read_experiment(settings, "paper").as_published("inpainting")
    assert len(rows) == 4
    assert not [row for row in rows if row.startswith(dataset)]


def test_a_copy_of_the_publishers_files_is_the_papers_data_set(config, tmp_path):
    overlay = yaml.safe_load((ROOT / "experiments/paper.yaml").read_text())
    settings = merged(config, overlay)
    settings["datasets"]["celeba"]["archive"] = str(tmp_path)
    assert len(read_experiment(settings, "paper").as_published("inpainting")) == 6


def test_the_papers_experiment_is_set_up_as_published(config):
    """Every case of its table 1, with the lambdas that it chose on the grid."""
    overlay = yaml.safe_load((ROOT / "experiments/paper.yaml").read_text())
    experiment = read_experiment(merged(config, overlay), "paper")
    sets, cases = ("celeba", "cars", "lsun-bedroom"), ("block", "random")
    assert experiment.as_published("inpainting") == [
        f"{name}/{case}" for name in sets for case in cases
    ]
    for name in ("rgi", "r-rgi"):
        grid = {float(lam) for lam in experiment.methods[name].lams}
        chosen = {
            published_lambda(dataset, case, name, metric)
            for dataset in sets
            for case in cases
            for metric in ("psnr", "ssim")
        }
        assert chosen <= grid
    assert (
        experiment.images("celeba", "block") == experiment.images("btad-03", "crack-mvtec") == 100
    )
    for method in map(experiment.methods.get, experiment.method_entries()):
        published = method.name not in METHODS and "profile" not in method.name
        if method.family == "inversion" and published:
            schedule = configured(method.preset, method.settings)
            steps = sum(steps for _, steps in schedule.stages) + schedule.weights_iterations
            assert steps == (1000 if method.name in ("l1", "l2") else 2000)
            assert schedule.weights_learning_rate == 1e-5 or not schedule.learns_weights

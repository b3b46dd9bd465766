"""experiments/paper.yaml on small archives in their publishers' layout: every rule runs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from publishers import annotations, encoded, lmdb_zipped, mvtec, tarred, zipped
from test_workflow import jobs, snakemake

ROOT = Path(__file__).parent.parent
PAPER = ROOT / "experiments/paper.yaml"


def picture(number, size=(24, 24), kind="JPEG"):
    """A smooth picture of its own for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return encoded(np.asarray(Image.fromarray(coarse).resize(size[::-1])), kind)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """All archives that the experiment downloads, small."""
    folder = tmp_path_factory.mktemp("mirror")
    faces = {f"img_align_celeba/{n:06}.jpg": picture(n, (26, 22)) for n in range(1, 31)}
    zipped(folder / "celeba/img_align_celeba.zip", faces)
    devkit = {}
    for part, count, first in (("train", 16, 100), ("test", 6, 200)):
        boxes = {f"{n:05}.jpg": (2, 3, 20, 22) for n in range(1, count + 1)}
        cars = {f"cars_{part}/{name}": picture(first + n, (24, 30)) for n, name in enumerate(boxes)}
        tarred(folder / f"stanford_cars/cars_{part}.tgz", cars, "w:gz")
        devkit[f"devkit/cars_{part}_annos.mat"] = annotations(boxes)
    tarred(folder / "stanford_cars/car_devkit.tgz", devkit, "w:gz")
    (folder / "lsun").mkdir()
    for part, count, first in (("train", 16, 300), ("val", 6, 400)):
        rooms = {f"{n:040x}": picture(first + n) for n in range(count)}
        lmdb_zipped(folder / f"lsun/bedroom_{part}_lmdb.zip", rooms)
    products = {
        f"BTech_Dataset_transformed/03/train/ok/{n:04}.bmp": picture(500 + n, kind="BMP")
        for n in range(20)
    }
    zipped(folder / "btad/btad.zip", products)
    tarred(folder / "mvtec_ad/mvtec_anomaly_detection.tar.xz", mvtec(), "w:xz")
    return folder


@pytest.fixture
def small(tmp_path, mirror):
    """An overlay on paper.yaml that makes everything small: all data sets, methods and rules."""
    config = yaml.safe_load(PAPER.read_text())
    tiny = {"latent_dim": 4, "widths": [4, 4], "images_stable": 32, "images_fade": 32}
    descents = {}
    for name, method in config["methods"].items():
        settings = {"stages": [[1, 2]], "pool": 8, "batch": 4}
        if "profile" in name:
            settings |= {"stages": [[2, 2], [1, 2]], "escapes": [[2, 2]]}
        if "weights_iterations" in method.get("settings", {}):
            settings["weights_iterations"] = 1
        lams = {"lam": method["lam"][:2]} if "lam" in method else {}
        descents[name] = lams | ({} if name == "rasl" else {"settings": settings})
    descents["rasl"]["settings"] = {"references": 6, "iterations": 2}
    descents["rpca"] = {"settings": {"references": 6}}
    for filtering in ("total-variation", "non-local-means"):
        descents[filtering] = {"lam": [0.1]}
    sets = {name: {"resolution": 8, "test": 4} for name in config["datasets"]}
    sets["celeba"]["held_out"] = 6
    short = {name: {"stages": [[1, 2]]} for name in ("l1", "l2", "rgi")}
    short["rgi-profile"] = {"stages": [[2, 2], [1, 2]], "escapes": []}
    overlay = {
        "mirror": str(mirror),
        "shard_size": 4,
        "folds": 2,
        "datasets": sets,
        "generators": {name: tiny for name in config["generators"]},
        "cases": {
            "block": {"size": 2, "per_dataset": {"celeba": {"size": 3}}},
            "natural": {"size": 3},
            "simulation": {"size": 3, "settings": short},
        },
        "methods": descents,
        "tables": {
            "inpainting": {"cases": ["block"]},
            "anomaly-detection": {"cases": ["crack-mvtec"]},
            "simulation": {"images": 4, "levels": [0]},
        },
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(overlay))
    return path


def test_the_small_one_has_the_rules_of_the_whole(tmp_path, small):
    whole, part = (
        snakemake(tmp_path, "--configfile", *overlays, "-n")
        for overlays in ([PAPER], [PAPER, small])
    )
    assert rules(whole) == rules(part) >= {"archive", "unpack", "library", "generator", "report"}
    assert jobs(whole)["archive"] == jobs(part)["archive"] == 8


def rules(output):
    """Names of rules in a dry run's statistics."""
    found = re.search(r"^job +count\n-+ +-+\n(.*?)^total", output, re.M | re.S)
    return {line.split()[0] for line in found[1].splitlines()}


@pytest.mark.slow
def test_every_rule_runs_on_stand_ins(tmp_path, small):
    snakemake(tmp_path, "--configfile", PAPER, small, "--cores", "2")
    for name in ("inpainting", "anomaly-detection", "simulation", "cost"):
        table = pd.read_csv(tmp_path / f"reports/tables/{name}.csv")
        # Every test image of table 2 has a defect: there is none to tell them from.
        unknown = {"image-auroc"} if name == "anomaly-detection" else set()
        assert set(table["metric"][~np.isfinite(table["value"])]) == unknown
    table = pd.read_csv(tmp_path / "reports/tables/inpainting.csv")
    asked = yaml.safe_load(PAPER.read_text())["tables"]["inpainting"]
    rows = {(name, "block", method) for name in asked["datasets"] for method in asked["methods"]}
    assert set(table[["dataset", "case", "method"]].itertuples(index=False, name=None)) == rows
    assert (tmp_path / "reports/report.html").stat().st_size

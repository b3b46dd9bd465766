"""Public sets through the workflow: fetched from a mirror, unpacked if need be, prepared once."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from host import serving
from publishers import btad, cars, faces, lmdb_zipped, mvtec, plain, tarred, zipped
from test_magnetic_tile import tiles
from test_workflow import ROOT, jobs, snakemake

from rgi.data import (
    PUBLICATIONS,
    downloads,
    open_images,
    open_masks,
    prepare,
    unpack,
    unpacked_name,
)
from rgi.data.downloads import download

COUNTS = {  # training and test images
    "celeba": (20, 4),
    "cars": (12, 4),
    "lsun": (12, 4),
    "btad": (12, 6),
    "btad-clean": (8, 4),
    "nut": (12, 6),
    "bottle": (12, 6),
    "own-bottle": (12, 6),
}


def mirror(root):
    """All publishers' files, in their layouts, where a mirror keeps them."""
    zipped(root / "celeba/img_align_celeba.zip", faces())
    for name, members in cars().items():
        tarred(root / f"stanford_cars/{name}.tgz", members, "w:gz")
    (root / "lsun").mkdir()
    for first, part in ((0, "train"), (100, "val")):
        images = {f"{number:040x}": plain(first + number) for number in range(12)}
        lmdb_zipped(root / f"lsun/bedroom_{part}_lmdb.zip", images)
    zipped(root / "btad/btad.zip", btad())
    tarred(root / "mvtec_ad/mvtec_anomaly_detection.tar.xz", mvtec(), "w:xz")
    zipped(root / "magnetic_tile/Magnetic-tile-defect-datasets.-master.zip", tiles())
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A directory in which all sets are prepared; the config, and the targets."""
    directory = tmp_path_factory.mktemp("public")
    packed = mirror(directory / "mirror") / "mvtec_ad/mvtec_anomaly_detection.tar.xz"
    size = {"resolution": 8, "test": 4}
    defects = size | {"normal": 2}
    bottle = {"source": "mvtec-ad", "category": "bottle", **defects}
    datasets = {
        "celeba": {"source": "celeba", "held_out": 10, **size},
        "cars": {"source": "cars", **size},
        "lsun": {"source": "lsun-bedroom", **size},
        "btad": {"source": "btad", "product": 3, **defects},
        "btad-clean": {"source": "btad", "product": 3, "part": "clean", **size},
        "nut": {"source": "mvtec-ad", "category": "metal_nut", **defects},
        "bottle": bottle,
        "own-bottle": bottle | {"archive": str(packed)},
    }
    real = {"corruption": "library", "source": "mvtec-ad", "fill": {"kind": "mean-colour"}}
    generator = {"latent_dim": 8, "widths": [8, 8]}
    anomalies = {"datasets": ["btad-clean"], "cases": ["real"], "methods": ["median"]}
    tables = {"inpainting": None, "simulation": None, "anomaly-detection": anomalies}
    config = directory / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "mirror": str(directory / "mirror"),
                "datasets": datasets,
                "generators": {"btad-clean": generator},
                "cases": {"real": real},
                "tables": tables,
            }
        )
    )
    targets = [f"results/datasets/{name}/train.npy" for name in COUNTS]
    targets.append("results/cases/btad-clean/real.npz")
    arguments = ["--configfile", config, "--", *targets]
    return directory, arguments, snakemake(directory, *arguments)


def test_every_set_is_prepared_from_the_publishers_files(prepared):
    directory, _, _ = prepared
    for name, counts in COUNTS.items():
        folder = directory / "results/datasets" / name
        parts = [open_images(folder / f"{part}.npy") for part in ("train", "test")]
        assert tuple(map(len, parts)) == counts
        has_masks = name in ("btad", "nut", "bottle", "own-bottle")
        assert (folder / "test_masks.npy").exists() == has_masks
        if has_masks:
            assert open_masks(folder / "test_masks.npy").any(axis=(1, 2)).tolist() == [
                *[True] * 4,
                *[False] * 2,
            ]
    same = [directory / f"results/datasets/{name}/test.npy" for name in ("bottle", "own-bottle")]
    assert same[0].read_bytes() == same[1].read_bytes()


def test_info_has_the_hashes_of_the_publishers_files_and_not_of_what_they_unpack_to(prepared):
    directory, _, _ = prepared
    info = yaml.safe_load((directory / "results/datasets/cars/info.yaml").read_text())
    expected = {
        f"{name}.tgz": hashlib.sha256(
            (directory / f"mirror/stanford_cars/{name}.tgz").read_bytes()
        ).hexdigest()
        for name in ("cars_train", "cars_test", "car_devkit")
    }
    assert info["sha256"]["source"] == expected


def test_what_was_unpacked_is_removed_and_nothing_runs_again(prepared):
    directory, arguments, output = prepared
    assert jobs(output)["unpack"] == 3 + 2 + 1 + 1  # cars, LSUN, MVTec AD, and a copy of one's own
    assert not list(directory.glob("results/unpacked/**/*.*"))
    assert "Nothing to be done" in snakemake(directory, "--dry-run", *arguments)


def test_what_a_mirror_has_left_is_not_taken_for_the_publisher_s(prepared):
    directory, arguments, _ = prepared
    again = {"again": {"source": "celeba", "held_out": 10, "resolution": 8, "test": 5}}
    values = yaml.safe_load(arguments[1].read_text()) | {"mirror": None, "datasets": again}
    own = directory / "mirror/celeba/img_align_celeba.zip"
    again["own"] = again["again"] | {"archive": str(own)}
    values["generators"] = {"again": {"latent_dim": 8, "widths": [8, 8]}}
    values["tables"]["anomaly-detection"]["datasets"] = ["again"]
    (directory / "later.yaml").write_text(yaml.safe_dump(values))
    train = [f"results/datasets/{name}/train.npy" for name in ("own", "again")]
    options = ["--configfile", directory / "later.yaml", "--keep-going", "--forcerun", "library"]
    snakemake(directory, *options, "--", *train, "results/libraries/mvtec-ad.zip", check=False)
    values["datasets"]["celeba"], values["datasets"]["again"] = again["again"], again["own"]
    values["generators"] |= {"celeba": values["generators"]["again"]}
    values["tables"]["anomaly-detection"]["datasets"] = ["again", "celeba"]
    (directory / "same.yaml").write_text(yaml.safe_dump(values))
    said = snakemake(
        directory, "--configfile", directory / "same.yaml", "--dry-run", "--", train[0]
    )
    assert re.findall("warning: (.*): made of other", said) == ["results/datasets/celeba"]
    log = (directory / "results/logs/unpack/mvtec-ad/mvtec_anomaly_detection.tar.log").read_text()
    assert "mvtec_anomaly_detection.tar.xz: other bytes than the registered sha256:cf4313b1" in log
    log = (directory / "results/logs/dataset/again.log").read_text()
    file = "results/downloads/celeba/img_align_celeba.zip"
    assert f"error: {file}: other bytes than the registered md5:00d2c5bc" in log
    assert not (directory / train[1]).exists() and (directory / train[0]).exists()


SETTINGS = {
    "celeba": {"held_out": 10},
    "cars": {},
    "lsun-bedroom": {},
    "btad": {"product": 1, "normal": 2},
    "mvtec-ad": {"category": "bottle", "normal": 2},
    "magnetic-tile": {"patch": 40, "normal": 3},
}


@pytest.mark.parametrize("source", PUBLICATIONS)
def test_a_set_is_prepared_of_what_its_hosts_send(tmp_path, monkeypatch, source):
    """Of every file: a host that has nothing, one whose copy is damaged, and one that breaks."""
    publication = PUBLICATIONS[source]
    folder = mirror(tmp_path / "mirror") / publication.folder
    sent = {file.name: (folder / file.name).read_bytes() for file in publication.files}
    monkeypatch.setattr(downloads, "_PAUSE", 0)
    with serving(sent) as host:
        files = tuple(
            replace(
                file,
                urls=tuple(
                    f"{host.url}/{way}/{file.name}" for way in ("gone", "corrupted", "half")
                ),
                checksum=f"sha256:{hashlib.sha256(sent[file.name]).hexdigest()}",
            )
            for file in publication.files
        )
        monkeypatch.setitem(PUBLICATIONS, source, replace(publication, files=files))
        for name in sent:
            download(source, name, tmp_path / "downloads" / name)
    archives = [str(tmp_path / "downloads" / name) for name in sent]
    values = {"source": source, "resolution": 8, "test": 4, **SETTINGS[source]}
    values["archive"] = archives if len(archives) > 1 else archives[0]
    for archive in archives:
        if (name := unpacked_name(archive)) is not None:
            unpack(Path(archive), tmp_path / "unpacked" / name)
            values["unpacked"] = str(tmp_path / "unpacked")
    prepare(values, tmp_path / "out", seed=0)
    assert len(open_images(tmp_path / "out/test.npy")) == 4 + values.get("normal", 0)
    info = (tmp_path / "out/info.yaml").read_text()
    assert "the bytes that the project knows" in " ".join(info.split())
    assert "other bytes" not in info
    assert {path.name for path in (tmp_path / "downloads").iterdir()} == set(sent)


def test_the_experiment_of_table_2_asks_for_btad_itself(tmp_path):
    overlay = ROOT / "experiments/btad-03.yaml"
    planned = jobs(snakemake(tmp_path, "--dry-run", "--configfile", overlay))
    assert planned["archive"] == planned["dataset"] == 1

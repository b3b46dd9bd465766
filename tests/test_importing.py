"""Imported generators in an experiment: the config's errors, and the line from file to report."""

import copy
import hashlib
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import yaml
from test_workflow import TINY, jobs, snakemake

from rgi.data.downloads import download_weights
from rgi.errors import InputError
from rgi.files import sha256_of
from rgi.models import (
    Architecture,
    Discriminator,
    Generator,
    load_generator,
    save_discriminator,
    save_generator,
)

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow"))

from config_reading import read_experiment  # noqa: E402

SMALL = Architecture(8, 1, 8, (8, 8))
URL = "https://example.org/generators/faces.pth"


@pytest.fixture
def networks(tmp_path):
    """A folder with generator.pt and discriminator.pt for the digits of the tiny experiment."""
    folder = tmp_path / "networks"
    save_generator(folder / "generator.pt", Generator(SMALL, seed=5))
    save_discriminator(folder / "discriminator.pt", Discriminator(SMALL, seed=6))
    return folder


def overlay(path, entry, **tables):
    """An experiment on the digits alone, with this generator, as a file.

    The data set has a name of its own: keys of config.yaml's training would stay beside `import`.
    """
    tiny = yaml.safe_load(TINY.read_text())
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    methods = {
        name: config["methods"][name] | tiny["methods"].get(name, {})
        for name in ("median", "l2", "rgi")
    }
    content = {
        "shard_size": 4,
        "folds": 2,
        "metrics": ["psnr"],
        "datasets": {"drawn": {"source": "digits", "resolution": 8, "test": 4}},
        "generators": {"drawn": {"import": entry}},
        "cases": {"block": config["cases"]["block"] | {"size": 3}},
        "methods": methods,
        "tables": {
            "inpainting": {"datasets": ["drawn"], "cases": ["block"], "methods": ["median", "rgi"]},
            "anomaly-detection": None,
            "simulation": None,
        }
        | tables,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def read(path):
    return read_experiment(copy.deepcopy(yaml.safe_load(path.read_text())), "mine.yaml")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"format": "stylegan", "file": "x.pt"}, "import.format: 'stylegan' is not one of"),
        ({"format": "rgi"}, "generators.drawn.import: .*Either file: a path, or url"),
        ({"format": "rgi", "url": URL}, "generators.drawn.import: .*with its sha256"),
        (
            {"format": "pytorch-gan-zoo", "url": URL, "sha256": "2b0acc76"},
            "import.sha256: '2b0acc76' does not match .*64 hexadecimal digits",
        ),
        ({"format": "rgi", "url": URL, "file": "x.pt"}, "generators.drawn.import: .*Either file"),
        ({"format": "rgi", "file": "nowhere.pt"}, "import.file: 'nowhere.pt' .* an existing file"),
        (
            {"format": "pytorch-gan-zoo", "file": __file__, "discriminator": {"file": "x.pt"}},
            "'discriminator' was unexpected",
        ),
        (
            {"format": "rgi", "file": __file__, "discriminator": {"url": URL}},
            "import.discriminator: .*with its sha256",
        ),
        (
            {"format": "rgi", "file": __file__},
            "import: key 'discriminator' is missing, which method 'rgi' needs",
        ),
    ],
)
def test_a_mistake_is_named_before_any_job(tmp_path, entry, message):
    with pytest.raises(InputError, match=message):
        read(overlay(tmp_path / "mine.yaml", entry))


def test_a_training_beside_an_import_is_refused(tmp_path):
    path = overlay(tmp_path / "mine.yaml", {"format": "rgi", "file": __file__})
    content = yaml.safe_load(path.read_text())
    content["generators"]["drawn"]["widths"] = [8, 8]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"generators.drawn: .*'widths' was unexpected"):
        read(path)


def test_an_import_takes_the_place_of_the_training(tmp_path, networks):
    entry = {"format": "rgi", "file": str(networks / "generator.pt")}
    entry["discriminator"] = {"file": str(networks / "discriminator.pt")}
    entry["sha256"] = sha256_of(networks / "generator.pt")
    path = overlay(tmp_path / "mine.yaml", entry)
    snakemake(tmp_path, "reports/report.html", "--configfile", path)
    folder = tmp_path / "results/generators/drawn"
    assert {file.name for file in folder.glob("[!.]*")} == {
        "generator.pt",
        "discriminator.pt",
        "samples.png",
    }
    latent = torch.randn(3, 8)
    expected = Generator(SMALL, seed=5)(latent)
    torch.testing.assert_close(load_generator(folder / "generator.pt")(latent), expected)
    again = snakemake(tmp_path, "reports/report.html", "--configfile", path, "-n")
    assert "Nothing to be done" in again


def test_a_generator_alone_serves_methods_without_a_critic(tmp_path, networks):
    entry = {"format": "rgi", "file": str(networks / "generator.pt")}
    table = {"datasets": ["drawn"], "cases": ["block"], "methods": ["l2"]}
    path = overlay(tmp_path / "mine.yaml", entry, inpainting=table)
    target = "results/scores/drawn/block/l2.csv"
    snakemake(tmp_path, target, "--configfile", path)
    assert not (tmp_path / "results/generators/drawn/discriminator.pt").exists()


def test_another_hash_stops_the_import(tmp_path, networks):
    entry = {"format": "rgi", "file": str(networks / "generator.pt"), "sha256": "0" * 64}
    table = {"datasets": ["drawn"], "cases": ["block"], "methods": ["l2"]}
    path = overlay(tmp_path / "mine.yaml", entry, inpainting=table)
    target = "results/generators/drawn/generator.pt"
    output = snakemake(tmp_path, target, "--configfile", path, check=False)
    assert "import_generator_alone" in output
    log = (tmp_path / "results/logs/generator/drawn.log").read_text()
    assert log.splitlines()[-1].startswith(f"error: {networks / 'generator.pt'}: sha256 is ")
    assert not (tmp_path / target).exists()


def test_an_address_is_a_job_of_its_own(tmp_path):
    entry = {"format": "pytorch-gan-zoo", "url": URL, "sha256": "0" * 64}
    found = jobs(snakemake(tmp_path, "--configfile", overlay(tmp_path / "m.yaml", entry), "-n"))
    assert (found["weights"], found["import_generator"]) == (1, 1)
    assert "generator" not in found


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_weights_come_from_an_address_or_a_mirror_and_have_the_hash(tmp_path):
    content = b"weights" * 1000
    published = tmp_path / "published/generators/faces.pth"
    published.parent.mkdir(parents=True)
    published.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    handler = partial(Quiet, directory=str(tmp_path / "published"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        url = f"{base}/generators/faces.pth"
        for number, mirror in enumerate((None, base, str(tmp_path / "published"))):
            path = tmp_path / f"{number}.pt"
            download_weights(url, sha256, path, mirror)
            assert path.read_bytes() == content
        path = tmp_path / "wrong.pt"
        with pytest.raises(InputError, match=f"{url}: .* sha256 {sha256}, not the registered"):
            download_weights(url, "0" * 64, path)
        with pytest.raises(InputError, match="nothing.pth: cannot be had .*404"):
            download_weights(f"{base}/nothing.pth", sha256, path)
        server.shutdown()
    assert not path.exists()

"""The bill of an experiment's jobs, looked up in its config. Which jobs there are: test_plan."""

import copy
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow"))

from bill import Bill, Job  # noqa: E402
from config_reading import read_experiment  # noqa: E402

from rgi.inversion.methods import configured  # noqa: E402
from rgi.models import Architecture  # noqa: E402
from rgi.planning import Rates, images_bytes, inversion_work, restoration_bytes  # noqa: E402
from rgi.planning.rates import Rate  # noqa: E402

RATES = Rates(
    "Some CPU",
    "core",
    tuple(Rate(kind, 16, 10, 20, 40) for kind in ("descent", "fine-tuning", "training")),
)


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def billed(config, rule, **wildcards):
    """The line of a single job."""
    bill = Bill(read_experiment(config, "config.yaml"), RATES)
    bill.add(Job(rule, wildcards))
    return bill.items[rule]


def test_one_job_of_a_grid_pays_for_all_its_lambdas_and_images(config):
    config["shard_size"] = 20
    lams = config["methods"]["rgi"]["lam"]
    place = {"dataset": "digits", "case": "block", "method": "rgi", "shard": "1"}
    item = billed(config, "restore_rgi", **place)
    method = configured("rgi", config["methods"]["rgi"]["settings"])
    work = inversion_work(method, Architecture(16, 1, 64, (64, 48, 24)), 12, len(lams))
    assert (item.jobs, item.timed, item.unknown) == (1, True, set())
    assert item.estimate == RATES.estimate(work)
    assert item.size == len(lams) * restoration_bytes(12, 16, 1)


def test_a_job_is_planned_with_the_settings_of_its_case(config):
    """config.yaml has the defects explored first."""
    experiment = read_experiment(copy.deepcopy(config), "config.yaml")
    hours = set()
    for case in ("block", "crack"):
        place = {"dataset": "brick", "case": case, "method": "rgi", "shard": "0"}
        estimate = billed(copy.deepcopy(config), "restore_rgi", **place).estimate
        method = configured("rgi", experiment.settings(case, "rgi"))
        work = inversion_work(method, Architecture(16, 1, 64, (64, 48, 24)), 16, 5)
        assert estimate == RATES.estimate(work)
        hours.add(estimate.hours)
    assert len(hours) == 2


def test_a_job_without_networks_is_counted_and_not_timed(config):
    place = {"dataset": "digits", "case": "block", "method": "median", "lam": "none", "shard": "0"}
    item = billed(config, "restore_filter", **place)
    assert (item.jobs, item.timed, item.estimate.hours) == (1, False, 0)
    assert item.size == restoration_bytes(32, 16, 1)


@pytest.mark.parametrize(
    ("entry", "images", "masks"),
    [
        ({"source": "celeba", "images": 10_000, "held_out": 1000}, 9000 + 40, 0),
        ({"source": "btad", "product": 1, "part": "clean"}, 400, 0),
        ({"source": "btad", "product": 1, "part": "defects", "normal": 9}, 400 + 49, 49),
        ({"source": "mvtec-ad", "category": "bottle"}, 209 + 40, 40),
    ],
)
def test_a_data_set_is_as_large_as_its_training_and_test_images(config, entry, images, masks):
    config["datasets"]["other"] = entry | {"resolution": 32, "test": 40}
    item = billed(config, "dataset", dataset="other")
    assert item.size == images_bytes(images, 32, 3) + images_bytes(masks, 32, 1)


def test_a_data_set_of_unknown_size_is_left_out_and_said(config, tmp_path):
    entry = {"source": "folder", "path": str(tmp_path), "channels": 3}
    config["datasets"]["mine"] = entry | {"resolution": 32, "test": 100}
    item = billed(config, "dataset", dataset="mine")
    assert (item.jobs, item.size) == (1, 0)
    assert item.unknown == {"how many images mine has for training is not known beforehand"}

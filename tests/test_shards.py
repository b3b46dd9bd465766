"""Shards: which images of a case a job restores."""

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow"))

from config_reading import read_experiment  # noqa: E402


def experiment(shard_size):
    """Of 32 test images of digits."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"shard_size": shard_size}
    return read_experiment(config, "config.yaml")


@pytest.mark.parametrize("method", ["rgi", "median"])
@pytest.mark.parametrize("shard_size", [1, 5, 16, 32, 33])
def test_every_image_is_in_one_shard(method, shard_size):
    found = experiment(shard_size)
    place = "digits", "block", method
    rows = [found.shard_rows(*place, shard) for shard in found.shards(*place)]
    assert [row for first, last in rows for row in range(first, last)] == list(range(32))
    files = found.restorations(*place)
    assert len(files) == len(set(files)) == len(rows) * len(found.methods[method].lams)


def test_a_filter_s_jobs_take_more_images_each():
    found = experiment(1)
    assert len(found.shards("digits", "block", "rgi")) == 32
    assert [found.shard_rows("digits", "block", "median", n) for n in (0, 1)] == [(0, 20), (20, 32)]

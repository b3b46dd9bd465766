"""The experiment on energy-based projection, made small, from source to report."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from test_workflow import ROOT, snakemake

OVERLAY = ROOT / "experiments/energy-projection.yaml"
FINDING = ["l2-ae-grad", "dsae-grad", "vae", "vae-grad", "gamma-vae-grad", "vae-gradient-loss"]
FILLING = ["vae-grad-blind", "vae-grad-with-mask"]


def small(path: Path) -> Path:
    """An overlay of the experiment: 16 pixels, a few steps, a case of each table."""
    overlay = yaml.safe_load(OVERLAY.read_text())
    entry = {"latent_dim": 8, "widths": [8, 8], "window": 7, "images_shown": 640, "batch": 32}
    descends = {"lam": [0.05], "settings": {"steps": 12, "quantile": None}}
    change = {
        "folds": 2,
        "shard_size": 8,
        "datasets": {"brick-32": {"resolution": 16, "train": 64, "test": 8}},
        "autoencoders": {"brick-32": dict.fromkeys(overlay["autoencoders"]["brick-32"], entry)},
        "methods": {name: descends for name in overlay["methods"] if "-grad" in name[3:]},
        "tables": {
            "inpainting": {"cases": ["block"], "methods": FILLING},
            "anomaly-detection": {"cases": ["crack"], "methods": FINDING},
        },
    }
    for name in ("vae-gradient", "vae-gradient-loss"):
        change["methods"].pop(name, None)
    path.write_text(yaml.safe_dump(change))
    return path


@pytest.mark.slow
def test_projections_go_through_the_same_rules_as_every_method(tmp_path):
    snakemake(tmp_path, "--configfile", OVERLAY, small(tmp_path / "small.yaml"))
    assert not (tmp_path / "results/generators").exists()  # no method here inverts one
    found = pd.read_csv(tmp_path / "reports/tables/anomaly-detection.csv")
    assert set(found["method"]) == set(FINDING)
    pooled = found[(found["metric"] == "auroc") & (found["statistic"] == "pooled")]
    assert pooled["value"].between(0, 1).all()
    filled = pd.read_csv(tmp_path / "reports/tables/inpainting.csv")
    assert set(filled["method"]) == set(FILLING)
    cost = pd.read_csv(tmp_path / "reports/tables/cost.csv")
    passes = cost[cost["metric"] == "passes"].groupby("method")["value"].max()
    assert passes["vae"] == 1
    assert passes["vae-grad"] > 1
    assert (tmp_path / "reports/report.html").stat().st_size

    case = np.load(tmp_path / "results/cases/brick-32/block.npz", allow_pickle=False)
    folder = tmp_path / "results/restorations/brick-32/block/vae-grad-with-mask/0.05"
    with np.load(folder / "0.npz", allow_pickle=False) as arrays:
        held = np.broadcast_to(~case["mask"][:, None], case["corrupted"].shape)
        np.testing.assert_allclose(arrays["restored"][held], case["corrupted"][held], atol=1e-6)
        assert not np.allclose(arrays["restored"][~held], case["corrupted"][~held])
        assert np.array_equal(arrays["score"] > 0.5, case["mask"])

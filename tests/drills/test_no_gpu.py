"""A job that was given no GPU, as on a node whose GPUs are others'."""

import drill
import pytest


@pytest.mark.slow
def test_what_asked_for_a_gpu_says_that_there_is_none_and_goes_on_without(undisturbed, tmp_path):
    output = drill.failing(tmp_path, "--config", "device=cuda")
    assert "error: device: cuda was asked for, but torch sees no GPU; allowed: auto" in output
    assert not (tmp_path / "results/generators/digits/checkpoint.pt").exists()
    drill.snakemake(tmp_path)
    drill.check_tables(tmp_path, undisturbed)


@pytest.mark.slow
def test_the_logs_of_all_jobs_that_would_take_a_gpu_say_that_they_had_none(undisturbed):
    logs = undisturbed / "results/logs"
    training = logs / "generator/digits.log"
    inversions = list((logs / "restore/digits/block/rgi").rglob("*.log"))
    assert len(inversions) == 2
    for log in (training, *inversions):
        expected = "device: auto, hence cpu: torch sees no GPU (CUDA_VISIBLE_DEVICES: empty)"
        assert expected in log.read_text(), log

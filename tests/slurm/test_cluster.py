"""`snakemake --profile slurm` on a real cluster gives the tables of a run on this machine."""

import re

import pytest
import runs
from cluster import output

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def finished(cluster, tmp_path_factory):
    """A directory in which the small experiment has run on the cluster."""
    directory = tmp_path_factory.mktemp("finished")
    runs.run(directory, *runs.PROFILE)
    return directory


def test_tables_equal_those_of_a_local_run_to_the_last_digit(finished, undisturbed):
    runs.assert_same_tables(finished, undisturbed)


def test_heavy_jobs_went_through_the_queue_and_asked_for_a_gpu(finished, cluster):
    said = (finished / "run.log").read_text()
    submitted = set(re.findall(r"rule_(\w+(?:-\w+)*)/", said))
    assert {"generator", "restore_inversion", "restore_all_lambdas_of_rgi-profile"} <= submitted
    assert not {"selection", "scores", "table", "figure", "report"} & submitted
    # Both 200 characters wide.
    asked = output("squeue", "--states=all", "--noheader", "-O", "Comment:200,tres-per-job:200")
    gpus = {line[:200].strip(): line[200:].strip() for line in asked.splitlines()}
    assert gpus
    heavy = ("rule_generator", "rule_restore_inversion", "rule_restore_all_lambdas")
    for comment, gpu in gpus.items():
        assert (gpu == "gres:gpu:1") == comment.startswith(heavy), (comment, gpu)

"""One test cluster for all tests of this folder; what they have in common."""

import signal

import pytest
import runs
from cluster import ClusterError, running_cluster


@pytest.fixture(scope="session")
def cluster():
    """The running cluster: tests/slurm/cluster.py."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # take it down also then
    try:
        with running_cluster() as cluster:
            yield cluster
    except ClusterError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A directory in which the small experiment has run without a cluster."""
    directory = tmp_path_factory.mktemp("undisturbed")
    runs.run(directory, "--cores", "2")
    return directory

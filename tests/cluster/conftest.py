"""The cluster, after `make kind-up`, and the runs that several tests look at. Files run in the order of their names."""

from pathlib import Path
from typing import Any

import pytest

from cluster_toys import Toy
from cluster_world import Cluster, wait


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster; it must be there."""
    found = Cluster()
    found.kubectl("get", "deployment", found.deployment)
    return found


@pytest.fixture(scope="session")
def toy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The toy recipe."""
    return Toy(cluster, tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def undisturbed(cluster: Cluster, toy: Toy) -> dict[str, Any]:
    """Run `toy-a`: the object store is restarted while its `ingest` begins; its training is left alone."""
    store = f"{cluster.release}-object-store-0"
    before = cluster.get("pod", store)["metadata"]["uid"]
    toy.submit("toy-a")
    wait(lambda: cluster.pods("toy-a", "ingest"), "the pod of ingest", 180, pause=0.2)
    cluster.kubectl("delete", "pod", store, "--wait=false")
    found = cluster.complete("toy-a")
    assert cluster.get("pod", store)["metadata"]["uid"] != before, "the store was not restarted"
    return found

"""Upgrades change nothing that they need not; what is uninstalled comes back with its data."""

import pytest

from cluster_toys import FEWER, archive, weights
from cluster_world import Cluster, wait


def test_two_upgrades_change_no_secret_and_no_endpoint(cluster: Cluster) -> None:
    def state() -> tuple[object, ...]:
        secrets = {
            item["metadata"]["name"]: item.get("data")
            for item in cluster.get("secrets")["items"]
            if "helm" not in item["type"]
        }
        pods = sorted(item["metadata"]["uid"] for item in cluster.ready_pods())
        return secrets, pods, cluster.served()

    before = state()
    for _ in range(2):
        cluster.upgrade()
        assert state() == before
    assert cluster.predict()[0] == 200


KINDS = (
    "deployments,statefulsets,jobs,cronjobs,services,ingresses,configmaps,serviceaccounts,roles,rolebindings,"
    "networkpolicies,poddisruptionbudgets,horizontalpodautoscalers"
)


@pytest.mark.full
def test_uninstalling_leaves_data_and_keys_and_installing_again_serves_the_same(cluster: Cluster) -> None:
    root = cluster.secret(f"{cluster.release}-object-store-root", "root_password")
    cluster.helm("uninstall", cluster.release, "--wait", "--timeout", "5m")
    selector = f"app.kubernetes.io/instance={cluster.release}"
    wait(
        lambda: not cluster.get("pods", "--selector", f"{selector},app.kubernetes.io/component!=stage")["items"],
        "the end of its pods",
    )
    left = [
        f"{item['kind']}/{item['metadata']['name']}" for item in cluster.get(KINDS, "--selector", selector)["items"]
    ]
    assert left == []
    assert cluster.get("persistentvolumeclaims", "--selector", selector)["items"]
    kept = cluster.get("secrets", "--selector", selector)["items"]
    assert all(item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for item in kept)
    assert cluster.secret(f"{cluster.release}-object-store-root", "root_password") == root
    cluster.upgrade()
    cluster.forget_settings()
    assert cluster.secret(f"{cluster.release}-object-store-root", "root_password") == root
    assert set(cluster.show("tweets-1")["stages"]) >= {"train", "package"}
    # The champion is a toy with labels of its own: whether the old work is found is the question, not who is better.
    cluster.submit("tweets", "tweets-3", FEWER, "promotion.gate=thresholds")
    found = cluster.complete("tweets-3")
    assert found["stages"]["train"]["attempt"].startswith("adopted:tweets-1:"), "the training was made again"
    assert cluster.predict()[0] == 200
    assert weights(found) == weights(cluster.show("tweets-1"))
    assert cluster.served() == archive(found)

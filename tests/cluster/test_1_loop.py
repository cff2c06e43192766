"""Install, run, predict; and the same recipe again does nothing but look at registry and endpoint."""

import json
import time

import pytest

from cluster_toys import FEWER
from cluster_world import Cluster
from kubetune.stages import STAGES

ARTIFACTS = [stage.name for stage in STAGES if not stage.effect]
TEXTS = ("I love how fast this phone is", "My flight is cancelled and nobody answers the phone")


def test_the_release_is_ready_in_a_namespace_that_enforces_restricted(cluster: Cluster) -> None:
    labels = cluster.get("namespace", cluster.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for kind in ("deployment", "statefulset"):
        for item in cluster.get(kind, "--selector", f"app.kubernetes.io/instance={cluster.release}")["items"]:
            cluster.ready(kind, item["metadata"]["name"])


def test_a_pod_that_breaks_restricted_is_refused_there(cluster: Cluster) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "privileged"}}
    pod["spec"] = {"containers": [{"name": "c", "image": "kubetune/deploy", "securityContext": {"privileged": True}}]}
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        cluster.kubectl("create", "--filename", "-", text=json.dumps(pod))


def test_before_the_first_deploy_the_endpoint_is_ready_and_says_how_to_deploy(cluster: Cluster) -> None:
    if cluster.served() is not None:
        pytest.fail("this cluster has served before: make kind-down, then make kind-up, and test again")
    status, body, _ = cluster.predict()
    assert status == 503
    assert "deploy" in json.dumps(body)


def test_tweets_from_submission_to_prediction(cluster: Cluster) -> None:
    began = time.monotonic()
    cluster.submit("tweets", "tweets-1", FEWER)
    found = cluster.complete("tweets-1")
    print(f"\ntweets, from submission to deployed: {time.monotonic() - began:.0f} s")
    assert set(found["stages"]) == set(ARTIFACTS)
    assert found["stages"]["evaluate"]["metrics"]["macro_f1"] > 0.65
    answers = cluster.kubetune("predict", "--endpoint", "tweets", "--json", *TEXTS)
    assert answers.code == 0, answers.text
    labels = [item["predictions"][0]["label"] for item in json.loads(answers.text)]
    assert labels == ["positive", "negative"]
    assert cluster.predict()[2] == cluster.served()


def test_the_same_recipe_again_adopts_every_stage_but_the_effects(cluster: Cluster) -> None:
    first, served = cluster.show("tweets-1"), cluster.served()
    cluster.submit("tweets", "tweets-2", FEWER)
    again = cluster.complete("tweets-2")
    for stage in ARTIFACTS:
        assert again["stages"][stage]["key"] == first["stages"][stage]["key"], stage
        assert again["stages"][stage]["attempt"].startswith("adopted:tweets-1:"), f"{stage} ran again"
    assert cluster.served() == served

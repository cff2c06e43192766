"""What the account of `deploy` may write into a Deployment that it may patch: two annotations."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import yaml
from chart_helm import objects, template

from cluster_world import ARCHIVE, Cluster, wait
from kubetune.serving.cluster.target import SERVED, change, put_annotation

NAMESPACE = "kt-promo"
NAME = "kubetune-serve-tweets"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:kubetune-deploy"
WANTED = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "Role", "RoleBinding", "ServiceAccount"}
OLD, NEW = "a" * 64, "b" * 64


class Desk:
    """A namespace with a Deployment of the chart, without pods, and the account, Role and policy of `deploy`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def get(self) -> Any:
        return self.cluster.get("deployment", NAME)

    def patch(self, operations: list[dict[str, Any]], account: str = ACCOUNT) -> str:
        """Patch as the stage; return what the API server said."""
        words = ["patch", "deployment", NAME, "--type", "json", "--patch", json.dumps(operations), "--as", account]
        try:
            return self.cluster.kubectl(*words)
        except AssertionError as error:
            return str(error)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    cluster = Cluster()
    cluster.namespace = NAMESPACE
    cluster.kubectl("create", "namespace", NAMESPACE)
    found = objects(template(["kind"], extra=["--namespace", NAMESPACE]))
    made = [item for item in found if item["kind"] in WANTED and "deploy" in item["metadata"]["name"]]
    (deployment,) = (item for item in found if item["kind"] == "Deployment" and item["metadata"]["name"] == NAME)
    deployment["spec"]["replicas"] = 0
    deployment["spec"]["template"]["metadata"].setdefault("annotations", {})["example.com/team"] = "models"
    policies = [item for item in made if item["kind"].startswith("Validating")]
    try:
        cluster.kubectl("apply", "--filename", "-", text=yaml.safe_dump_all([*made, deployment]))
        desk = Desk(cluster)
        # The API server reads a new policy within seconds; until then the Role alone counts, which lets this through.
        # Each try changes something: what was let through once is no change, and no change is never denied.
        tries = (desk.patch([{"op": "add", "path": "/spec/minReadySeconds", "value": value}]) for value in count(1))
        wait(lambda: "denied" in next(tries) or None, "the policy")
        yield desk
    finally:
        cluster.kubectl("delete", "--filename", "-", "--wait=false", text=yaml.safe_dump_all(policies), check=False)
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false", check=False)


def test_what_the_stage_does_is_let_through(desk: Desk) -> None:
    """By the very patches that it sends: first archive, next one, what was seen to serve, back, and none."""
    for wanted in (OLD, NEW, OLD, None, NEW):
        said = desk.patch(change(desk.get(), wanted))
        assert "patched" in said, said
        assert (desk.get()["spec"]["template"]["metadata"]["annotations"]).get(ARCHIVE) == wanted
    assert "patched" in desk.patch([put_annotation(desk.get()["metadata"], "/metadata/annotations", SERVED, NEW)])


POD = "/spec/template/spec"
DENIED = {
    "another image": [{"op": "replace", "path": f"{POD}/containers/0/image", "value": "example.com/mine:1"}],
    "another command": [{"op": "add", "path": f"{POD}/containers/0/command", "value": ["sh"]}],
    "a variable": [{"op": "add", "path": f"{POD}/containers/0/env/-", "value": {"name": "X", "value": "1"}}],
    "no trusted keys": [
        {"op": "add", "path": f"{POD}/initContainers/0/env/-", "value": {"name": "KUBETUNE_TRUSTED_KEYS", "value": ""}}
    ],
    "a container beside it": [
        {"op": "add", "path": f"{POD}/containers/-", "value": {"name": "x", "image": "example.com/mine:1"}}
    ],
    "another account": [{"op": "add", "path": f"{POD}/serviceAccountName", "value": "default"}],
    "a label of the pods": [{"op": "add", "path": "/spec/template/metadata/labels/x", "value": "y"}],
    "another annotation of the pods": [
        {"op": "add", "path": "/spec/template/metadata/annotations/example.com~1x", "value": "y"}
    ],
    "a changed annotation of the pods": [
        {"op": "replace", "path": "/spec/template/metadata/annotations/example.com~1team", "value": "y"}
    ],
    "a lost annotation of the pods": [
        {"op": "remove", "path": "/spec/template/metadata/annotations/example.com~1team"}
    ],
    "no digest": [{"op": "add", "path": "/spec/template/metadata/annotations/kubetune.io~1archive", "value": "latest"}],
    "more replicas": [{"op": "replace", "path": "/spec/replicas", "value": 3}],
    "a pause": [{"op": "add", "path": "/spec/paused", "value": True}],
    "another rollout": [{"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}}],
    "a deadline": [{"op": "replace", "path": "/spec/progressDeadlineSeconds", "value": 4321}],
    "another label": [{"op": "add", "path": "/metadata/labels/x", "value": "y"}],
    "another annotation": [{"op": "add", "path": "/metadata/annotations", "value": {"x": "y"}}],
    "a finalizer": [{"op": "add", "path": "/metadata/finalizers", "value": ["example.com/mine"]}],
}


@pytest.mark.parametrize("what", DENIED)
def test_all_else_is_denied(desk: Desk, what: str) -> None:
    before = desk.get()["spec"]
    said = desk.patch(DENIED[what])
    assert "ValidatingAdmissionPolicy" in said and "denied request" in said, said
    assert desk.get()["spec"] == before


def test_others_are_not_bound(desk: Desk) -> None:
    """Helm and people go on changing the Deployment."""
    for what in ("another label", "a variable"):
        words = ("patch", "deployment", NAME, "--type", "json", "--patch", json.dumps(DENIED[what]))
        assert "patched" in desk.cluster.kubectl(*words)

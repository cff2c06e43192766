"""The schema of the chart's values: closed, described, made of its source, and equal to values.yaml both ways."""

from collections.abc import Iterator
from typing import Any

import pytest
import schema as made
import yaml
from chart_helm import CHART, HelmError, template

SCHEMA = made.schema()
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
DIGEST = "sha256:" + "0" * 64

REFUSED = {
    "a misspelt top-level key": ('servings={"endpoints":{}}', "servings"),
    "a misspelt key deep inside": ("airflow.scheduler.paralelism=4", "airflow.scheduler paralelism"),
    "a key of global": ('global={"imageRegistry":"example.org"}', "global imageRegistry"),
    "a mode that does not exist": ('database.mode="embedded"', "database.mode"),
    "a pull policy": ('image.pullPolicy="Sometimes"', "image.pullPolicy"),
    "a digest of an image that is not ours": (f'image.digests={{"torch":"{DIGEST}"}}', "image.digests torch"),
    "a digest that is a tag": ('image.digests={"train":"0.1.0"}', "image.digests.train"),
    "replicas as text": ('airflow.apiServer.replicas="two"', "airflow.apiServer.replicas"),
    "fewer workers than one": ("airflow.apiServer.workers=0", "airflow.apiServer.workers"),
    "an endpoint of a store without a scheme": ('objectStore.endpoint="store:9000"', "objectStore.endpoint"),
    "a bucket in capitals": ('objectStore.bucket="Models"', "objectStore.bucket"),
    "a user whom nobody knows": ('objectStore.users={"root":{"accessKey":"a"}}', "objectStore.users root"),
    "a key of a user": ('objectStore.users={"train":{"password":"secret-secret"}}', "objectStore.users.train password"),
    "a schedule without a recipe": (
        'airflow.schedules={"nightly":{"cron":"0 3 * * *"}}',
        "airflow.schedules.nightly recipe",
    ),
    "a schedule's name in capitals": (
        'airflow.schedules={"Nightly":{"cron":"0 3 * * *","recipe":"tweets"}}',
        "airflow.schedules Nightly",
    ),
    "an override without a value": (
        'airflow.schedules={"nightly":{"cron":"0 3 * * *","recipe":"tweets","overrides":["training.epochs"]}}',
        "airflow.schedules.nightly.overrides.0",
    ),
    "a recipe that is a map": ('recipes.inline={"mine":{"name":"mine"}}', "recipes.inline.mine"),
    "a recipe's name with a suffix": ('recipes.inline={"mine.yaml":"name: mine"}', "recipes.inline mine.yaml"),
    "resources of a stage that does not exist": (
        'pipelines.resources={"training":{"cpu":"2"}}',
        "pipelines.resources training",
    ),
    "variables of a stage that does not exist": (
        'pipelines.environment={"fetsch":{"A":"b"}}',
        "pipelines.environment fetsch",
    ),
    "Secrets of a stage that does not exist": ('pipelines.secrets={"fetsch":["a"]}', "pipelines.secrets fetsch"),
    "a quantity": (
        'airflow.scheduler.resources={"limits":{"memory":"2 GB"}}',
        "airflow.scheduler.resources.limits.memory",
    ),
    "a resource key": ('airflow.scheduler.resources={"limit":{"memory":"2Gi"}}', "airflow.scheduler.resources limit"),
    "a budget of half a pod": ('airflow.apiServer.pdb={"minAvailable":"half"}', "airflow.apiServer.pdb.minAvailable"),
    "a label that selectors hold": (
        'global.labels={"app.kubernetes.io/name":"other"}',
        "global.labels.app.kubernetes.io.name leave it out",
    ),
    "a label of ours on an endpoint": (
        'serving.endpoints={"tweets":{"podLabels":{"kubetune.io/endpoint":"x"}}}',
        "serving.endpoints.tweets.podLabels.kubetune.io.endpoint leave it out",
    ),
    "a node port out of range": ("airflow.apiServer.service.nodePort=70000", "airflow.apiServer.service.nodePort"),
    "a login manager": ('airflow.auth.manager="none"', "airflow.auth.manager"),
    "an address block": ('network.outside.cidrs=["everywhere"]', "network.outside.cidrs.0"),
    "an endpoint's misspelt key": ('serving.endpoints={"tweets":{"replica":2}}', "serving.endpoints.tweets replica"),
    "an endpoint's name in capitals": ('serving.endpoints={"Tweets":{}}', "serving.endpoints Tweets"),
    "a setting of the gateway": (
        'serving.endpoints={"tweets":{"settings":{"RATE":"5"}}}',
        "serving.endpoints.tweets.settings RATE",
    ),
}
"""Mistake → a setting that makes it, and what its message must hold: the path of the key that is wrong, or of the map
that it stands in and the key."""


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Return a node with its definition put in."""
    for part in (node, *node.get("allOf", ())):
        if "$ref" in part:
            return {**SCHEMA["definitions"][part["$ref"].rpartition("/")[2]], **node}
    return node


def named(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Walk over every named property of the schema."""
    for key, child in resolved(node).get("properties", {}).items():
        yield (*path, key), resolved(child)
        yield from named(child, (*path, key))


def written(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Walk over every key of values.yaml, but not into maps whose keys are the user's."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield (*path, key)
            if KNOWN.get((*path, key), {}).get("properties"):
                yield from written(child, (*path, key))


KNOWN = dict(named(SCHEMA))
OPTIONAL = {"requests", "limits", "initialDelaySeconds", "nodeAffinity", "podAffinity", "podAntiAffinity"}
"""Keys of shared shapes that a default need not spell out."""


def test_the_committed_schema_is_the_generated_one() -> None:
    assert made.TARGET.read_text(encoding="utf-8") == made.text()


def test_every_value_is_in_the_schema() -> None:
    assert [path for path in written(VALUES) if path not in KNOWN] == []


def test_every_schema_key_has_a_default() -> None:
    there = set(written(VALUES))
    assert sorted(path for path in KNOWN if path not in there and path[-1] not in OPTIONAL) == []
    assert len(there) > 300


def test_every_object_with_named_keys_is_closed_and_described() -> None:
    nodes: list[Any] = [SCHEMA]
    objects = 0
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if isinstance(node.get("properties"), dict) and node.get("type") == "object":
                objects += 1
                assert node["additionalProperties"] is False, node
            nodes += [value for key, value in node.items() if key != "not"]
        elif isinstance(node, list):
            nodes += node
    assert objects > 60
    assert [path for path, node in KNOWN.items() if len(path) > 1 and not node.get("description")] == []


@pytest.mark.parametrize("major", [3, 4])
@pytest.mark.parametrize("what", REFUSED)
def test_a_mistake_is_refused_at_the_key_that_is_wrong(what: str, major: int) -> None:
    setting, pointer = REFUSED[what]
    with pytest.raises(HelmError, match="schema") as caught:
        template(["dev"], major=major, settings=[setting])
    # Helm 3 writes a.b.c, Helm 4 a JSON pointer.
    found = [
        line.replace("/", ".").replace("~1", ".").replace("'.", " ")
        for line in str(caught.value).splitlines()
        if line.lstrip().startswith("- ")
    ]
    path, _, key = pointer.partition(" ")
    assert any(path in line and key in line for line in found), found
    assert not any("allOf" in line or "at ''" in line for line in found if path != "servings"), found

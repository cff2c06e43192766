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
    "a misspelt top-level key": 'servings={"endpoints":{}}',
    "a misspelt key deep inside": "airflow.scheduler.paralelism=4",
    "a key of global": 'global={"imageRegistry":"example.org"}',
    "a mode that does not exist": 'database.mode="embedded"',
    "a pull policy": 'image.pullPolicy="Sometimes"',
    "a digest of an image that is not ours": f'image.digests={{"torch":"{DIGEST}"}}',
    "a digest that is a tag": 'image.digests={"train":"0.1.0"}',
    "replicas as text": 'airflow.apiServer.replicas="two"',
    "fewer workers than one": "airflow.apiServer.workers=0",
    "an endpoint of a store without a scheme": 'objectStore.endpoint="store:9000"',
    "a bucket in capitals": 'objectStore.bucket="Models"',
    "a user whom nobody knows": 'objectStore.users={"root":{"accessKey":"a"}}',
    "a key of a user": 'objectStore.users={"train":{"password":"secret-secret"}}',
    "a schedule without a recipe": 'airflow.schedules={"nightly":{"cron":"0 3 * * *"}}',
    "an override without a value": (
        'airflow.schedules={"nightly":{"cron":"0 3 * * *","recipe":"tweets","overrides":["training.epochs"]}}'
    ),
    "a recipe that is a map": 'recipes.inline={"mine":{"name":"mine"}}',
    "resources of a stage that does not exist": 'pipelines.resources={"training":{"cpu":"2"}}',
    "a quantity": 'airflow.scheduler.resources={"limits":{"memory":"2 GB"}}',
    "a resource key": 'airflow.scheduler.resources={"limit":{"memory":"2Gi"}}',
    "both bounds of a budget": 'airflow.apiServer.pdb={"enabled":true,"minAvailable":1,"maxUnavailable":1}',
    "a label that selectors hold": 'global.labels={"app.kubernetes.io/name":"other"}',
    "a node port out of range": "airflow.apiServer.service.nodePort=70000",
    "a login manager": 'airflow.auth.manager="none"',
    "an address block": 'network.outside.cidrs=["everywhere"]',
    "an endpoint's misspelt key": 'serving.endpoints={"tweets":{"replica":2}}',
}


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
def test_a_mistake_is_refused(what: str, major: int) -> None:
    with pytest.raises(HelmError, match="schema"):
        template(["dev"], major=major, settings=[REFUSED[what]])

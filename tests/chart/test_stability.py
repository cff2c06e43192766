"""What may never change between releases: Kubernetes refuses it in place, or data would be left behind.

The golden file is the first release; a change of it needs a migration that the change log describes.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from chart_world import Object, rendered

GOLDEN = Path(__file__).parent / "golden" / "immutable.json"
PROFILES = ("kind", "all-features")


def immutable(found: tuple[Object, ...]) -> dict[str, Any]:
    """Selectors, claims, service names, and the keys of Secrets, by kind and name."""
    result: dict[str, Any] = {}
    for item in found:
        name, spec = f"{item['kind']} {item['metadata']['name']}", item.get("spec", {})
        if item["kind"] in {"Deployment", "StatefulSet"}:
            result[name] = {"selector": spec["selector"]}
        if item["kind"] == "StatefulSet":
            result[name] |= {
                "serviceName": spec["serviceName"],
                "podManagementPolicy": spec.get("podManagementPolicy", "OrderedReady"),
                "claims": [
                    {"name": claim["metadata"]["name"], "labels": claim["metadata"].get("labels", {}), **claim["spec"]}
                    for claim in spec.get("volumeClaimTemplates", [])
                ],
            }
        if item["kind"] == "PersistentVolumeClaim":
            result[name] = {"accessModes": spec["accessModes"]}
        if item["kind"] == "Service":
            result[name] = {"selector": spec["selector"], "headless": spec.get("clusterIP") == "None"}
        if item["kind"] == "Secret":
            result[name] = {"keys": sorted({**item.get("data", {}), **item.get("stringData", {})})}
    return result


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_immutable_changed(profile: str) -> None:
    found = immutable(rendered(profile))
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    if os.environ.get("KUBETUNE_TEST_REGENERATE"):
        golden[profile] = found
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert len(found) >= 15
    assert found == golden[profile]


def test_selectors_hold_identity_only() -> None:
    """A version in a selector would refuse the next upgrade."""
    allowed = {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")} | {"kubetune.io/endpoint"}
    for name, parts in immutable(rendered("all-features")).items():
        selector = parts.get("selector", {})
        labels = set(selector.get("matchLabels", selector))
        assert labels <= allowed, name


def test_what_runs_under_way_need_survives_any_change_of_values() -> None:
    """Roles keep their names and what they bind, so that Helm changes them in place; the class is never deleted."""

    def needed(*settings: str) -> dict[tuple[str, str], Any]:
        found = rendered("all-features", settings=settings)
        kinds = {"Role", "RoleBinding", "ServiceAccount", "PriorityClass"}
        return {(item["kind"], item["metadata"]["name"]): item for item in found if item["kind"] in kinds}

    before = needed()
    assert len(before) >= 12
    for settings in (
        ('image.tag="9.9.9"', "airflow.scheduler.replicas=3", 'global.labels={"a":"b"}'),
        ("serving.endpoints=null", "tests.enabled=false", "airflow.schedules=null"),
    ):
        after = needed(*settings)
        gone = {name for kind, name in before.keys() - after.keys() if kind != "ServiceAccount"}
        assert gone == set()
        for key, item in before.items():
            if key[0] == "RoleBinding":
                assert after[key]["roleRef"] == item["roleRef"]
    (kept,) = (item for (kind, _), item in before.items() if kind == "PriorityClass")
    assert kept["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    # Kubernetes refuses a role that names none as one of all: without endpoints, none may be changed.
    rules = needed("serving.endpoints=null", "tests.enabled=false", "airflow.schedules=null")[
        ("Role", "kubetune-deployer")
    ]["rules"]
    assert [rule["resources"] for rule in rules] == [["pods"]]

"""What the chart renders, read as objects: profiles, pods of every kind, their containers and what they name."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_helm import CHART, HIGHEST, NoHelmError, helm, objects, template

PROFILES = ("dev", "kind", "prod", "all-features")
EXAMPLES = CHART / "examples"
EXISTING = EXAMPLES / "existing-secrets.yaml"
SITES = {"prod": (EXISTING, EXAMPLES / "production.yaml")}
"""What a site adds to a profile that does not render alone."""
EXTRA = {
    "all-features": tuple(
        f"--api-versions=monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule")
    )
}
"""What a profile's cluster knows beside Kubernetes' own kinds."""
OUTSIDE: dict[str, dict[str, set[str]]] = {
    "prod": {
        "Secret": {
            "registry-credentials",
            "kubetune-tweets-keys",
            "kubetune-test-key",
            "kubetune-signing-key",
            "kubetune-trusted-keys",
        }
    },
    "all-features": {
        "Secret": {"topics-keys", "test-key", "tweets-tls", "airflow-tls", "store-tls", "registry-key", "tracking-tls"},
        "ConfigMap": {"further-settings", "private-ca"},
    },
}
"""What a profile's values name and its site has: Secrets and ConfigMaps."""
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob", "Pod", "DaemonSet")

Object = dict[str, Any]


@dataclass(frozen=True)
class PodTemplate:
    """A pod that is there or that something makes.

    Attributes:
        kind: Kind of its owner.
        name: Name of its owner.
        labels: The pod's own labels.
        annotations: The pod's own annotations.
        spec: Its specification.
    """

    kind: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def containers(self) -> list[Object]:
        """All containers, those that only prepare included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def __str__(self) -> str:
        """Kind and name, for messages."""
        return f"{self.kind} {self.name}"


def values_of(profile: str) -> list[Path | str]:
    """Return a profile with what its site must add."""
    return [profile, *SITES.get(profile, ())]


def secrets_of_site(profile: str) -> dict[str, set[str]]:
    """Return names of what a site brings along to a profile."""
    given = OUTSIDE.get(profile, {})
    existing = yaml.safe_load(EXISTING.read_text(encoding="utf-8")) if profile in SITES else {}
    return {"Secret": given.get("Secret", set()) | set(_named(existing)), "ConfigMap": given.get("ConfigMap", set())}


def _named(values: Any) -> Iterator[str]:
    for key, value in values.items():
        if key == "existingSecret":
            yield value
        elif isinstance(value, dict):
            yield from _named(value)


@cache
def text_of(profile: str, major: int = 3, kubernetes: str = HIGHEST, settings: tuple[str, ...] = ()) -> str:
    """Render a profile once for all tests of a process; a missing Helm fails where CI promised one."""
    try:
        helm(major)
    except NoHelmError as error:
        if os.environ.get("CI") or (os.uname().sysname == "Linux" and os.uname().machine == "x86_64"):
            pytest.fail(str(error))
        pytest.skip(f"{error} The chart's tests did not run.")
    return template(
        values_of(profile), major=major, kubernetes=kubernetes, settings=settings, extra=EXTRA.get(profile, ())
    )


@cache
def _parsed(profile: str, major: int, kubernetes: str, settings: tuple[str, ...]) -> tuple[Object, ...]:
    return tuple(objects(text_of(profile, major, kubernetes, settings)))


def rendered(
    profile: str, major: int = 3, kubernetes: str = HIGHEST, settings: tuple[str, ...] = ()
) -> tuple[Object, ...]:
    """Return a profile's objects; do not change them, they are shared."""
    return _parsed(profile, major, kubernetes, settings)


def of_kind(found: tuple[Object, ...] | list[Object], *kinds: str) -> list[Object]:
    """Return the objects of some kinds."""
    return [item for item in found if item["kind"] in kinds]


def named(found: tuple[Object, ...] | list[Object], kind: str, name: str) -> Object:
    """Return one object."""
    match = [item for item in found if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(match) == 1, f"{len(match)} objects {kind} {name}"
    return match[0]


def pods_of(found: tuple[Object, ...] | list[Object]) -> list[PodTemplate]:
    """Return every pod in a render."""
    return [pod for item in of_kind(found, *WORKLOADS) for pod in _pods(item)]


def _pods(item: Object) -> Iterator[PodTemplate]:
    kind, spec = item["kind"], item.get("spec", {})
    if kind == "Pod":
        template_ = item
    elif kind == "CronJob":
        template_ = spec["jobTemplate"]["spec"]["template"]
    else:
        template_ = spec["template"]
    meta = template_.get("metadata", {})
    yield PodTemplate(
        kind, item["metadata"]["name"], meta.get("labels", {}), meta.get("annotations", {}), template_["spec"]
    )


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Say whether a label selector takes these labels, by Kubernetes' rules."""
    selector = selector or {}
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_holds(rule, labels) for rule in selector.get("matchExpressions", []))


def _holds(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(rule["key"]), rule.get("values", [])
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[rule["operator"]]


def hashless(name: str) -> str:
    """An immutable Job carries a hash of its specification in its name."""
    return re.sub(r"-[0-9a-f]{8}$", "-<hash>", name)

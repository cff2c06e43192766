"""Prometheus' own programs, and the rules and dashboards of the chart as it reads them."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from chart_helm import CHART, objects, template

NAMES = re.compile(r"kubetune_[a-z_]+")


def program(name: str) -> str:
    """Return the path of `promtool` or `prometheus`; without it a test fails where CI promised one."""
    if found := shutil.which(name):
        return found
    message = f"{name} is not installed (Debian: apt-get install prometheus): the alerts were not tested"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def rules(*settings: str) -> dict[str, Any]:
    """Return the rule groups of a release with profile `kind`, as the operator hands them to Prometheus."""
    known = "--api-versions=monitoring.coreos.com/v1/PrometheusRule"
    found = objects(template(["kind"], settings=["monitoring.rules.enabled=true", *settings], extra=[known]))
    (rule,) = (item for item in found if item["kind"] == "PrometheusRule")
    spec: dict[str, Any] = rule["spec"]
    return spec


def panels() -> dict[str, list[str]]:
    """Return the queries of all dashboards by panel, variables too."""
    found: dict[str, list[str]] = {}
    for path in sorted((CHART / "dashboards").glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            found[f"{path.stem}: {panel['title']}"] = [target["expr"] for target in panel["targets"]]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                found[f"{path.stem}: variable {variable['name']}"] = [variable["query"]]
    return found


def metric_names(texts: list[str]) -> set[str]:
    """Return the metrics of ours that expressions name; whatever else they hold is PromQL, labels or a variable."""
    return {name for text in texts for name in NAMES.findall(text)}


def write_rules(folder: Path, spec: dict[str, Any]) -> Path:
    """Write a rule file; JSON is YAML."""
    path = folder / "rules.yaml"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path

"""Kubernetes' own schemas, strict, of the package kubernetes-validate; read once."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from chart_world import Object

FOLDER = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
OWN = Path(__file__).parent / "chart" / "schemas"
"""Of kinds that are not Kubernetes' own: the parts that the chart uses, closed."""


@cache
def _definitions(version: str) -> Registry[Any]:
    text = (FOLDER / f"v{version}-local-strict" / "_definitions.json").read_text(encoding="utf-8")
    return Resource.from_contents(json.loads(text)) @ Registry()


@cache
def _validator(version: str, api_version: str, kind: str) -> Draft202012Validator:
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    own = OWN / f"{kind.lower()}.json"
    if own.exists():
        return Draft202012Validator(json.loads(own.read_text(encoding="utf-8")))
    path = FOLDER / f"v{version}-local-strict" / f"{kind.lower()}-{group}.json"
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")), registry=_definitions(version))


def full(version: str) -> str:
    """Return the version whose schemas stand for a minor release, such as `1.37`."""
    names = [path.name[1:].removesuffix("-local-strict") for path in FOLDER.iterdir() if path.name.endswith("strict")]
    return next(name for name in names if name.startswith(f"{version}."))


def faults(item: Object, version: str) -> list[str]:
    """Return what the schema of an object's kind does not allow.

    Args:
        item: The object.
        version: Minor release of Kubernetes, such as `1.30`.
    """
    validator = _validator(full(version), item["apiVersion"], item["kind"])
    return [
        f"{item['kind']} {item['metadata']['name']}: {'.'.join(map(str, error.absolute_path))}: {error.message:.200}"
        for error in validator.iter_errors(item)
    ]

"""Archives as their manifests say, without files."""

from typing import Any

import toys
from kubetune.serving.archive.manifest import Archive, ServingSettings
from kubetune.serving.protocols.base import EndpointModel


def manifest(*labels: str, task: str = "text-classification", **more: Any) -> Archive:
    return Archive(task, labels or tuple(toys.LABELS), (), 128, ServingSettings(), {}, **more)


def served(archive: Archive | None = None, name: str = "tweets", **more: Any) -> EndpointModel:
    return EndpointModel(name, "0" * 64, archive or manifest(), **more)

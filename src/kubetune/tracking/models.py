"""What the registry's record of a model means in MLflow: versions of equal number, and the aliases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubetune.storage.records import digest_of
from kubetune.storage.registry import RegisteredModel, Version
from kubetune.tracking.facts import LONGEST_TAG, MIRRORED, RUN, STORE, shortened_param

FORMAT = 1
ARCHIVE, VERSION, WITHDRAWN = "kubetune.archive", "kubetune.config.version", "kubetune.withdrawn"
STATES = {"person": "rolled back", "not-ready": "was not ready"}


@dataclass(frozen=True)
class MirroredVersion:
    """How a version shall stand in MLflow.

    Attributes:
        number: Equal on both sides.
        run: Run that made it.
        source: Where its archive is; nothing is copied into MLflow.
        fixed: Tags that never change.
        withdrawn: Why it was taken back; empty: it was not.
    """

    number: int
    run: str
    source: str
    fixed: Mapping[str, str]
    withdrawn: str


@dataclass(frozen=True)
class MirroredModel:
    """How a model shall stand in MLflow.

    Attributes:
        name: Its name there.
        versions: By number, ascending, from 1 without gaps.
        aliases: Alias → number.
        tags: Of the registered model, the mark of the state among them.
    """

    name: str
    versions: tuple[MirroredVersion, ...]
    aliases: Mapping[str, int]
    tags: Mapping[str, str]


def record_digest(model: RegisteredModel) -> str:
    """Return the digest of a model's whole record."""
    record: dict[str, Any] = model.to_json()
    return digest_of([FORMAT, record])


def mirrored_model(model: RegisteredModel, store: str) -> MirroredModel:
    """Return how a model shall stand in MLflow.

    Args:
        model: Its record.
        store: Name of the store.
    """
    last = model.history[-1] if model.history else {}
    description = " ".join(str(last.get(name) or "") for name in ("at", "event", "by", "why"))
    tags = {STORE: store, MIRRORED: record_digest(model), "kubetune.last": shortened_param(description, LONGEST_TAG)}
    versions = tuple(_version(version) for version in model.versions)
    return MirroredModel(model.name, versions, model.aliases(), tags)


def _version(version: Version) -> MirroredVersion:
    fixed = {
        VERSION: str(version.number),
        RUN: version.run,
        ARCHIVE: version.archive,
        "kubetune.model": version.model,
        "kubetune.document": version.document,
        "kubetune.outcome": version.outcome,
        "kubetune.registered": version.at,
    }
    withdrawn = STATES.get(version.withdrawn, version.withdrawn)
    return MirroredVersion(version.number, version.run, f"kubetune:/archive/{version.archive}", fixed, withdrawn)

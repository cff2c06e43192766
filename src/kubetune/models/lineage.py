"""Where an archive comes from, of a run or of a registered version, and what is kept of that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubetune.config.load import canonical
from kubetune.errors import DataError
from kubetune.models.history import marks_of_archive, model_of_run, version_named
from kubetune.models.sign import commits_json
from kubetune.plan import StageCall
from kubetune.provenance.chain import Link, archive_of, chain_of
from kubetune.storage.base import Store
from kubetune.storage.blobs import tree_digest
from kubetune.storage.commit_record import Commit
from kubetune.storage.registry import Version
from kubetune.storage.versions import FORMAT, read_document

COPIED = ("archive", "report", "behaviour")


@dataclass(frozen=True)
class Lineage:
    """What led to an archive.

    Attributes:
        run: That made it.
        archive: Digest by which it is served.
        chain: Its stages, sources first.
        marks: What stands against it in the registry of its model: rolled back, or revoked; mostly nothing.
    """

    run: str
    archive: str
    chain: tuple[Link, ...]
    marks: tuple[str, ...] = ()


def lineage_of(store: Store, name: str) -> Lineage:
    """Return the lineage of `RUN` or `MODEL@VERSION`.

    That of a version is read from its own document: its run may have been deleted since, and the name used again.

    Raises:
        ConfigError: There is no such run, model or version.
        DataError: The run has no archive, its commits do not fit together, or a version of a former kubetune, whose
            document has no chain, was made by a run that is gone.
        CorruptArtifactError: The version's document is missing or broken.
    """
    found = _found(store, name)
    model = name.partition("@")[0] if "@" in name else model_of_run(store, name)
    return replace(found, marks=marks_of_archive(store, model, found.archive))


def _found(store: Store, name: str) -> Lineage:
    version = version_named(store, name)
    if version is None:
        commits = commits_json(store, name)
        return Lineage(name, archive_of(commits), chain_of(commits))
    if chain := read_document(store, version).get("chain"):
        return Lineage(version.run, version.archive, tuple(Link(**link) for link in chain))
    return _of_its_run(store, name, version)


def _of_its_run(store: Store, name: str, version: Version) -> Lineage:
    commits = commits_json(store, version.run)
    archive = archive_of(commits)
    if archive != version.archive:
        raise DataError(
            "lineage",
            f"{name} is archive {version.archive[:12]}, and run {version.run} now holds {archive[:12]}: the run's name "
            "was used again since, and this version was registered before versions kept their own chain.",
        )
    return Lineage(version.run, archive, chain_of(commits))


def version_document(call: StageCall, found: Mapping[str, Commit]) -> dict[str, Any]:
    """Return everything that an audit of this run's model needs.

    Args:
        call: Of stage `register`.
        found: The run's commits by stage.

    Raises:
        DataError: They do not fit together.
    """
    holder = {name: commit for commit in found.values() for name in commit.outputs}
    compare = found["compare"]
    return {
        "format": FORMAT,
        "name": call.endpoint,
        "run": call.run,
        "recipe": canonical(call.recipe),
        "files": {name: [file.to_json() for file in holder[name].outputs[name]] for name in COPIED},
        "artifacts": {name: tree_digest(commit.outputs[name]) for name, commit in sorted(holder.items())},
        "stages": {
            stage: {
                "key": commit.key,
                "fields": dict(commit.fields),
                "image": commit.image,
                "locks": dict(commit.locks),
                "metrics": dict(commit.metrics),
                "verdict": {"code": commit.verdict.code, "reasons": list(commit.verdict.reasons)},
            }
            for stage, commit in found.items()
        },
        "chain": [link.to_json() for link in chain_of(commit.to_json() for commit in found.values())],
        "compared": compare.facts["champion"],
        "decision": {"outcome": compare.facts["outcome"], "reasons": list(compare.verdict.reasons)},
    }

"""The record that makes a stage's artifacts exist. It is written last and never changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kubetune import layout
from kubetune.contract import Verdict
from kubetune.errors import ConflictingCommitError
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, parse_files, tree_digest
from kubetune.storage.records import digest_of, encode, find, settle

FORMAT = 1


@dataclass(frozen=True)
class Commit:
    """One (run, stage) that is done.

    Attributes:
        run: Run id.
        stage: Stage name.
        key: Digest of all that the result depends on.
        fields: The named fields that the key was made of.
        inputs: Artifact name → digest of its file list (`tree_digest`).
        outputs: Artifact name → its files.
        metrics: Flat finite numbers.
        verdict: Whether the plan may go on.
        facts: Further facts of the body.
        fingerprint: What decides whether bits can be equal: versions, device, threads, world size, resumes.
        image: Digest of the container image; empty outside one.
        locks: Lock file → digest.
        attempt: Identity of the execution that wrote it.
    """

    run: str
    stage: str
    key: str
    fields: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, tuple[File, ...]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    image: str = ""
    locks: Mapping[str, str] = field(default_factory=dict)
    attempt: str = ""

    @property
    def files(self) -> tuple[File, ...]:
        """Files of all outputs."""
        return tuple(file for files in self.outputs.values() for file in files)

    @property
    def result(self) -> str:
        """Digest of what two executions must agree on: not who wrote it, when, where or from which image."""
        return digest_of(
            {
                "stage": self.stage,
                "key": self.key,
                "inputs": dict(self.inputs),
                "outputs": {name: tree_digest(files) for name, files in self.outputs.items()},
                "metrics": dict(self.metrics),
                "verdict": [self.verdict.code, list(self.verdict.reasons)],
            }
        )

    def to_json(self) -> dict[str, Any]:
        """As it stands in the store."""
        return {
            "format": FORMAT,
            "run": self.run,
            "stage": self.stage,
            "key": self.key,
            "fields": dict(self.fields),
            "inputs": dict(self.inputs),
            "outputs": {name: [file.to_json() for file in files] for name, files in self.outputs.items()},
            "metrics": dict(self.metrics),
            "verdict": {"code": self.verdict.code, "reasons": list(self.verdict.reasons)},
            "facts": dict(self.facts),
            "fingerprint": dict(self.fingerprint),
            "image": self.image,
            "locks": dict(self.locks),
            "attempt": self.attempt,
        }


def parse_commit(value: Mapping[str, Any]) -> Commit:
    """Read a commit from a record; KeyError, TypeError or ValueError says that it is none."""
    if value["format"] != FORMAT:
        raise ValueError(f"format {value['format']!r:.20} is unknown")
    return Commit(
        run=str(value["run"]),
        stage=str(value["stage"]),
        key=str(value["key"]),
        fields=dict(value["fields"]),
        inputs=dict(value["inputs"]),
        outputs={name: parse_files(files) for name, files in value["outputs"].items()},
        metrics=dict(value["metrics"]),
        verdict=Verdict(int(value["verdict"]["code"]), tuple(value["verdict"]["reasons"])),
        facts=dict(value["facts"]),
        fingerprint=dict(value["fingerprint"]),
        image=str(value["image"]),
        locks=dict(value["locks"]),
        attempt=str(value["attempt"]),
    )


def read_commit(store: Store, run: str, stage: str) -> Commit | None:
    """Return the commit of a stage, or None: nothing, garbage or the record of another stage lies there."""

    def parse(value: Mapping[str, Any]) -> Commit:
        found = parse_commit(value)
        if (found.run, found.stage) != (run, stage):
            raise ValueError("it is the commit of another run or stage")
        return found

    return find(store, layout.commit(run, stage), parse).value


def commit(store: Store, record: Commit) -> Commit:
    """Make a result exist: create the record unless one stands there. The last thing that a stage writes.

    Returns:
        The record that stands: ours, or an equal one that another attempt (or this one, its reply lost) wrote first.

    Raises:
        ConflictingCommitError: A different result stands there. It stays; ours is kept beside it for a person.
    """

    def parse(value: Mapping[str, Any]) -> Commit:
        found = parse_commit(value)
        if (found.run, found.stage) != (record.run, record.stage):
            raise ValueError("it is the commit of another run or stage")
        return found

    standing = settle(store, layout.commit(record.run, record.stage), record.to_json(), parse)
    if standing.result != record.result:
        beside = layout.attempt(record.run, record.stage, f"conflict-{record.result[:12]}")
        store.put(beside, encode(record.to_json()))
        raise ConflictingCommitError(
            f"Stage {record.stage} of run {record.run} is already committed with a different result "
            f"({differences(standing, record)}); the first stands and ours is kept in {beside}: use a new run name."
        )
    return standing


def differences(first: Commit, second: Commit) -> str:
    """Name what differs in two results."""
    named = {
        "key": first.key != second.key,
        "inputs": dict(first.inputs) != dict(second.inputs),
        "metrics": dict(first.metrics) != dict(second.metrics),
        "verdict": first.verdict != second.verdict,
    }
    outputs = {
        f"output {name}": sorted(first.outputs.get(name, ())) != sorted(second.outputs.get(name, ()))
        for name in sorted({*first.outputs, *second.outputs})
    }
    return ", ".join(name for name, differ in {**named, **outputs}.items() if differ)


def adopt(store: Store, found: Commit, run: str, attempt: str) -> Commit:
    """Commit an earlier result in another run; its provenance stays that of the execution that made it."""
    return commit(store, replace(found, run=run, attempt=f"adopted:{found.run}:{attempt}"))


def committed(store: Store, run: str, stages: Iterable[str]) -> dict[str, Commit]:
    """Return the commits of those stages of a run that have one."""
    found = {stage: read_commit(store, run, stage) for stage in stages}
    return {stage: record for stage, record in found.items() if record is not None}

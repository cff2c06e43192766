"""What one finished stage says of itself, and what of it two executions must agree on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetune.contract import Verdict
from kubetune.storage.blobs import File, parse_files, tree_digest
from kubetune.storage.records import digest_of

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

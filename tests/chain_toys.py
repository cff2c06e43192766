"""Commits of a whole run as the stages write them, without running one; every digest follows from its name."""

import hashlib
from pathlib import Path

from kubetune.contract import Verdict
from kubetune.provenance.envelope import sign
from kubetune.provenance.keys import load_signing_key, write_key_pair
from kubetune.provenance.revocations import Revocations
from kubetune.provenance.statement import build_statement
from kubetune.provenance.trust import revocations_file, statement_file, write_beside
from kubetune.serving.archive.manifest import archive_digest
from kubetune.storage.blobs import File, list_tree, tree_digest
from kubetune.storage.commit_record import Commit

INPUTS = {
    "ingest": (),
    "fetch": (),
    "prepare": ("raw", "tokenizer"),
    "train": ("dataset", "tokenizer", "weights"),
    "evaluate": ("dataset", "model"),
    "behave": ("dataset", "tokenizer", "model", "report"),
    "compare": ("dataset", "model", "report", "behaviour", "champion"),
    "package": ("tokenizer", "model", "report", "behaviour", "decision"),
}
OUTPUTS = {
    "ingest": ("raw",),
    "fetch": ("tokenizer", "weights"),
    "prepare": ("dataset",),
    "train": ("model",),
    "evaluate": ("report",),
    "behave": ("behaviour",),
    "compare": ("decision",),
    "package": ("archive",),
}
METRICS = {
    "prepare": {"rows": 2914, "rejected": 12},
    "evaluate": {"accuracy": 0.9312, "macro_f1": 0.9204, "ece": 0.0311, "loss": 0.212, "mcc": 0.84},
    "behave": {"failures": 17},
}
IDENTITY = {"ingest": "package:vaderSentiment==3.3.2", "fetch": "hub:" + "c0ffee" * 6}


def digest(*words: str) -> str:
    return hashlib.sha256("/".join(words).encode()).hexdigest()


def files_of(artifact: str, archive: Path | None) -> tuple[File, ...]:
    if artifact == "archive" and archive is not None:
        return list_tree(archive)
    name = "archive.json" if artifact == "archive" else f"{artifact}.bin"
    return (File(name, 100 + len(artifact), digest("file", artifact)),)


def commits(run: str = "tweets-1", archive: Path | None = None) -> dict[str, Commit]:
    """The commits of a run by stage; `archive` is what `package` wrote, None: a made-up one."""
    trees = {name: tree_digest(files_of(name, archive)) for names in OUTPUTS.values() for name in names}
    trees["champion"] = digest("champion")
    return {stage: commit_of(run, stage, trees, archive) for stage in INPUTS}


def commit_of(run: str, stage: str, trees: dict[str, str], archive: Path | None) -> Commit:
    fields = {
        "stage": stage,
        f"code.kubetune.stages.{stage}": digest("code", stage),
        "recipe.task.kind": '"text-classification"',
        "package.torch": "2.15.0",
        **({"identity": IDENTITY[stage]} if stage in IDENTITY else {}),
    }
    return Commit(
        run=run,
        stage=stage,
        key=digest("key", stage),
        fields=fields,
        inputs={name: trees[name] for name in INPUTS[stage]},
        outputs={name: files_of(name, archive) for name in OUTPUTS[stage]},
        metrics=METRICS.get(stage, {}),
        verdict=Verdict(),
        image="sha256:" + digest("image", stage) if stage != "ingest" else "",
        locks={"environment": digest("lock")},
        attempt="20261122T000000-toy",
    )


def as_json(found: dict[str, Commit]) -> list[dict]:
    return [commit.to_json() for commit in found.values()]


def vouch(keys: Path, archive: Path, archives: Path, model: str) -> Path:
    """Sign a model's archive with a new key, its statement into the folder that is served; returns the public key."""
    write_key_pair(keys)
    key = load_signing_key(keys / "signing.key")
    statement = build_statement(model, archive_digest(archive), as_json(commits(archive=archive)))
    write_beside(statement_file(archives, archive_digest(archive)), sign(statement, key))
    write_beside(revocations_file(archives), Revocations(1).signed(key))
    return keys / "signing.pub"

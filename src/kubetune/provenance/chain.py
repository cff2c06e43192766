"""The commits that led to an artifact, each input found again as an output: what is signed, and what lineage shows."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kubetune.errors import DataError
from kubetune.storage.blobs import tree_digest
from kubetune.storage.commit_record import Commit, parse_commit
from kubetune.storage.records import digest_of
from kubetune.storage.versions import NO_CHAMPION

RULE = "chain"
ARTIFACT = "archive"
MANIFEST = "archive.json"
WORDS = {77: "refused", 99: "not promoted"}


ABSENT = ("champion", digest_of(NO_CHAMPION))
"""The input that says that a first model was compared with nobody: nothing outside the run led to it."""


@dataclass(frozen=True)
class Link:
    """One stage of a chain. No run, host or clock is in it, so that equal chains are equal wherever they ran.

    Attributes:
        stage: Stage name.
        key: Digest of all that its result depends on.
        code: Digest of the code that its body can reach.
        recipe: Digest of the recipe values that it read.
        packages: Version by distribution.
        identity: What the outside thing was (digest, commit, version); empty where nothing outside was read.
        inputs: Artifact name → digest of its file list.
        outputs: The same of what it wrote.
        metrics: Its flat numbers.
        verdict: `code` and `reasons`.
        image: Digest of the container image; empty outside one.
        locks: Lock → digest.
    """

    stage: str
    key: str
    code: str
    recipe: str
    packages: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    image: str = ""
    locks: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a statement."""
        return asdict(self)

    @property
    def read(self) -> dict[str, str]:
        """What the stage was given, for people: `inputs` without the champion that there was not."""
        return {name: digest for name, digest in self.inputs.items() if (name, digest) != ABSENT}

    @property
    def stopped(self) -> tuple[str, ...]:
        """Why the stage let nothing pass, one line each; what follows it was then a manual override."""
        word = WORDS.get(self.verdict.get("code", 0), "stopped")
        return tuple(f"{word}: {reason}" for reason in self.verdict.get("reasons", ()))


def chain_of(commits: Iterable[Mapping[str, Any]], artifact: str = ARTIFACT) -> tuple[Link, ...]:
    """Return the links that lead to an artifact, sources first, that of the artifact last.

    An input that no commit wrote (the champion that a candidate is compared with) comes from outside the run.

    Args:
        commits: Commits of one run, as `Commit.to_json` gives them; those that the artifact does not need are left out.
        artifact: Where the chain ends.

    Raises:
        DataError: No commit wrote it, one is no commit, or an input is not what its producer wrote; rule `chain`.
    """
    links = [link_of(parsed(value)) for value in commits]
    producers = {name: link for link in links for name in link.outputs}
    if artifact not in producers:
        raise DataError(RULE, f"No commit of the run holds {artifact!r}: run it up to there first.")
    found: dict[str, Link] = {}

    def follow(link: Link) -> None:
        for name, digest in sorted(link.inputs.items()):
            producer = producers.get(name)
            if producer is None:
                continue
            if producer.outputs[name] != digest:
                raise DataError(
                    RULE,
                    f"Stage {link.stage} read {name} {digest[:12]}, but {producer.stage} of the run wrote "
                    f"{producer.outputs[name][:12]}: the chain is broken, run the recipe again under a new name.",
                )
            if producer.stage not in found:
                follow(producer)
        found[link.stage] = link

    follow(producers[artifact])
    return tuple(found.values())


def parsed(value: Mapping[str, Any]) -> Commit:
    """Read a commit.

    Raises:
        DataError: It is none.
    """
    try:
        return parse_commit(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            RULE, f"A commit of the run cannot be read ({type(error).__name__}: {error!s:.100})."
        ) from error


def link_of(commit: Commit) -> Link:
    """Return what a commit adds to a chain."""
    fields = commit.fields
    return Link(
        stage=commit.stage,
        key=commit.key,
        code=digest_of({name: value for name, value in fields.items() if name.startswith("code.")}),
        recipe=digest_of({name: value for name, value in fields.items() if name.startswith("recipe.")}),
        packages={
            name.removeprefix("package."): value for name, value in fields.items() if name.startswith("package.")
        },
        identity=fields.get("identity", ""),
        inputs=dict(commit.inputs),
        outputs={name: tree_digest(files) for name, files in commit.outputs.items()},
        metrics=dict(commit.metrics),
        verdict={"code": commit.verdict.code, "reasons": list(commit.verdict.reasons)},
        image=commit.image,
        locks=dict(commit.locks),
    )


def archive_of(commits: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest by which an archive is served: SHA-256 (hex) of its `archive.json`.

    Raises:
        DataError: No commit holds an archive.
    """
    for commit in map(parsed, commits):
        for file in commit.outputs.get(ARTIFACT, ()):
            if file.path == MANIFEST:
                return file.sha256
    raise DataError(RULE, "No commit of the run holds an archive: run it up to stage `package` first.")

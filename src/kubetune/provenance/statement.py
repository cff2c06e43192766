"""The in-toto Statement of an archive: its digest, the model that it is a version of, and the chain that led to it.

Equal chains of one model give equal statements, whichever run they belong to: no run, clock or host is part of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kubetune.errors import DataError
from kubetune.provenance.chain import MANIFEST, RULE, archive_of, chain_of
from kubetune.provenance.envelope import PREDICATE_TYPE, STATEMENT_TYPE

FORMAT = 2


def build_statement(
    model: str,
    digest: str,
    commits: Sequence[Mapping[str, Any]],
    decision: Mapping[str, Any] | None = None,
    name: str = MANIFEST,
) -> dict[str, Any]:
    """Return the statement of an archive.

    Args:
        model: Registered model, hence the endpoint, that may serve it.
        digest: What is served: SHA-256 (hex) of the archive's `archive.json`, see `archive_digest`.
        commits: Commits of the run that made it, as `Commit.to_json` gives them.
        decision: What let it be registered, as JSON; None: nobody decided.
        name: Name of the subject.

    Raises:
        DataError: The commits are not those of this archive, or do not fit together; rule `chain`.
    """
    made = archive_of(commits)
    if made != digest:
        raise DataError(RULE, f"The run's archive is {made[:12]}, not {digest[:12]}: state the run that made it.")
    predicate: dict[str, Any] = {
        "format": FORMAT,
        "model": model,
        "stages": [link.to_json() for link in chain_of(commits)],
    }
    if decision is not None:
        predicate["decision"] = dict(decision)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }


def differing_stages(statement: Mapping[str, Any], commits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the stages in which a statement and a run's commits differ; empty: the statement is of this run.

    Image and locks are left out: they say where a stage ran, and two executions of one key may differ in them.
    """
    stated = {link["stage"]: _comparable(link) for link in statement["predicate"]["stages"]}
    found = {link.stage: _comparable(link.to_json()) for link in chain_of(commits)}
    return sorted(stage for stage in {*stated, *found} if stated.get(stage) != found.get(stage))


def _comparable(link: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in link.items() if name not in {"image", "locks"}}

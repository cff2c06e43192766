"""What is kept of a run whose model is registered: everything that an audit of the version needs."""

from collections.abc import Mapping
from typing import Any

from kubetune.config.load import canonical
from kubetune.plan import StageCall
from kubetune.provenance.chain import chain_of
from kubetune.storage.blobs import tree_digest
from kubetune.storage.commit_record import Commit
from kubetune.storage.versions import FORMAT

COPIED = ("archive", "report", "behaviour")


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

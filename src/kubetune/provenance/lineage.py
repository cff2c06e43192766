"""The chain of a run as a tree, read backwards: an artifact, the stage that wrote it, what that stage read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetune.provenance.chain import ARTIFACT, Link, chain_of

OUTSIDE = ""


@dataclass(frozen=True)
class Node:
    """An artifact in a tree.

    Attributes:
        artifact: Its name.
        digest: Digest of its file list, hex.
        stage: Stage that wrote it; empty where it came from outside the run.
        key: Key of that stage.
        code: Digest of that stage's code.
        identity: What the outside thing was that the stage read; empty where it read none.
        metrics: What the stage measured.
        stopped: Why the stage let nothing pass; empty where it did.
        inputs: What the stage read; empty where `again` is set.
        again: All of this stage stands above already.
    """

    artifact: str
    digest: str
    stage: str = OUTSIDE
    key: str = ""
    code: str = ""
    identity: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    stopped: tuple[str, ...] = ()
    inputs: "tuple[Node, ...]" = ()
    again: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON, nested."""
        own = {name: value for name, value in vars(self).items() if name != "inputs"}
        return {
            **own,
            "metrics": dict(self.metrics),
            "stopped": list(self.stopped),
            "inputs": [node.to_json() for node in self.inputs],
        }


def lineage(commits: Iterable[Mapping[str, Any]], artifact: str = ARTIFACT) -> Node:
    """Return the tree of an artifact. What several stages read is unfolded where it comes first.

    Args:
        commits: Commits of one run, as `Commit.to_json` gives them.
        artifact: Root of the tree.

    Raises:
        DataError: See `chain_of`.
    """
    return tree_of(chain_of(commits, artifact), artifact)


def tree_of(chain: Iterable[Link], artifact: str = ARTIFACT) -> Node:
    """Return the tree of an artifact from a chain, for example that of a statement."""
    producers = {name: link for link in chain for name in link.outputs}
    unfolded: set[str] = set()

    def node(name: str, digest: str) -> Node:
        link = producers.get(name)
        if link is None:
            return Node(name, digest)
        again = link.stage in unfolded
        unfolded.add(link.stage)
        known = list(producers)
        # In the order of the plan, so that what is read first stands first and is unfolded there.
        read = sorted(link.read.items(), key=lambda item: known.index(item[0]) if item[0] in producers else len(known))
        return Node(
            artifact=name,
            digest=digest,
            stage=link.stage,
            key=link.key,
            code=link.code,
            identity="" if again else link.identity,
            metrics={} if again else link.metrics,
            stopped=() if again else link.stopped,
            inputs=() if again else tuple(node(*item) for item in read),
            again=again,
        )

    return node(artifact, producers[artifact].outputs[artifact])

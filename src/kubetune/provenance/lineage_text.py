"""A lineage for a terminal."""

import io
from collections.abc import Mapping

from kubetune.provenance.lineage import Node

SHOWN = 4
SHORT = 12


def tree_text(root: Node, title: str, width: int = 110) -> str:
    """Return a tree as plain lines.

    Args:
        root: The tree.
        title: First line.
        width: Columns; longer lines are folded.
    """
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(title))

    def add(branch: Tree, node: Node) -> None:
        child = branch.add(Text("\n".join([line(node), *(f"  {fact}" for fact in facts(node))])))
        for part in node.inputs:
            add(child, part)

    add(tree, root)
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, legacy_windows=False).print(tree)
    return "\n".join(text.rstrip() for text in out.getvalue().splitlines()) + "\n"


def line(node: Node) -> str:
    """Return an artifact in one line."""
    if not node.stage:
        return f"{node.artifact} {node.digest[:SHORT]}, from outside the run"
    if node.again:
        return f"{node.artifact} {node.digest[:SHORT]} by {node.stage}, see above"
    return f"{node.artifact} {node.digest[:SHORT]} by {node.stage} (key {node.key[:SHORT]}, code {node.code[:SHORT]})"


def facts(node: Node) -> list[str]:
    """Return what else is worth a line of its own."""
    found = [f"read from outside: {node.identity}"] if node.identity else []
    if node.metrics:
        found.append(measured(node.metrics))
    return [*found, *node.stopped]


def measured(metrics: Mapping[str, float], most: int = SHOWN) -> str:
    """Return the first few metrics; those that people know come first."""
    known = ("accuracy", "f1", "exact_match", "macro_f1", "mcc", "ece", "loss", "rows")
    names = sorted(metrics, key=lambda name: (known.index(name) if name in known else len(known), name))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"{name} {metrics[name]:.4g}" for name in names[:most]) + more

"""A run's report: the page that a stage made, headed by what a reader has to know before any number."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.api.html import frame_html
from kubetune.errors import ConfigError

if TYPE_CHECKING:
    from kubetune.storage.base import Store
    from kubetune.storage.commit_record import Commit

HEAD = "</h1>"
"""Behind the page's heading. The artifact itself knows no run, since other runs adopt it byte by byte."""
LONGEST = 200
KEPT = 3
"""Parts of a source that name it: repository, file, version."""
HEIGHT = 800
"""Pixels of a report in a notebook."""
NAMING = (
    "name", "distribution", "path", "paths", "repository", "url", "query", "version", "revision", "architecture",
)  # fmt: skip
"""Keys of a source that a person knows it by."""
MADE = (("compare", "decision"), ("evaluate", "report"))
"""Who writes a page, the one with behaviour and comparison in it first."""


@dataclass(frozen=True)
class RunReport:
    """A report as one HTML document that needs no other file; a notebook shows it inline.

    Attributes:
        run: Run id.
        html: The document.
    """

    run: str
    html: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write the page, folders above it included, and return where it lies.

        Raises:
            OSError: It cannot be written there.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.html, encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        return frame_html(self.html, HEIGHT)


def report_of(store: "Store", run: str, recipe: Mapping[str, Any], commits: "Mapping[str, Commit]") -> RunReport:
    """Return a run's newest report, with recipe, run, model and data at its head.

    Args:
        store: Where the run lives.
        run: Run id.
        recipe: Its resolved recipe.
        commits: Its commits by stage.

    Raises:
        ConfigError: The run has not been evaluated.
        CorruptArtifactError: The store has lost or damaged the page.
    """
    stage, artifact = next(((name, made) for name, made in MADE if name in commits), (None, ""))
    if stage is None:
        raise ConfigError(f"Run {run} has no report yet: stage evaluate has not committed it.")
    page = read_file(store, commits[stage].outputs[artifact], "report.html").decode()
    data: Mapping[str, Any] = {}
    if "prepare" in commits:
        data = json.loads(read_file(store, commits["prepare"].outputs["dataset"], "data_report.json"))
    facts = head_facts(run, recipe, data)
    lines = "".join(f"<li>{escape(name)}: <bdi>{escape(value)}</bdi></li>" for name, value in facts.items())
    before, heading, after = page.partition(HEAD)
    return RunReport(run, f'{before}{heading}\n<ul class="small">{lines}</ul>{after}')


def read_file(store: "Store", files: Any, name: str) -> bytes:
    """Return one file of an artifact, its digest checked.

    Args:
        store: Where it lies.
        files: Files of the artifact.
        name: Relative path of the one.

    Raises:
        CorruptArtifactError: It is missing or broken.
    """
    import tempfile

    from kubetune.storage.blobs import fetch_tree

    with tempfile.TemporaryDirectory(prefix="kubetune-file-") as folder:
        fetch_tree(store, tuple(file for file in files if file.path == name), Path(folder))
        return (Path(folder) / name).read_bytes()


def head_facts(run: str, recipe: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, str]:
    """Return name → value of what a reader has to know before any number.

    Args:
        run: Run id.
        recipe: Resolved recipe.
        data: `data_report.json`; empty: unknown.
    """
    facts = {
        "Recipe": recipe["name"] + (f" ({recipe['description']})" if recipe.get("description") else ""),
        "Run": run,
        "Base model": source_name(recipe["model"]["source"]),
        "Data": source_name(recipe["data"]["source"]),
    }
    if rows := data.get("rows"):
        removed = {name: count for name, count in rows["removed_from_train"].items() if count}
        facts["Data"] += f"; {rows['total']:,} rows read, {rows['rejected']:,} rejected"
        facts["Duplicates"] = ", ".join(f"{name}: {count:,}" for name, count in removed.items()) or "none"
        facts["Duplicates"] += " (removed from train)" if removed else " removed from train"
    return {name: value[:LONGEST] for name, value in facts.items()}


def source_name(source: Mapping[str, Any]) -> str:
    """Return a source in a few words: its kind and what names it."""
    values = [value for key in NAMING if (value := source.get(key))]
    told = [", ".join(map(str, value.values())) if isinstance(value, dict) else str(value) for value in values]
    return " ".join([str(source.get("kind", "")), *told[:KEPT]])

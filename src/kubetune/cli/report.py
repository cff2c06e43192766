"""The report of a run as one page on this machine, headed by what only the run knows."""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubetune.storage.base import Store

PULLED = Path("kubetune-runs")
HEAD = "</h1>"
"""Behind the page's heading. The artifact itself knows no run, since other runs adopt it byte by byte."""
LONGEST = 200
KEPT = 3
"""Parts of a source that name it: repository, file, version."""


def write_report(store: "Store", run: str) -> Path:
    """Write a run's newest report to `kubetune-runs/RUN/report.html`, with recipe, run, model and data at its head.

    Raises:
        ConfigError: The run does not exist, or has not been evaluated.
        CorruptArtifactError: The store has lost or damaged the page.
    """
    from kubetune.errors import ConfigError
    from kubetune.models.history import commits_of, known_run

    commits = commits_of(store, run)
    stage, artifact = next(((name, made) for name, made in MADE if name in commits), (None, ""))
    if stage is None:
        raise ConfigError(f"Run {run} has no report yet: stage evaluate has not committed it.")
    page = read_file(store, commits[stage].outputs[artifact], "report.html").decode()
    data: Mapping[str, Any] = {}
    if "prepare" in commits:
        data = json.loads(read_file(store, commits["prepare"].outputs["dataset"], "data_report.json"))
    facts = head_facts(run, known_run(store, run), data)
    lines = "".join(f"<li>{escape(name)}: <bdi>{escape(value)}</bdi></li>" for name, value in facts.items())
    target = PULLED / run / "report.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    before, heading, after = page.partition(HEAD)
    target.write_text(f'{before}{heading}\n<ul class="small">{lines}</ul>{after}', encoding="utf-8")
    return target


NAMING = (
    "name", "distribution", "path", "paths", "repository", "url", "query", "version", "revision", "architecture",
)  # fmt: skip
"""Keys of a source that a person knows it by."""
MADE = (("compare", "decision"), ("evaluate", "report"))
"""Who writes a page, the one with behaviour and comparison in it first."""


def read_file(store: "Store", files: Any, name: str) -> bytes:
    """Return one file of an artifact, its digest checked.

    Raises:
        CorruptArtifactError: It is missing or broken.
    """
    import tempfile

    from kubetune.storage.blobs import fetch_tree

    with tempfile.TemporaryDirectory(prefix="kubetune-report-") as folder:
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
        "Base model": named(recipe["model"]["source"]),
        "Data": named(recipe["data"]["source"]),
    }
    if rows := data.get("rows"):
        removed = {name: count for name, count in rows["removed_from_train"].items() if count}
        facts["Data"] += f"; {rows['total']:,} rows read, {rows['rejected']:,} rejected"
        facts["Duplicates"] = ", ".join(f"{name}: {count:,}" for name, count in removed.items()) or "none"
        facts["Duplicates"] += " (removed from train)" if removed else " removed from train"
    return {name: value[:LONGEST] for name, value in facts.items()}


def named(source: Mapping[str, Any]) -> str:
    """Return a source in a few words: its kind and what names it."""
    values = [value for key in NAMING if (value := source.get(key))]
    told = [", ".join(map(str, value.values())) if isinstance(value, dict) else str(value) for value in values]
    return " ".join([str(source.get("kind", "")), *told[:KEPT]])

"""What a run ends with: its numbers, its report as files, and commands that come next."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.cli.common import note, print_table, say

if TYPE_CHECKING:
    from kubetune.storage.base import Store


def summary_of(store: "Store", run: str) -> dict[str, Any]:
    """Return what a run came to, as plain JSON values."""
    from kubetune.execution.states import placed_runs, state_of
    from kubetune.layout import run_prefix
    from kubetune.models.history import commits_of, known_run
    from kubetune.storage.runs import summary_of_run

    commits, recipe = commits_of(store, run), known_run(store, run)
    entries = summary_of_run(run, store.list(run_prefix(run))).entries
    evaluated, compared = commits.get("evaluate"), commits.get("compare")
    return {
        "run": run,
        "recipe": recipe["name"],
        "store": store.url,
        "state": state_of(store, run, recipe, commits, placed_runs(store), entries),
        "committed": list(commits),
        "metrics": dict(evaluated.metrics) if evaluated else {},
        "warnings": list(evaluated.facts.get("warnings", ())) if evaluated else [],
        "outcome": compared.facts.get("outcome") if compared else None,
        "report": report_of(store, run) if evaluated else None,
        "store_bytes": held_by(store),
    }


def report_of(store: "Store", run: str) -> str | None:
    """Write the report and return where it lies; None, and a sentence, where it cannot be: the run itself has ended."""
    from kubetune.errors import KubetuneError

    try:
        return str(write_report(store, run).resolve())
    except (KubetuneError, OSError) as error:
        note(f"The report was not written: {error}")
        return None


def held_by(store: "Store") -> dict[str, int]:
    """Return the bytes that a store holds; empty where its keys may not list all of it."""
    from dataclasses import asdict

    from kubetune.errors import KubetuneError
    from kubetune.storage.gc import usage

    try:
        return asdict(usage(store))
    except KubetuneError:
        return {}


def summary_text(summary: Mapping[str, Any]) -> None:
    """Print it for a person."""
    if summary["metrics"]:
        metrics_table(summary["metrics"])
    for warning in summary["warnings"]:
        say(f"warning   {warning}")
    if summary["report"]:
        say(f"report    {summary['report']}")
    held = summary["store_bytes"]
    if not any(held.values()):
        return
    freed = f", {held['checkpoints'] / 1e6:,.1f} MB of checkpoints (`kubetune gc` frees those of finished trainings)"
    say(f"store     holds {held['results'] / 1e6:,.1f} MB of results{freed if held['checkpoints'] else ''}")


def metrics_table(metrics: Mapping[str, float]) -> None:
    """Print the metrics beside the baselines."""
    from kubetune.models.history import SHOWN

    def cell(name: str) -> str:
        if name not in metrics:
            return "-"
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        return f"{metrics[name]:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else "")

    rows = [[name, cell(name), cell(f"baseline_tfidf_{name}"), cell(f"baseline_majority_{name}")] for name in SHOWN]
    say()
    rows_tested = int(metrics.get("test_rows", 0))
    texts = int(metrics.get("test_texts", rows_tested))
    tested = f"{rows_tested:,} test rows" if texts == rows_tested else f"{rows_tested:,} rows of {texts:,} texts"
    print_table([f"{tested}, 95 % interval", "model", "tf-idf + logistic regression", "majority class"], rows)


def next_commands(
    summary: Mapping[str, Any], endpoint: str | None, recipe: Sequence[str], code: int
) -> list[list[str]]:
    """Return the commands, without the program's name, that make sense after a run and work as they stand.

    Args:
        summary: Of `summary_of`.
        endpoint: What it deployed to; None: nothing.
        recipe: Recipe and overrides as they were given.
        code: How it ended; what was only interrupted goes on when it is asked again.
    """
    from kubetune.errors import TemporaryError
    from kubetune.execution.states import SIGNAL

    run, found = summary["run"], []
    if summary["report"]:
        found.append(["open", run])
    found.append(["show", run])
    if "train" in summary["committed"] and code == 0:
        found.append(["why", run, "train"])
    if code and summary["outcome"] in {"undecided", "keep"}:
        found.append(["serve", run])
        found.append(["promote", run, "--why", "say why here"])
    elif code == TemporaryError.exit_code or code > SIGNAL:
        found.append(["run", *recipe, "--run", run])
    if endpoint is not None and code == 0:
        found += [["predict", "--endpoint", endpoint, "your text"], ["stop", endpoint]]
    return found


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

"""What a run came to: its numbers beside the baselines, its report, what the store holds, and what may be done next."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kubetune.cli.common import note, print_table, say

if TYPE_CHECKING:
    from kubetune.storage.base import Store


def summary_of(store: "Store", run: str) -> dict[str, Any]:
    """Return what a run came to, as plain JSON values."""
    from kubetune.execution.states import placed_runs, state_of
    from kubetune.models.history import commits_of, known_run

    commits, recipe = commits_of(store, run), known_run(store, run)
    evaluated, compared = commits.get("evaluate"), commits.get("compare")
    return {
        "run": run,
        "recipe": recipe["name"],
        "store": store.url,
        "state": state_of(store, run, recipe, commits, placed_runs(store)),
        "committed": list(commits),
        "metrics": dict(evaluated.metrics) if evaluated else {},
        "warnings": list(evaluated.facts.get("warnings", ())) if evaluated else [],
        "outcome": compared.facts.get("outcome") if compared else None,
        "report": report_of(store, run) if evaluated else None,
        "store_bytes": held_by(store),
    }


def report_of(store: "Store", run: str) -> str | None:
    """Write the report and return where it lies; None, and a sentence, where it cannot be: the run itself has ended."""
    from kubetune.cli.report import write_report
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
    from kubetune.storage.usage import usage

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

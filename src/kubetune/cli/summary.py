"""What a run ends with: its numbers, its report as files, and commands that come next."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.cli.common import note, print_table, say

if TYPE_CHECKING:
    from kubetune.api.runs import Run
    from kubetune.storage.base import Store


def summary_of(run: "Run") -> dict[str, Any]:
    """Return what a run came to, as plain JSON values."""
    return {
        "run": run.name,
        "recipe": run.document["name"],
        "store": run.store.url,
        "state": run.state,
        "committed": list(run.commits),
        "metrics": run.metrics,
        "warnings": list(run.warnings),
        "outcome": run.outcome,
        "report": report_of(run) if "evaluate" in run.commits else None,
        "store_bytes": held_by(run.store),
    }


def report_of(run: "Run") -> str | None:
    """Write the report and return where it lies; None, and a sentence, where it cannot be: the run itself has ended."""
    from kubetune.errors import KubetuneError

    try:
        return str(write_report(run).resolve())
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
    from kubetune.config.metrics import shown_baselines, shown_metrics

    def cell(name: str) -> str:
        if name not in metrics:
            return "-"
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        return f"{metrics[name]:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else "")

    baselines = shown_baselines(metrics)
    rows = [
        [name, cell(name), *(cell(f"baseline_{each}_{name}") for each in baselines)] for name in shown_metrics(metrics)
    ]
    say()
    rows_tested = int(metrics.get("test_rows", 0))
    texts = int(metrics.get("test_texts", rows_tested))
    tested = f"{rows_tested:,} test rows" if texts == rows_tested else f"{rows_tested:,} rows of {texts:,} texts"
    print_table([f"{tested}, 95 % interval", "model", *baselines.values()], rows)


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


def write_report(run: "Run") -> Path:
    """Write a run's newest report to `kubetune-runs/RUN/report.html`.

    Raises:
        ConfigError: The run has not been evaluated.
        CorruptArtifactError: The store has lost or damaged the page.
    """
    return run.report().save(PULLED / run.name / "report.html")

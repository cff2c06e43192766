"""Past runs: which there are, what they gave, why a stage ran again, what differs; and forgetting them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.api.opening import opened
from kubetune.cli.common import AsJson, RunName, StoreUrl, Yes, agreed, note, print_json, print_table, run_names, say
from kubetune.cli.logs import stages_under_way
from kubetune.cli.summary import PULLED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubetune.storage.base import Store
    from kubetune.storage.commit_record import Commit


def runs(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List the runs, the newest first."""
    import time
    from dataclasses import asdict, replace

    from kubetune.execution.states import run_lines

    settings, opened_store = opened(store)
    lines = run_lines(opened_store)
    live = stages_under_way(settings, [line.run for line in lines if line.state != "complete"])
    lines = [
        replace(line, state=cluster_state_of(live[line.run], line.state)) if line.run in live else line
        for line in lines
    ]
    if as_json:
        print_json([asdict(line) for line in lines])
        return
    print_table(
        ["run", "recipe", "state", "measured", "last change"],
        [
            [
                line.run,
                line.recipe,
                line.state,
                ", ".join(f"{name} {line.metrics[name]:.3f}" for name in _sliced(line.metrics)) or "-",
                time.strftime("%Y-%m-%d %H:%M", time.localtime(line.modified)),
            ]
            for line in lines
        ],
    )


def _sliced(metrics: Mapping[str, float]) -> list[str]:
    from kubetune.config.metrics import catalogue_of

    return [name for name in catalogue_of(metrics).sliced if name in metrics]


def cluster_state_of(stages: Mapping[str, str], stored: str) -> str:
    """Return the state of a run that a cluster still works on: its last stage there that is under way."""
    name, word = list(stages.items())[-1] if stages else ("", "")
    return f"{word} at {name}" if name else stored


def show(run: RunName, store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Show a run's stages, artifacts, metrics and verdict."""
    from kubetune.api.runs import open_run
    from kubetune.config.metrics import shown_metrics

    found = open_run(run, store=store)
    if as_json:
        stages = {name: commit.to_json() for name, commit in found.commits.items()}
        print_json(
            {
                "run": run,
                "recipe": found.document,
                "stages": stages,
                "attempts": found.attempts,
                "endpoints": list(found.endpoints),
            }
        )
        return
    live = stages_under_way(found.settings, [run]).get(run, {})
    rows = []
    for row in found.stages():
        state = row.state if row.key or row.state.startswith("serves ") else live.get(row.stage) or row.state
        size, key = (f"{row.size / 1e6:.1f} MB", row.key[:12]) if row.key else ("-", "-")
        rows.append([row.stage, state, " ".join(row.artifacts) or "-", size, key])
    print_table(["stage", "state", "artifacts", "size", "key"], rows)
    if found.metrics:
        say("  ".join(f"{name} {found.metrics[name]:.3f}" for name in shown_metrics(found.metrics)))
    for line in reasons(found.commits, found.attempts):
        say(line)


def reasons(commits: "Mapping[str, Commit]", attempts: "Mapping[str, dict[str, Any]]") -> "Iterator[str]":
    """Yield a line for each verdict that is no pass, and for the last try of each stage that has not been committed."""
    from kubetune.execution.states import attempt_word, verdict_word

    for found in commits.values():
        if not found.verdict.passed:
            yield from (f"{verdict_word(found)}: {reason}" for reason in found.verdict.reasons)
    for name, failed in attempts.items():
        if failed and name not in commits:
            facts = list(failed.values())[-1]
            yield f"{name} {attempt_word(failed)} with {facts.get('exit_code')}: {facts.get('reason')}"


def open_run(
    run: RunName,
    only_print: Annotated[bool, typer.Option("--print", help="Print where the page lies, open nothing.")] = False,
    store: StoreUrl = None,
) -> None:
    """Open a run's report in a browser; without a display, print where the page lies."""
    import webbrowser

    from kubetune.api.runs import open_run
    from kubetune.cli.summary import write_report
    from kubetune.config.environment import is_set

    page = write_report(open_run(run, store=store)).resolve()
    say(str(page))
    if only_print:
        return
    # Without a display, Python would start a browser of text in this terminal.
    shown = is_set("DISPLAY", "WAYLAND_DISPLAY", "BROWSER") or platform_has_browser()
    if not (shown and webbrowser.open(page.as_uri())):
        note("There is no browser here: open the page above, or copy it, it needs no other file.")


def platform_has_browser() -> bool:
    """Whether this system opens pages without a display variable."""
    import sys

    return sys.platform in {"darwin", "win32"}


def why(
    run: RunName,
    stage: Annotated[str, typer.Argument(help="Stage name.")],
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Name what differs from the nearest other run: recipe values, inputs, code, packages, identity."""
    from kubetune.api.runs import open_run

    found = open_run(run, store=store).why(stage)
    if as_json:
        print_json({"nearest": found.nearest, "differ": found.differ})
        return
    say(found.sentence)
    if found.differ:
        print_table(found.headings, found.cells())


def compare(
    first: Annotated[str, typer.Argument(help="A run.")],
    second: Annotated[str, typer.Argument(help="Another run.")],
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show where two recipes differ and what that did to the metrics."""
    from dataclasses import asdict

    from kubetune.api.compared import compare

    found = compare(first, second, store=store)
    if as_json:
        print_json([asdict(row) for row in found.rows])
    else:
        print_table(found.headings, found.cells())


def pull(
    run: RunName,
    artifacts: Annotated[list[str] | None, typer.Argument(help="Artifacts; the default is all.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder; the default is kubetune-runs/RUN.")] = None,
    store: StoreUrl = None,
) -> None:
    """Bring a run's artifacts to this machine, every digest checked."""
    from kubetune.models.history import pull

    for name, folder in pull(opened(store)[1], run, artifacts or [], to or PULLED / run).items():
        say(f"{name:<10}{folder}")


RunNames = Annotated[
    list[str],
    typer.Argument(metavar="RUN...", help="Runs; patterns such as `try-*` too.", autocompletion=run_names),
]


def delete(runs: RunNames, yes: Yes = False, store: StoreUrl = None) -> None:
    """Delete runs' records; `kubetune gc` removes the content that only they needed."""
    from kubetune.layout import RUNS, check_run
    from kubetune.storage.runs import delete_run

    opened_store = opened(store)[1]
    # By their keys, since a broken record is one that may be deleted.
    known = sorted({entry.key.removeprefix(RUNS).partition("/")[0] for entry in opened_store.list(RUNS)})
    chosen = matched("run", runs, known)
    keep_needed(opened_store, chosen)
    one = len(chosen) == 1 and chosen == runs  # one run by its own name is as clear as a word can be
    if not agreed(f"Delete {len(chosen)} runs ({', '.join(chosen)[:200]})?", yes or one):
        return
    for run in chosen:
        say(f"deleted {delete_run(opened_store, check_run(run))} records of {run}.")


def keep_needed(store: "Store", runs: "Iterable[str]") -> None:
    """Refuse to delete a run that is served, or whose model is a champion.

    Raises:
        ConfigError: One is; nothing was deleted.
    """
    from kubetune.errors import ConfigError
    from kubetune.models.history import endpoints_of
    from kubetune.storage.registry import list_models

    champions = {model.champion.run: model.name for model in list_models(store) if model.champion is not None}
    for run in runs:
        if serving := endpoints_of(store, run):
            raise ConfigError(
                f"Run {run} is served by {', '.join(serving)}: deploy another run there first; nothing was deleted."
            )
        if run in champions:
            raise ConfigError(
                f"Run {run} made the champion of {champions[run]}: promote another version first; nothing was deleted."
            )


WILD = frozenset("*?[")


def matched(what: str, patterns: Iterable[str], known: Collection[str]) -> list[str]:
    """Return the names that are meant, each once, in the order in which they were given.

    Args:
        what: For the sentence, for example `run`.
        patterns: Names, and patterns with `*`, `?` and `[…]`.
        known: Names that exist.

    Raises:
        ConfigError: A name does not exist, or a pattern fits none; nothing is to be done then.
    """
    from kubetune.errors import ConfigError
    from kubetune.redaction import quoted

    found: dict[str, None] = {}
    for pattern in patterns:
        fits = [name for name in known if fnmatchcase(name, pattern)] if WILD & set(pattern) else [pattern]
        if not fits or (pattern not in known and fits == [pattern]):
            named = ", ".join(list(known)[:5]) or "none"
            raise ConfigError(f"No {what} is called {quoted(pattern)}: known are {named}; nothing was deleted.")
        found |= dict.fromkeys(fits)
    return list(found)

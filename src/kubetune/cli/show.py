"""`kubetune show RUN`: one run, stage by stage."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kubetune.cli.common import AsJson, RunName, StoreUrl, opened, print_json, print_table, say
from kubetune.cli.live import stages_under_way

if TYPE_CHECKING:
    from kubetune.storage.commit_record import Commit


def command(run: RunName, store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Show a run's stages, artifacts, metrics and verdict."""
    from kubetune.execution.states import attempt_word, verdict_word
    from kubetune.models.history import SHOWN, commits_of, endpoints_of, known_run
    from kubetune.stages import STAGES
    from kubetune.storage.runs import list_attempts

    settings, opened_store = opened(store)
    recipe, commits, served = (
        known_run(opened_store, run),
        commits_of(opened_store, run),
        endpoints_of(opened_store, run),
    )
    attempts = {stage.name: list_attempts(opened_store, run, stage.name) for stage in STAGES}
    if as_json:
        stages = {name: found.to_json() for name, found in commits.items()}
        print_json({"run": run, "recipe": recipe, "stages": stages, "attempts": attempts, "endpoints": served})
        return
    live = stages_under_way(settings, [run]).get(run, {})
    rows = []
    for stage in STAGES:
        found = commits.get(stage.name)
        state = verdict_word(found) if found is not None else live.get(stage.name) or attempt_word(attempts[stage.name])
        if stage.effect and served:
            state = "serves " + " ".join(served)
        size = sum(file.size for file in found.files) if found else 0
        wrote = " ".join(found.outputs) if found else "-"
        rows.append(
            [stage.name, state, wrote, f"{size / 1e6:.1f} MB" if found else "-", found.key[:12] if found else "-"]
        )
    print_table(["stage", "state", "artifacts", "size", "key"], rows)
    evaluated = commits.get("evaluate")
    if evaluated is not None:
        metrics = evaluated.metrics
        say("  ".join(f"{name} {metrics[name]:.3f}" for name in SHOWN if name in metrics))
    for line in reasons(commits, attempts):
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

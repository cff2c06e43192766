"""`kubetune show RUN`: one run, stage by stage."""

from kubetune.cli.common import AsJson, RunName, StoreUrl, opened, print_json, print_table, say


def command(run: RunName, store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Show a run's stages, artifacts, metrics and verdict."""
    from kubetune.history import SHOWN, commits_of, endpoints_of, known_run
    from kubetune.stages import STAGES
    from kubetune.storage.runs import list_attempts

    opened_store = opened(store)[1]
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
    rows = []
    for stage in STAGES:
        found, failed = commits.get(stage.name), attempts[stage.name]
        state = "-" if found is None else "committed" if found.verdict.passed else "refused"
        if found is None and failed:
            state = "failed"
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
        for reason in evaluated.verdict.reasons:
            say(f"refused: {reason}")
    for name, failed in attempts.items():
        if name not in commits:
            for facts in list(failed.values())[-1:]:
                say(f"{name} failed with {facts.get('exit_code')}: {facts.get('reason')}")

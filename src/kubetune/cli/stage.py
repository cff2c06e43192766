"""`kubetune stage NAME`: one stage in this process; the line that a pod, a Job and a shell all run."""

from typing import Annotated

import typer

from kubetune.cli.common import Request, StoreUrl


def command(
    name: Annotated[str, typer.Argument(help="Stage, as listed by `kubetune plan`.")],
    run: Annotated[str, typer.Option("--run", help="Run id.")],
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Recipe; needed by the run's first call only.", show_default=False)
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, with --recipe.")] = None,
    resolved: Annotated[
        str | None,
        typer.Option("--resolved", help="The whole recipe as JSON text, as pods are given it.", show_default=False),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", help="RUN=RECIPE-JSON: a run that shares this result; adopted right after."),
    ] = None,
    winner: Annotated[
        bool, typer.Option("--winner", help="--run names a sweep: act on the run that `kubetune choose` chose.")
    ] = False,
    store: StoreUrl = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Endpoint for `deploy`.")] = None,
    why: Annotated[
        str | None,
        typer.Option("--why", help="A person's reason to go on although the comparison did not say promote."),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who approves, or gives the reason.")] = None,
    request: Request = "",
    audit: Annotated[bool, typer.Option("--audit", help="Run although the result exists, and compare it.")] = False,
) -> None:
    """Run one stage: adopt its result if it exists, else produce and commit it."""
    from contextlib import nullcontext
    from dataclasses import replace

    from kubetune.cli.answers import answer_of, leave_answer
    from kubetune.cli.common import opened, word_of
    from kubetune.cli.progress import progress_for
    from kubetune.config.load import parse_recipe
    from kubetune.errors import ConfigError
    from kubetune.execution.run import raise_for_verdict, run_stage
    from kubetune.execution.signals import stop_requests
    from kubetune.models.history import recipe_of_run
    from kubetune.models.pending import remembered
    from kubetune.plan import call_of
    from kubetune.search.sweeps import winner_of

    settings, opened_store = opened(store, patient=True, new=True)
    if resolved is not None and (recipe is not None or overrides):
        raise ConfigError("--resolved holds a whole recipe: give either it or --recipe with --set.")
    run = winner_of(opened_store, run) if winner else run
    given = None if resolved is None else parse_recipe(resolved)
    found = given or recipe_of_run(opened_store, run, recipe, overrides or [])
    calls = [call_of(name, found, run, endpoint)]
    for other, _, text in (item.partition("=") for item in also or []):
        calls.append(call_of(name, parse_recipe(text), other, endpoint))
    progress = progress_for()
    word = word_of(by, why, request)
    remembering = nullcontext() if word is None else remembered(settings, f"stage {name}", f"{run} {endpoint}", word)
    with stop_requests() as stop, remembering as word:
        calls[0] = replace(calls[0], word=word)
        stop.raises = not calls[0].stage.resumable
        try:
            results = [
                run_stage(call, opened_store, settings, progress=progress, should_stop=stop, audit=audit)
                for call in calls
            ]
        finally:
            progress.close()
    for result in results:
        if result.note:
            progress.note(result.note)
    if len(results) == 1:
        leave_answer(settings, answer_of(results[0]))
    for result in results:
        raise_for_verdict(result)

"""`kubetune promote`: a person's word makes a version the champion, and the endpoint serves it."""

from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.cli.common import AsJson, Request, StoreUrl, opened, print_json, say, word_of

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.plan import Word
    from kubetune.storage.base import Store
    from kubetune.storage.registry import Model

AFTER_DECISION = ("package", "register")


def command(
    what: Annotated[str, typer.Argument(help="MODEL@VERSION, or a run that passed its thresholds.")],
    why: Annotated[str, typer.Option("--why", help="The reason, in one sentence; it is recorded.")],
    by: Annotated[str | None, typer.Option("--by", help="Who says so; default: the user of this machine.")] = None,
    store: StoreUrl = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Model of a run; default: its recipe's.")] = None,
    request: Request = "",
    as_json: AsJson = False,
) -> None:
    """Promote a version, or a run whose comparison did not say promote. Thresholds stand above any word."""
    from kubetune.cli.answers import leave_answer, tell_people
    from kubetune.cli.progress import progress_for
    from kubetune.clock import clock
    from kubetune.errors import ConfigError
    from kubetune.execution.signals import stop_requests
    from kubetune.models.effects import serve_champion
    from kubetune.models.pending import remembered
    from kubetune.models.policies import permit_word, policies_of
    from kubetune.models.register import at_version, carried_out, promote, told_of
    from kubetune.redaction import shown

    word = word_of(by, why, request)
    if word is None:
        raise ConfigError("A promotion by word needs a reason: say it with --why.")
    settings, opened_store = opened(store)
    with stop_requests() as stop, remembered(settings, "promote", f"{what} {endpoint or ''}", word) as word:
        stop.raises = True
        if "@" in what:
            name, number = at_version(what)
            if number is None or endpoint not in (None, name):
                raise ConfigError(f"{shown(what)} names no version of one model: write MODEL@3, without --endpoint.")
            permit_word(policies_of(settings, opened_store, name), name, word.by)
            model = promote(opened_store, name, number, clock(), word)
        else:
            name = register_run(opened_store, settings, what, endpoint, word)
            model = known_model(opened_store, name)
        progress = progress_for()
        try:
            result = serve_champion(opened_store, settings, name, progress, stop)
        finally:
            progress.close()
    number = result.commit.facts["version"]  # not `champion`: somebody may have promoted another one meanwhile
    made = carried_out(model, word)
    answer = told_of(name, made) if made is not None else None
    tell_people(settings, answer)
    leave_answer(settings, answer)
    if as_json:
        facts = {"model": name, "version": number, "archive": result.commit.facts["archive"]}
        print_json(facts | {"requested": made["version"] if made is not None else None, "code": 0, "sentence": ""})
        return
    say(f"version {number} of {name} is the champion and serves (archive {result.commit.facts['archive'][:12]}).")
    if made is not None and made["version"] != number:
        say(
            f"this request made version {made['version']} the champion at {made['at']}, and somebody chose another "
            "since: that stays; other words (--why) are another request."
        )


def register_run(store: "Store", settings: "Settings", run: str, endpoint: str | None, word: "Word") -> str:
    """Package and register a run whatever its comparison said; return the name of its model."""
    from dataclasses import replace

    from kubetune.cli.progress import progress_for
    from kubetune.execution.run import raise_for_verdict, run_stage
    from kubetune.models.history import recipe_of_run
    from kubetune.plan import call_of

    recipe = recipe_of_run(store, run)
    progress = progress_for()
    try:
        for stage in AFTER_DECISION:
            call = replace(call_of(stage, recipe, run, endpoint), word=word)
            raise_for_verdict(run_stage(call, store, settings, progress=progress))
    finally:
        progress.close()
    return endpoint or recipe.name


def known_model(store: "Store", name: str) -> "Model":
    """Return the model that was registered just now."""
    from kubetune.models.register import known

    return known(store, name)

"""Who serves: a version made the champion, or the one before it again."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.api.opening import opened
from kubetune.cli.common import AsJson, Request, StoreUrl, override_of, print_json, say, user_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubetune.config.settings import Settings
    from kubetune.notifications.local_run import Tell
    from kubetune.plan import ManualOverride, StageCall
    from kubetune.storage.base import Store
    from kubetune.storage.registry import RegisteredModel


AFTER_DECISION = ("package", "register")


def promote(
    what: Annotated[str, typer.Argument(help="MODEL@VERSION, or a run that passed its thresholds.")],
    why: Annotated[str, typer.Option("--why", help="The reason, in one sentence; it is recorded.")],
    by: Annotated[str | None, typer.Option("--by", help="Who says so; default: the user of this machine.")] = None,
    store: StoreUrl = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Model of a run; default: its recipe's.")] = None,
    request: Request = "",
    as_json: AsJson = False,
) -> None:
    """Promote a version, or a run whose comparison did not say promote. Thresholds stand above any override."""
    from kubetune.cli.answers import leave_answer, tell_people
    from kubetune.cli.display import progress_for
    from kubetune.clock import clock
    from kubetune.errors import ConfigError
    from kubetune.execution.signals import stop_requests
    from kubetune.models.effects import serve_champion
    from kubetune.models.event_rules import permit_event
    from kubetune.models.pending import remembered
    from kubetune.models.register import at_version, carried_out, promote, told_of
    from kubetune.models.transitions import VersionEvent
    from kubetune.redaction import quoted

    override = override_of(by, why, request)
    if override is None:
        raise ConfigError("A manual promotion needs a reason: say it with --why.")
    settings, opened_store = opened(store)
    with stop_requests() as stop, remembered(settings, "promote", f"{what} {endpoint or ''}", override) as override:
        stop.raises = True
        if "@" in what:
            name, number = at_version(what)
            if number is None or endpoint not in (None, name):
                raise ConfigError(f"{quoted(what)} names no version of one model: write MODEL@3, without --endpoint.")
            permit_event(VersionEvent.PROMOTE, settings, opened_store, name, override.by)
            model = promote(opened_store, name, number, clock(), override)
        else:
            name = register_run(opened_store, settings, what, endpoint, override)
            model = known_model(opened_store, name)
        progress = progress_for()
        try:
            result = serve_champion(opened_store, settings, name, progress, stop)
        finally:
            progress.close()
    number = result.commit.facts["version"]  # not `champion`: somebody may have promoted another one meanwhile
    made = carried_out(model, override)
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


def register_run(
    store: "Store", settings: "Settings", run: str, endpoint: str | None, override: "ManualOverride"
) -> str:
    """Package and register a run whatever its comparison said; return the name of its model."""
    from dataclasses import replace

    from kubetune.cli.display import progress_for
    from kubetune.execution.run import raise_for_verdict, run_stage
    from kubetune.models.history import recipe_of_run
    from kubetune.plan import call_of
    from kubetune.storage.cached import cached_run

    store = cached_run(store, run)
    recipe = recipe_of_run(store, run)
    progress = progress_for()
    try:
        for stage in AFTER_DECISION:
            call = replace(call_of(stage, recipe, run, endpoint), override=override)
            raise_for_verdict(run_stage(call, store, settings, progress=progress))
    finally:
        progress.close()
    return endpoint or recipe.name


def known_model(store: "Store", name: str) -> "RegisteredModel":
    """Return the model that was registered just now."""
    from kubetune.models.register import known

    return known(store, name)


def rollback(
    name: Annotated[str, typer.Argument(help="A model, as listed by `kubetune models`.")],
    why: Annotated[str, typer.Option("--why", help="The reason, in one sentence; it is recorded.")],
    by: Annotated[str | None, typer.Option("--by", help="Who says so; default: the user of this machine.")] = None,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="End the signature of the version that is left, once the other one serves.")
    ] = False,
    store: StoreUrl = None,
    request: Request = "",
    as_json: AsJson = False,
) -> None:
    """Go back to the previous champion in one step. A rollback that was cut off is finished, not made twice."""
    from kubetune.cli.answers import leave_answer, tell_people
    from kubetune.cli.display import progress_for
    from kubetune.clock import clock
    from kubetune.errors import ConfigError
    from kubetune.execution.signals import stop_requests
    from kubetune.models.effects import is_pending, serve_champion
    from kubetune.models.event_rules import permit_event
    from kubetune.models.pending import remembered
    from kubetune.models.register import known, roll_back, told_of
    from kubetune.models.revoke import revoke as revoke_version
    from kubetune.models.sign import require_signer
    from kubetune.models.transitions import VersionEvent

    override = override_of(by, why, request)
    if override is None:
        raise ConfigError("A rollback needs a reason: say it with --why.")
    settings, opened_store = opened(store)
    before = known(opened_store, name)
    permit_event(VersionEvent.ROLL_BACK, settings, opened_store, name, override.by)
    if revoke:
        require_signer(opened_store, settings)
    # The last move and not the last event: runs may have registered their versions since.
    unfinished = (
        (move := before.last_move) is not None and move["event"] == "rolled-back" and is_pending(opened_store, name)
    )
    progress = progress_for()
    with stop_requests() as stop, remembered(settings, "rollback", name, override) as override:
        stop.raises = True
        after = before if unfinished else roll_back(opened_store, name, clock(), override)
        made = rollback_of(after, "" if unfinished else override.request)
        try:
            result = serve_champion(opened_store, settings, name, progress, stop)
        finally:
            progress.close()
        if revoke:
            revoke_version(opened_store, settings, f"{name}@{made['former']}", clock(), override)
    answer = told_of(name, made)
    tell_people(settings, answer)
    leave_answer(settings, answer)
    facts = result.commit.facts
    if as_json:
        moved = {"model": name, "former": made["former"], "version": made["version"], "serves": int(facts["version"])}
        print_json(moved | {"archive": str(facts["archive"]), "revoked": revoke, "code": 0, "sentence": ""})
        return
    archive, serves = str(facts["archive"])[:12], int(facts["version"])
    verb = "a rollback that was cut off is finished" if unfinished else "rolled back"
    # Somebody may have moved the champion since.
    which = "which serves" if serves == made["version"] else f"and version {serves}, the champion since then, serves"
    say(f"{verb}: {name} went from version {made['former']} to version {made['version']}, {which} (archive {archive}).")
    left = f"{name}@{made['former']}"
    if revoke:
        say(f"{left} is revoked: no start serves its weights, and nobody promotes them.")
    elif settings.signing_key or settings.trusted_keys:
        say(f"its signature counts on, so that it may serve again: `kubetune revoke {left} --why …` ends it.")


def rollback_of(model: "RegisteredModel", request: str) -> "Mapping[str, Any]":
    """Return the line of the history that tells of a rollback: of the one with this request, else of the last.

    Raises:
        ConfigError: It was undone, since its version could not be served, and the champion was moved since.
    """
    from kubetune.errors import ConfigError

    events = {"rolled-back", "rollback-undone"}
    lines = (line for line in reversed(model.history) if line["event"] in events and request in ("", line["request"]))
    found: Mapping[str, Any] = next(lines)
    if found["event"] != "rolled-back":
        raise ConfigError(
            f"This rollback of {model.name} was undone, and its champion was moved since: ask for a new one if that is "
            "still wanted."
        )
    return found


class Terminal:
    """The person in front of this terminal.

    Attributes:
        tell: Called after each stage.
        store: Store of the command line; advice has to name it again. None: the settings' one.
        show: Prints a line.
    """

    def __init__(self, tell: "Tell", store: str | None = None, show: Callable[[str], None] = say) -> None:
        self.tell, self.store, self.show = tell, store, show

    def approve(self, call: "StageCall") -> "StageCall":
        """Ask; whoever answers is recorded as the one who approved.

        Raises:
            NothingToDoError: The answer was no.
            ConfigError: Nobody is there to ask, or the input ended without an answer.
        """
        from dataclasses import replace
        from uuid import uuid4

        from kubetune.api.running import approval_advice
        from kubetune.errors import ConfigError, NothingToDoError
        from kubetune.plan import ManualOverride

        if not sys.stdin.isatty():
            raise ConfigError(approval_advice(call, "nobody is at this terminal", self.store))
        self.show(
            f"{call.stage.name:<10}needs your approval: the run passed its thresholds, its comparison said promote."
        )
        try:
            agreed = typer.confirm(
                f"Register run {call.run} and let it serve {call.endpoint}?", err=self.show is not say
            )
        except typer.Abort as error:  # the end of the input is no answer, neither yes nor no
            raise ConfigError(approval_advice(call, "the input ended without an answer", self.store)) from error
        if not agreed:
            raise NothingToDoError(f"Run {call.run} was not approved by {user_name()}: nothing was changed.")
        # Should the registry's answer be lost, its repetition is known by this; asked anew, it is another approval.
        return replace(call, override=ManualOverride(user_name(), request=uuid4().hex))

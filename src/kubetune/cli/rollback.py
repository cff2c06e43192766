"""`kubetune rollback MODEL`: the previous champion is the champion again, and serves."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.cli.common import AsJson, Request, StoreUrl, opened, print_json, say, word_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubetune.storage.registry import Model


def command(
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
    from kubetune.cli.progress import progress_for
    from kubetune.clock import clock
    from kubetune.errors import ConfigError
    from kubetune.execution.signals import stop_requests
    from kubetune.models.effects import is_pending, serve_champion
    from kubetune.models.pending import remembered
    from kubetune.models.policies import permit_word, policies_of
    from kubetune.models.register import known, roll_back, told_of
    from kubetune.models.revoke import revoke as revoke_version
    from kubetune.models.sign import require_signer

    word = word_of(by, why, request)
    if word is None:
        raise ConfigError("A rollback needs a reason: say it with --why.")
    settings, opened_store = opened(store)
    before = known(opened_store, name)
    permit_word(policies_of(settings, opened_store, name), name, word.by)
    if revoke:
        require_signer(opened_store, settings)
    # The last move and not the last event: runs may have registered their versions since.
    move = before.last_move
    unfinished = move is not None and move["event"] == "rolled-back" and is_pending(opened_store, name)
    progress = progress_for()
    with stop_requests() as stop, remembered(settings, "rollback", name, word) as word:
        stop.raises = True
        after = before if unfinished else roll_back(opened_store, name, clock(), word)
        made = rollback_of(after, "" if unfinished else word.request)
        try:
            result = serve_champion(opened_store, settings, name, progress, stop)
        finally:
            progress.close()
        if revoke:
            revoke_version(opened_store, settings, f"{name}@{made['former']}", clock(), word)
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


def rollback_of(model: "Model", request: str) -> "Mapping[str, Any]":
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

"""`kubetune rollback MODEL`: the previous champion is the champion again, and serves."""

from typing import Annotated

import typer

from kubetune.cli.common import StoreUrl, opened, say, word_of


def command(
    name: Annotated[str, typer.Argument(help="A model, as listed by `kubetune models`.")],
    why: Annotated[str, typer.Option("--why", help="The reason, in one sentence; it is recorded.")],
    by: Annotated[str | None, typer.Option("--by", help="Who says so; default: the user of this machine.")] = None,
    store: StoreUrl = None,
    request: Annotated[str, typer.Option("--request", hidden=True)] = "",
) -> None:
    """Go back to the previous champion in one step. A rollback that was cut off is finished, not made twice."""
    from kubetune.cli.answers import leave_answer, tell_people
    from kubetune.cli.progress import progress_for
    from kubetune.clock import clock
    from kubetune.effects import is_pending, serve_champion
    from kubetune.errors import ConfigError
    from kubetune.registration import known, moved, roll_back
    from kubetune.stopping import stop_requests

    word = word_of(by, why, request)
    if word is None:
        raise ConfigError("A rollback needs a reason: say it with --why.")
    settings, opened_store = opened(store)
    before = known(opened_store, name)
    # Also where the version that it went back to was not ready: then the one before that is still to be served.
    moved_back = bool(before.history) and before.history[-1]["event"] in {"rolled-back", "not-ready"}
    unfinished = moved_back and is_pending(opened_store, name)
    after = before if unfinished else roll_back(opened_store, name, clock(), word)
    progress = progress_for()
    with stop_requests() as stop:
        stop.raises = True
        try:
            result = serve_champion(opened_store, settings, name, progress, stop)
        finally:
            progress.close()
    answer = moved(after)
    tell_people(settings, answer)
    leave_answer(settings, answer)
    former = after.history[-1]["former"]
    champion = after.champion.number if after.champion else None
    archive = str(result.commit.facts["archive"])[:12]
    verb = "a rollback that was cut off is finished" if unfinished else "rolled back"
    say(f"{verb}: {name} went from version {former} to version {champion}, which serves (archive {archive}).")

"""`kubetune revoke MODEL@VERSION`: its signature ends, so that nobody serves or promotes it any more."""

from typing import Annotated

import typer

from kubetune.cli.common import Request, StoreUrl, opened, say, word_of


def command(
    what: Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="A registered version.")],
    why: Annotated[str, typer.Option("--why", help="The reason, in one sentence; it is recorded and signed.")],
    by: Annotated[str | None, typer.Option("--by", help="Who says so; default: the user of this machine.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Reinstate it: a person may promote it again.")] = False,
    store: StoreUrl = None,
    request: Request = "",
) -> None:
    """End the signatures of a version's weights; what serves them goes on until it starts again."""
    from kubetune.clock import clock
    from kubetune.errors import ConfigError
    from kubetune.models.pending import remembered
    from kubetune.models.revoke import revoke

    word = word_of(by, why, request)
    if word is None:
        raise ConfigError("A revocation needs a reason: say it with --why.")
    settings, opened_store = opened(store)
    with remembered(settings, "reinstate" if undo else "revoke", what, word) as word:
        done = revoke(opened_store, settings, what, clock(), word, undo=undo)
    name, number, champion = done.model.name, done.version.number, done.model.champion
    if undo:
        say(f"version {number} of {name} is reinstated: `kubetune promote {name}@{number}` makes it the champion.")
    else:
        say(f"version {number} of {name} is revoked: nobody promotes its weights, and no start serves them.")
    if done.epoch is None:
        say("nothing is signed here (KUBETUNE_SIGNING_KEY), so who serves it elsewhere does not hear of it.")
    else:
        say(
            f"the signed list has epoch {done.epoch}: KUBETUNE_REVOCATION_EPOCH={done.epoch} (value "
            "`signing.revocationEpoch`) refuses every older one."
        )
    if not undo and champion is not None and champion.model == done.version.model:
        back = done.model.previous
        advice = (
            f"`kubetune rollback {name} --why …` brings back version {back.number}"
            if back is not None
            else f"`kubetune promote {name}@N --why …` names another, or `kubetune stop {name}` ends it"
        )
        say(f"it is the champion and serves until its next start: {advice}.")

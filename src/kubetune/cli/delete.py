"""`kubetune delete RUN…`: forget runs."""

from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.cli.common import StoreUrl, Yes, agreed, opened, run_names, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubetune.storage.base import Store

RunNames = Annotated[
    list[str],
    typer.Argument(metavar="RUN...", help="Runs; patterns such as `try-*` too.", autocompletion=run_names),
]


def command(runs: RunNames, yes: Yes = False, store: StoreUrl = None) -> None:
    """Delete runs' records; `kubetune gc` removes the content that only they needed."""
    from kubetune.cli.matching import matched
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

"""`kubetune models`: what is registered, which version is the champion, and what happened."""

from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.api.opening import opened
from kubetune.cli.common import AsJson, StoreUrl, Yes, agreed, print_json, print_table, say, user_name
from kubetune.cli.help import ListsByDefault

if TYPE_CHECKING:
    from kubetune.storage.registry import RegisteredModel

app = typer.Typer(help="List, show or delete registered models.", cls=ListsByDefault)
SHOWN = {"person": "rolled back", "not-ready": "was not ready", "revoked": "revoked"}


@app.command("list")
def command(
    name: Annotated[str | None, typer.Argument(help="A model; without it all are listed.", show_default=False)] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the registered models, or the versions and the history of one."""
    from kubetune.models.register import known
    from kubetune.storage.registry import list_models

    opened_store = opened(store)[1]
    found = [known(opened_store, name)] if name is not None else list_models(opened_store)
    if as_json:
        print_json([model.to_json() | {"aliases": model.aliases()} for model in found])
    elif name is None:
        show_all(found)
    else:
        show_one(found[0])


def show_all(models: "list[RegisteredModel]") -> None:
    """Print one line a model."""
    rows = []
    for model in models:
        aliases = model.aliases()
        shown = [str(aliases.get(alias, "-")) for alias in ("champion", "previous", "candidate")]
        rows.append([model.name, str(len(model.versions)), *shown])
    print_table(["model", "versions", "champion", "previous", "candidate"], rows)
    if not models:
        say("Nothing is registered yet: `kubetune run RECIPE` does it.")


def show_one(model: "RegisteredModel") -> None:
    """Print versions and history."""
    named: dict[int, list[str]] = {}
    for alias, number in model.aliases().items():
        named.setdefault(number, []).append(alias)
    print_table(
        ["version", "is", "run", "archive", "comparison", "registered", "withdrawn"],
        [
            [
                str(version.number),
                " ".join(named.get(version.number, ())) or "-",
                version.run,
                version.archive[:12],
                version.outcome,
                version.at,
                SHOWN.get(version.withdrawn, "-"),
            ]
            for version in model.versions
        ],
    )
    say()
    print_table(
        ["at", "event", "champion", "before", "by", "why"],
        [
            [
                str(line["at"]),
                str(line["event"]) + (f" {line['about']}" if "about" in line else ""),
                *(str(line[key] or "-") for key in ("version", "former", "by", "why")),
            ]
            for line in model.history
        ],
    )


@app.command("delete")
def delete(
    names: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Models; patterns such as `try-*` too.")],
    yes: Yes = False,
    store: StoreUrl = None,
) -> None:
    """Delete models that no endpoint serves: versions, champion, history. What was compared stays counted."""
    from kubetune.cli.runs import matched
    from kubetune.layout import MODELS, model
    from kubetune.models.event_rules import permit_event
    from kubetune.models.lifecycle import apply_event
    from kubetune.models.transitions import Condition, VersionEvent
    from kubetune.storage.endpoints import read_endpoint
    from kubetune.storage.registry import RegisteredModel

    settings, opened_store = opened(store)
    known = [entry.key.removeprefix(MODELS).removesuffix(".json") for entry in opened_store.list(MODELS)]
    chosen = matched("model", names, sorted(known))
    for name in chosen:
        permit_event(VersionEvent.DELETE, settings, opened_store, name, user_name())
        served = (Condition.SERVED,) if read_endpoint(opened_store, name) is not None else ()
        apply_event(RegisteredModel(name), VersionEvent.DELETE, None, *served)  # unread, since a broken one may go too
    if not agreed(f"Delete model {', '.join(chosen)} with all versions?", yes):
        return
    for name in chosen:
        # The counted comparisons stay: a model of that name would else have its whole alpha again on the same rows.
        opened_store.delete(model(name))
        say(f"deleted model {name}; its runs and what was compared stay")

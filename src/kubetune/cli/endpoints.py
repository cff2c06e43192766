"""Endpoints of this machine: list, delete, start, stop, ask."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.api.opening import opened, settings_for
from kubetune.api.predicting import asked, known_state
from kubetune.cli.common import AsJson, StoreUrl, Yes, agreed, print_json, print_table, say
from kubetune.cli.help import ListsByDefault

if TYPE_CHECKING:
    from kubetune.storage.base import Store


app = typer.Typer(help="List or delete the endpoints of this machine.", cls=ListsByDefault)


@app.command("list")
def endpoints(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List the endpoints of this machine: what runs on which port, and how to stop it."""
    from dataclasses import asdict

    from kubetune.serving.local.endpoints import local_endpoints

    found = local_endpoints(known_state(settings_for(store)))
    if as_json:
        print_json([asdict(endpoint) for endpoint in found])
        return
    print_table(
        ["endpoint", "state", "archive", "address", "process", "since", "change it with"],
        [
            [
                item.name,
                item.state,
                item.digest[:12],
                item.url or "-",
                str(item.pid or "-"),
                item.since,
                f"kubetune stop {item.name}" if item.pid else f"kubetune start {item.name}",
            ]
            for item in found
        ],
    )
    if not found:
        say("Nothing has been deployed here yet: `kubetune run RECIPE` does.")


@app.command("delete")
def delete(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Endpoints; patterns such as `try-*` too.")],
    yes: Yes = False,
    store: StoreUrl = None,
) -> None:
    """Delete stopped endpoints: their files here and their records. The model and its versions stay."""
    import shutil

    from kubetune.cli.runs import matched
    from kubetune.errors import ConfigError
    from kubetune.serving.local.endpoints import local_endpoints
    from kubetune.serving.local.target import LocalTarget
    from kubetune.storage.endpoints import delete_endpoint

    settings, opened_store = opened(store)
    state = known_state(settings)
    here = {item.name: item for item in local_endpoints(state)}
    chosen = matched("endpoint", names, sorted({*here, *recorded(opened_store)}))
    ended = {"stopped", "ended"}
    if running := [name for name in chosen if name in here and here[name].state not in ended]:
        raise ConfigError(f"{', '.join(running)} is running: `kubetune stop {running[0]}` first; nothing was deleted.")
    if settings.serving == "cluster":
        raise ConfigError("Endpoints of a cluster are its chart's: take them out of its values instead.")
    if not agreed(f"Delete endpoint {', '.join(chosen)}?", yes):
        return
    for name in chosen:
        target = LocalTarget(state, name)
        with target.exclusive():
            target.stop()  # where the server has ended its front may live, and the other way round
            delete_endpoint(opened_store, name)
            shutil.rmtree(target.folder, ignore_errors=True)
        say(f"deleted endpoint {name}")


def recorded(store: "Store") -> list[str]:
    """Return the endpoints that the store knows, broken records too."""
    from kubetune.layout import ENDPOINTS

    return [entry.key.removeprefix(ENDPOINTS).removesuffix(".json") for entry in store.list(ENDPOINTS)]


def start(name: Annotated[str, typer.Argument(help="Endpoint.")], store: StoreUrl = None) -> None:
    """Start the server of an endpoint on this machine again; one that serves already is left alone."""
    from kubetune.cli.display import progress_for
    from kubetune.execution.signals import stop_requests
    from kubetune.models.effects import serve_champion

    settings, opened_store = opened(store)
    progress = progress_for()
    with stop_requests() as stop:
        stop.raises = True
        try:
            done = serve_champion(opened_store, settings, name, progress, stop)
        finally:
            progress.close()
    facts = done.commit.facts
    say(f"{name} serves version {facts['version']} (archive {str(facts['archive'])[:12]}).")


def stop(name: Annotated[str, typer.Argument(help="Endpoint.")], store: StoreUrl = None) -> None:
    """Stop the server of an endpoint on this machine."""
    from kubetune.serving.local.endpoints import stop_endpoint

    stop_endpoint(known_state(settings_for(store)), name)
    say(f"{name} is stopped; `kubetune start {name}` starts it again.")


def predict(
    texts: Annotated[list[str], typer.Argument(help="Texts; `-` reads one a line from standard input.")],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Endpoint or URL; the default is the only one there is.")
    ] = None,
    pair: Annotated[
        str | None, typer.Option("--pair", help="Second text: of a pair, or the context of a question.")
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", min=1, help="Labels an answer, 1 unless said otherwise.", show_default=False),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", metavar="NAME=VALUE", help="One of the task's, as candidate_labels=[bug, praise]."),
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print what a served model says of texts: their labels, what it finds in them, or how near they are."""
    from kubetune.cli.predictions import best_of, parameters_of, print_answers

    settings = settings_for(store)
    lines = [line.rstrip("\n") for text in texts for line in (sys.stdin if text == "-" else [text])]
    items = [{"text": line} | ({"text_pair": pair} if pair is not None else {}) for line in lines]
    parameters = parameters_of(parameter or ())
    answers = asked(settings, endpoint, items, top_k, parameters)
    if top_k is None and not parameters:
        answers = [best_of(answer) for answer in answers]
    if as_json:
        print_json([{**item, **answer} for item, answer in zip(items, answers, strict=True)])
    else:
        print_answers(items, answers)
    if any("error" in answer for answer in answers):
        from kubetune.errors import DataError

        raise DataError("request", "At least one text was refused; its reason stands beside it.")

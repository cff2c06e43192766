"""`kubetune endpoints`: what is served on this machine, and its end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.cli.common import (
    AsJson,
    StoreUrl,
    Yes,
    agreed,
    opened,
    print_json,
    print_table,
    require_store,
    say,
    settings_for,
)
from kubetune.cli.groups import ListsByDefault

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.storage.base import Store

app = typer.Typer(help="List or delete the endpoints of this machine.", cls=ListsByDefault)


def known_state(settings: "Settings") -> Path:
    """Return the folder that holds the endpoints of a store.

    Raises:
        ConfigError: There is neither an endpoint nor a store: it was looked for in the wrong folder.
    """
    from kubetune.config.settings import state_folder
    from kubetune.serving.local.endpoints import endpoints

    state = state_folder(settings)
    if not endpoints(state):
        require_store(settings)
    return state


@app.command("list")
def command(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List the endpoints of this machine: what runs on which port, and how to stop it."""
    from dataclasses import asdict

    from kubetune.serving.local.endpoints import endpoints

    found = endpoints(known_state(settings_for(store)))
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

    from kubetune.cli.matching import matched
    from kubetune.errors import ConfigError
    from kubetune.serving.local.endpoints import endpoints
    from kubetune.serving.local.target import LocalTarget
    from kubetune.storage.endpoints import delete_endpoint

    settings, opened_store = opened(store)
    state = known_state(settings)
    here = {item.name: item for item in endpoints(state)}
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

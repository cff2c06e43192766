"""`kubetune stop NAME`: end a local server; its record stays."""

from typing import Annotated

import typer

from kubetune.cli.common import StoreUrl, say, settings_for


def command(name: Annotated[str, typer.Argument(help="Endpoint.")], store: StoreUrl = None) -> None:
    """Stop the server of an endpoint on this machine."""
    from kubetune.cli.endpoints import known_state
    from kubetune.serving.local.endpoints import stop

    stop(known_state(settings_for(store)), name)
    say(f"{name} is stopped; `kubetune start {name}` starts it again.")

"""`kubetune stop NAME`: end a local server; its record stays."""

from typing import Annotated

import typer

from kubetune.cli.common import StoreUrl, say, settings_for


def command(name: Annotated[str, typer.Argument(help="Endpoint.")], store: StoreUrl = None) -> None:
    """Stop the server of an endpoint on this machine."""
    from kubetune.config.settings import state_folder
    from kubetune.serving.endpoints import stop

    stop(state_folder(settings_for(store)), name)
    say(f"{name} is stopped; deploying its run again starts it.")

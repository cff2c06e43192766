"""`kubetune start NAME`: an endpoint that was stopped serves its model's champion again."""

from typing import Annotated

import typer

from kubetune.cli.common import StoreUrl, opened, say


def command(name: Annotated[str, typer.Argument(help="Endpoint.")], store: StoreUrl = None) -> None:
    """Start the server of an endpoint on this machine again; one that serves already is left alone."""
    from kubetune.cli.progress import progress_for
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

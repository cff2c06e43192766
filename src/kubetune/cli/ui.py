"""`kubetune ui`: runs and models in MLflow's page."""

import time
from typing import Annotated

import typer

from kubetune.cli.common import StoreUrl, opened, say

POLL_S = 0.5


def command(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Loopback port of a local page.")] = 5000,
    store: StoreUrl = None,
) -> None:
    """Show runs and models in MLflow: of a server its address, of the local mirror a page until Ctrl-C."""
    from kubetune.errors import ConfigError, InterruptedRunError
    from kubetune.execution.signals import stop_requests
    from kubetune.tracking.target import target_of
    from kubetune.tracking.ui import served

    settings, _ = opened(store, probe=False)
    target = target_of(settings)
    if target is None:
        raise ConfigError("Nothing is mirrored: KUBETUNE_TRACKING is none; set it to local or to a server's address.")
    if target.artifacts is None:
        say(f"MLflow is at {target.uri}, experiment {settings.tracking_experiment}")
        return
    with stop_requests() as stop:
        try:
            with served(target, settings, port, stop) as url:
                say(f"ready: {url}   (Ctrl-C ends it)")
                while not stop():
                    time.sleep(POLL_S)
        except InterruptedRunError:
            return

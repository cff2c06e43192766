"""`kubetune serve RUN`: serve one run's archive in the foreground."""

from typing import Annotated

import typer

from kubetune.cli.common import EndpointOfRun, RunName, StoreUrl, opened, say


def command(
    run: RunName,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Loopback port.")] = None,
    endpoint: EndpointOfRun = None,
    store: StoreUrl = None,
) -> None:
    """Serve a run's archive on this machine until Ctrl-C, an undecided candidate's too; changes no endpoint."""
    from kubetune.cli.progress import progress_for
    from kubetune.execution.signals import stop_requests
    from kubetune.models.history import model_of_run
    from kubetune.models.looks import archive_for_look
    from kubetune.models.sign import trust_for
    from kubetune.serving import hosts
    from kubetune.serving.local.endpoints import serve_foreground
    from kubetune.serving.torchserve.config import Listening

    settings, opened_store = opened(store)
    with stop_requests() as stop, archive_for_look(opened_store, settings, run, progress_for(), stop) as archive:
        trust = trust_for(settings, endpoint or model_of_run(opened_store, run), opened_store)
        listening = Listening(port or settings.port, hosts.parse(settings.serve_hosts))
        serve_foreground(archive, listening, ready, stop, settings.ready_timeout_s, trust)


def ready(url: str) -> None:
    """Say where it answers."""
    say(f"ready: {url}   (Ctrl-C ends it)")
    say(f"""try:   curl -s {url} -H 'Content-Type: application/json' -d '{{"text": "I like it"}}'""")

"""`kubetune serve RUN`: serve one run's archive in the foreground."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from kubetune.cli.common import EndpointOfRun, RunName, StoreUrl, opened, say


def command(
    run: RunName,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Loopback port.")] = None,
    endpoint: EndpointOfRun = None,
    store: StoreUrl = None,
) -> None:
    """Serve a run's archive on this machine until Ctrl-C."""
    from kubetune.history import artifact_of, model_of_run
    from kubetune.serving import hosts
    from kubetune.serving.endpoints import serve_foreground
    from kubetune.serving.torchserve_config import Listening
    from kubetune.signing import trust_for
    from kubetune.stopping import stop_requests
    from kubetune.storage.blobs import fetch_tree

    settings, opened_store = opened(store)
    found = artifact_of(opened_store, run, "archive")
    with tempfile.TemporaryDirectory(prefix="kubetune-serve-") as name, stop_requests() as stop:
        archive = Path(name) / "archive"
        archive.mkdir()
        fetch_tree(opened_store, found.outputs["archive"], archive)
        trust = trust_for(settings, endpoint or model_of_run(opened_store, run), opened_store)
        listening = Listening(port or settings.port, hosts.parse(settings.serve_hosts))
        serve_foreground(archive, listening, ready, stop, settings.ready_timeout_s, trust)


def ready(url: str) -> None:
    """Say where it answers."""
    say(f"ready: {url}   (Ctrl-C ends it)")
    say(f"""try:   curl -s {url} -H 'Content-Type: application/json' -d '{{"text": "I like it"}}'""")

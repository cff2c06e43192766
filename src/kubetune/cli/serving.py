"""An archive taken elsewhere: exported, served for a look, fetched and served in a pod; who may ask it."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.api.opening import opened, settings_for
from kubetune.cli.common import AsJson, EndpointOfRun, RunName, StoreUrl, print_json, say


def export(
    run: RunName,
    mar: Annotated[Path | None, typer.Option("--mar", help="Write a TorchServe .mar file here.")] = None,
    hf: Annotated[Path | None, typer.Option("--hf", help="Write a folder for transformers.pipeline here.")] = None,
    store: StoreUrl = None,
) -> None:
    """Export a run's archive as a .mar, as a Hugging Face folder, or both; an undecided candidate's too."""
    from kubetune.cli.display import progress_for
    from kubetune.errors import ConfigError
    from kubetune.models.looks import archive_for_look

    if mar is None and hf is None:
        raise ConfigError("Nothing to export: give --mar FILE.mar, --hf FOLDER, or both.")
    settings, opened_store = opened(store)
    with archive_for_look(opened_store, settings, run, progress_for()) as archive:
        from kubetune.serving.archive.export import export_hf, export_mar

        for export, target in ((export_mar, mar), (export_hf, hf)):
            if target is not None:
                export(archive, target)
                say(f"wrote {target}")


def serve(
    run: RunName,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Loopback port.")] = None,
    endpoint: EndpointOfRun = None,
    store: StoreUrl = None,
) -> None:
    """Serve a run's archive on this machine until Ctrl-C, an undecided candidate's too; changes no endpoint."""
    from kubetune.cli.display import progress_for
    from kubetune.execution.platform import trust_for
    from kubetune.execution.signals import stop_requests
    from kubetune.models.history import model_of_run
    from kubetune.models.looks import archive_for_look
    from kubetune.serving import hosts
    from kubetune.serving.local.endpoints import serve_foreground
    from kubetune.serving.torchserve.config import Listening

    settings, opened_store = opened(store)
    with stop_requests() as stop, archive_for_look(opened_store, settings, run, progress_for(), stop) as archive:
        trust = trust_for(settings, endpoint or model_of_run(opened_store, run), opened_store)
        listening = Listening(port or settings.port, hosts.parse_hosts(settings.serve_hosts))
        serve_foreground(archive, listening, ready, stop, settings.ready_timeout_s, trust)


def ready(url: str) -> None:
    """Say where it answers."""
    say(f"ready: {url}   (Ctrl-C ends it)")
    say(f"""try:   curl -s {url} -H 'Content-Type: application/json' -d '{{"text": "I like it"}}'""")


app = typer.Typer(no_args_is_help=True, help="API keys of endpoints in a cluster.", rich_markup_mode=None)


@app.callback()
def group() -> None:
    """API keys of endpoints in a cluster."""


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; several names make keys revocable one by one.")],
    as_json: AsJson = False,
) -> None:
    """Draw a key and print it once, with the line for the endpoint's Secret. Nothing is stored."""
    from kubetune.serving.gateway.keys import new_key

    key, line = new_key(name)
    if as_json:
        print_json({"key": key, "line": line})
        return
    say(f"key:  {key}")
    say(f"line: {line}")
    say("The key is shown this once. The line goes into the Secret's entry `keys`; removing it revokes the key.")


def fetch_archive(
    endpoint: Annotated[str, typer.Option("--endpoint", help="Its name: a statement for another one does not count.")],
    into: Annotated[Path, typer.Option("--into", help="Folder that gets the archive as DIGEST/.")],
    store: StoreUrl = None,
) -> None:
    """Fetch the archive KUBETUNE_ARCHIVE by its digest, check every byte, place it whole; nothing to do: exit 0."""
    from kubetune.execution.platform import trust_for
    from kubetune.execution.run import open_configured_store
    from kubetune.models.delivery import fetch_archive

    settings = settings_for(store)
    if not settings.archive:
        say("no archive was deployed yet: nothing to fetch")
        return
    # Only blobs and a statement are read: the user of a serving pod may not do what a probe would try.
    opened = open_configured_store(settings, probe=False)
    placed = fetch_archive(opened, settings.archive, into, trust_for(settings, endpoint, opened))
    say(f"archive {settings.archive[:12]} is in {placed}")


def gateway(
    endpoint: Annotated[str, typer.Option("--endpoint", help="Its name, as in /predictions/NAME.")],
    archives: Annotated[Path, typer.Option("--archives", help="Folder that `fetch-archive` filled.")],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of clients; this and the next are not on loopback.")
    ] = 8080,
    probe_port: Annotated[
        int, typer.Option("--probe-port", min=0, max=65535, help="Port of the kubelet's probes and of Prometheus.")
    ] = 8081,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "0.0.0.0",  # noqa: S104
) -> None:
    """Serve the archive KUBETUNE_ARCHIVE behind keys and limits; ends on SIGTERM after a drain."""
    import asyncio
    import logging

    from kubetune.config.settings import load_settings
    from kubetune.serving.gateway.connections import ConnectionBounds
    from kubetune.serving.gateway.options import Options
    from kubetune.serving.gateway.supervisor import supervise

    settings = load_settings()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s gateway %(message)s")
    options = Options(
        endpoint=endpoint,
        digest=settings.archive,
        archives=archives,
        host=host,
        port=port,
        probe_port=probe_port,
        keys=settings.api_keys_file,
        trusted_keys=settings.trusted_keys,
        least_epoch=settings.revocation_epoch,
        max_in_flight=settings.gateway_max_in_flight,
        rate=settings.gateway_rate,
        key_share=settings.gateway_key_share,
        bounds=ConnectionBounds(total=settings.gateway_connections, per_source=settings.gateway_connections_per_source),
        form_open=settings.gateway_form,
        drain_s=settings.gateway_drain_s,
        shutdown_s=settings.gateway_shutdown_s,
        ready_timeout_s=settings.ready_timeout_s,
    )
    asyncio.run(supervise(options))

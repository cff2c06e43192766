"""`kubetune gateway`: PID 1 of a serving container."""

from pathlib import Path
from typing import Annotated

import typer


def command(
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
    from kubetune.serving.gateway.connections import Bounds
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
        bounds=Bounds(total=settings.gateway_connections, per_source=settings.gateway_connections_per_source),
        drain_s=settings.gateway_drain_s,
        shutdown_s=settings.gateway_shutdown_s,
        ready_timeout_s=settings.ready_timeout_s,
    )
    asyncio.run(supervise(options))

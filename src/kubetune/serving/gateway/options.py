"""What the gateway is started with."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from kubetune.errors import ConfigError
from kubetune.serving.gateway.connections import ConnectionBounds

DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")


@dataclass(frozen=True)
class Options:
    """The settings of the gateway.

    Attributes:
        endpoint: Its name; also the model name.
        digest: Archive to serve; empty: none was deployed yet.
        archives: Folder that holds it as `<digest>/`.
        host: Address to listen on.
        port: Port of the clients; 0: any.
        probe_port: Port of the kubelet's probes and Prometheus; 0: any.
        keys: File of API keys; None: none are asked for.
        trusted_keys: Public keys of those whose statements count; None: an archive needs none.
        least_epoch: Least epoch of the list of revoked versions that lies beside the archive.
        max_in_flight: Bound on requests.
        rate: Requests a second of one key; 0: no limit.
        key_share: Share of `max_in_flight` that one of several keys may hold.
        bounds: Of the clients' connections.
        form_open: Whether the endpoint's page has a form to try a text with.
        drain_s: Seconds between "not ready" and "no new connections", for the cluster to notice.
        shutdown_s: Seconds from SIGTERM to the end of the process, at most.
        ready_timeout_s: Seconds for TorchServe to become ready.
    """

    endpoint: str
    digest: str
    archives: Path
    host: str = "0.0.0.0"  # noqa: S104 - a pod's own address is not known before it runs
    port: int = 8080
    probe_port: int = 8081
    keys: Path | None = None
    trusted_keys: Path | None = None
    least_epoch: int = 0
    max_in_flight: int = 100
    rate: float = 0.0
    key_share: float = 0.5
    bounds: ConnectionBounds = field(default_factory=ConnectionBounds)
    form_open: bool = True
    drain_s: float = 5.0
    shutdown_s: float = 50.0
    ready_timeout_s: float = 180.0


def check_options(options: Options) -> None:
    """Refuse what cannot be served, before anything listens."""
    if not NAME.fullmatch(options.endpoint) or options.endpoint.startswith("token"):
        raise ConfigError(
            f"Endpoint name {options.endpoint!r:.80} is not allowed: use 1 to 53 lower-case letters, digits and inner "
            "hyphens, not starting with `token`."
        )
    if options.digest and not DIGEST.fullmatch(options.digest):
        raise ConfigError(
            f"KUBETUNE_ARCHIVE is {options.digest!r:.80}, which is no SHA-256: stage `deploy` writes it as the pod's "
            "annotation kubetune.io/archive."
        )
    if options.drain_s > options.shutdown_s / 2:
        raise ConfigError(
            f"KUBETUNE_GATEWAY_DRAIN_S is {options.drain_s:g}, more than half of KUBETUNE_GATEWAY_SHUTDOWN_S "
            f"({options.shutdown_s:g}): the other half is for requests under way, so lower the one or raise the other."
        )

"""The client of the configured S3 server, for data and models that are read from it."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3

from kubetune.errors import ConfigError

if TYPE_CHECKING:
    from minio import Minio

RETRIES = urllib3.Retry(total=4, backoff_factor=0.2, status_forcelist=(408, 429, 500, 502, 503, 504))


def s3_client(settings: Any, what: str) -> "Minio":
    """Return a client with our time-outs and retries.

    Args:
        settings: How the server is reached (`platform["s3"]`); None where no server is configured.
        what: What is to be read, for the sentence.

    Raises:
        ConfigError: No server is configured, or its address is none.
    """
    from minio import Minio

    if settings is None:
        raise ConfigError(
            f"{what} needs an S3 server and credentials: set KUBETUNE_S3_ENDPOINT, KUBETUNE_S3_ACCESS_KEY and "
            "KUBETUNE_S3_SECRET_KEY."
        )
    server = urlsplit(settings.endpoint)
    if server.scheme not in {"http", "https"} or not server.netloc or server.path not in {"", "/"}:
        raise ConfigError(f"{settings.endpoint!r} is no address of an S3 server: use http(s)://host[:port].")
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout),
        retries=RETRIES,
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(settings.ca_bundle) if settings.ca_bundle else None,  # None: the system's
    )
    return Minio(
        server.netloc,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        session_token=settings.session_token,
        secure=server.scheme == "https",
        region=settings.region,
        http_client=pool,
    )

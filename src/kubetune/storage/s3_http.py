"""One HTTP connection pool that retries each request: the only place where S3 requests are tried again.

The `minio` package sends all it does through the pool it is given, so each part of a large upload is retried alone and
nothing retries twice.
"""

import time
from collections.abc import Callable
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, MaxRetryError, SSLError
from urllib3.response import BaseHTTPResponse

from kubetune.errors import ConfigError, StoreUnavailableError
from kubetune.storage.base import JITTER, S3Settings

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
# Damage on the way that the server noticed by our digests, or a body that it did not get in time. All are status 400.
DAMAGED_ON_THE_WAY = (b"BadDigest", b"XAmzContentSHA256Mismatch", b"IncompleteBody", b"RequestTimeout")
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
CONNECTIONS = 16


class Backoff:
    """Back-off inside a deadline that starts with the first failure.

    Args:
        settings: Server and deadline.
    """

    def __init__(self, settings: S3Settings) -> None:
        self.endpoint = settings.endpoint
        self.deadline = settings.deadline
        self.failures = 0
        self.first_failure = 0.0

    def progress(self) -> None:
        """Something arrived: the deadline starts again with the next failure."""
        self.failures = 0

    def wait(self, cause: str) -> None:
        """Sleep before another try.

        Raises:
            StoreUnavailableError: The deadline is over.
        """
        now = time.monotonic()
        if self.failures == 0:
            self.first_failure = now
        self.failures += 1
        left = self.first_failure + self.deadline - now
        if left <= 0:
            raise StoreUnavailableError(
                f"Store {self.endpoint} did not answer inside {self.deadline:g} s (tried {self.failures} times, "
                f"last: {cause}): nothing is lost, run the same command again when it does."
            )
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self.failures - 1)) * JITTER.uniform(0.5, 1.0)
        time.sleep(min(pause, left))


class RetryingPool(urllib3.PoolManager):
    """Connection pool with our time-outs, our retries and no redirects."""

    def __init__(self, settings: S3Settings) -> None:
        super().__init__(
            maxsize=CONNECTIONS,
            timeout=urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout),
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(settings.ca_bundle) if settings.ca_bundle else None,  # None: the system's
        )
        self.settings = settings

    def urlopen(  # type: ignore[override]  # the base class has overloads for types that minio never passes
        self, method: str, url: str, redirect: bool = True, **arguments: Any
    ) -> BaseHTTPResponse:
        """Send a request, again and again while the failure is transient; see `persist`."""
        if method == "DELETE" and "uploadId=" in url:
            return self.once(method, url, **arguments)  # aborting an upload after a failure must not wait once more
        return self.persist(lambda: self.once(method, url, **arguments))[0]

    def once(self, method: str, url: str, **arguments: Any) -> BaseHTTPResponse:
        """Send a request, one try."""
        return super().urlopen(method, url, redirect=False, retries=False, **arguments)

    def persist(
        self, attempt: Callable[[], BaseHTTPResponse], also_transient: frozenset[int] = frozenset()
    ) -> tuple[BaseHTTPResponse, int]:
        """Repeat an attempt until its answer is final.

        Args:
            attempt: Sends one request.
            also_transient: Further status codes that ask for another try.

        Returns:
            The answer and the number of tries. After more than one, an earlier try may have taken effect.

        Raises:
            StoreUnavailableError: The deadline is over.
            ConfigError: The server's certificate cannot be trusted, or the address is none.
        """
        backoff = Backoff(self.settings)
        while True:
            try:
                response = attempt()
            except HTTPError as error:
                raise_if_permanent(error, self.settings.endpoint)
                backoff.wait(type(error).__name__)
                continue
            if not is_transient(response, also_transient):
                return response, backoff.failures + 1
            response.drain_conn()
            response.release_conn()
            backoff.wait(f"HTTP status {response.status}")


def is_transient(response: BaseHTTPResponse, also: frozenset[int]) -> bool:
    """Whether another try may be answered differently."""
    if response.status in TRANSIENT or response.status in also:
        return True
    return response.status == 400 and any(code in response.data for code in DAMAGED_ON_THE_WAY)


def raise_if_permanent(error: HTTPError, endpoint: str) -> None:
    """Raise what no repetition cures."""
    cause = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(cause, SSLError) and "certificate" in str(cause).lower():
        raise ConfigError(
            f"The certificate of store {endpoint} cannot be trusted: set KUBETUNE_CA_BUNDLE to the PEM file of the "
            "authority that signed it."
        ) from error
    if isinstance(cause, LocationParseError):
        raise ConfigError(f"{endpoint!r} is no address of an S3 server: use http(s)://host[:port].") from error

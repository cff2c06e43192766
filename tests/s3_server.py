"""The S3 server of the default tier: moto in a thread, one request at a time so that its conditions are atomic."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from kubetune.storage.base import S3Settings, Store
from kubetune.storage.open import open_store


@dataclass(frozen=True)
class S3Server:
    """A server with a bucket."""

    address: str
    access_key: str
    secret_key: str
    bucket: str
    real: bool

    def settings(self, endpoint: str | None = None, **values: object) -> S3Settings:
        fast = {"deadline": 5.0, "connect_timeout": 2.0, "read_timeout": 5.0, "part_size": 5 << 20}
        return S3Settings(endpoint or f"http://{self.address}", self.access_key, self.secret_key, **{**fast, **values})  # type: ignore[arg-type]

    def open(self, endpoint: str | None = None, prefix: str | None = None, **values: object) -> Store:
        where = f"s3://{self.bucket}/{prefix or uuid4().hex}"
        return open_store(where, self.settings(endpoint, **values), probe=False)


def make_bucket(server: S3Server) -> S3Server:
    from minio import Minio

    client = Minio(server.address, server.access_key, server.secret_key, secure=False, region="us-east-1")
    if not client.bucket_exists(server.bucket):
        client.make_bucket(server.bucket)
    return server


@contextmanager
def running_moto(*, ignore_conditions: bool = False) -> Iterator[str]:
    """Run moto on a free loopback port; yields `host:port`.

    Args:
        ignore_conditions: Drop If-None-Match and If-Match on the way in, as some S3 servers do.
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    application = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def guarded(environ: dict[str, Any], start_response: Any) -> Any:
        if ignore_conditions:
            environ.pop("HTTP_IF_NONE_MATCH", None)
            environ.pop("HTTP_IF_MATCH", None)
        with one_at_a_time:
            return application(environ, start_response)

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, guarded, threaded=True, request_handler=Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

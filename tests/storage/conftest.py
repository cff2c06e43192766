"""Stores under test: a folder, a bucket of moto, and a bucket of the real server that KUBETUNE_TEST_S3 names."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from fault_proxy import Proxy, proxy_to
from kubetune.storage.base import Store
from kubetune.storage.open import open_store
from s3_server import S3Server, make_bucket, running_moto

REAL = os.environ.get("KUBETUNE_TEST_S3", "")
S3_SERVERS = ["moto", *([pytest.param("real", marks=pytest.mark.s3)] if REAL else [])]


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    with running_moto() as address:
        yield make_bucket(S3Server(address, "moto", "moto-secret", "kubetune", real=False))


@pytest.fixture(scope="session")
def real_server() -> S3Server:
    """From `http://key:secret@host:port/bucket`."""
    parts = urlsplit(REAL)
    address = f"{parts.hostname}:{parts.port}"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return make_bucket(S3Server(address, user, password, parts.path.strip("/"), real=True))


@pytest.fixture(params=S3_SERVERS)
def server(request: pytest.FixtureRequest) -> S3Server:
    """Each S3 server."""
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(params=["local", *S3_SERVERS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    return request.getfixturevalue(f"{request.param}_server").open()


@pytest.fixture
def local(tmp_path: Path) -> Store:
    """An empty store in a folder, for what does not depend on the kind."""
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def proxy(server: S3Server) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with proxy_to(server.address) as running:
        yield running


@pytest.fixture
def through(server: S3Server, proxy: Proxy) -> Callable[..., Store]:
    """Opens a store whose requests pass the proxy."""
    return lambda **values: server.open(proxy.url, **values)

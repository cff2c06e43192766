"""A pair of keys with a known seed, and the statement of a made-up run."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import chain_toys
from kubetune.provenance.keys import key_id
from kubetune.provenance.statement import build_statement

SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # RFC 8032, 7.1, test 1
ARCHIVE = chain_toys.digest("file", "archive")


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(SEED)


@pytest.fixture
def trusted(key: Ed25519PrivateKey) -> dict:
    return {key_id(key.public_key()): key.public_key()}


@pytest.fixture
def statement() -> dict:
    return build_statement("tweets", ARCHIVE, chain_toys.as_json(chain_toys.commits()), {"outcome": "promote"})


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with `signing.key` and `signing.pub`."""
    from kubetune.provenance.keys import write_key_pair

    write_key_pair(tmp_path / "pair")
    return tmp_path / "pair"

"""Statements in a store: created once, signatures joined by compare-and-set, garbage and giants refused."""

import threading
from collections.abc import Iterator

import pytest

from kubetune import layout
from kubetune.errors import DataError, KubetuneError
from kubetune.storage.base import Store
from kubetune.storage.statements import put_statement, read_statement

MODEL, DIGEST = "tweets", "ab" * 32


def envelope(payload: str, *keys: str) -> dict:
    signatures = [{"keyid": key, "sig": f"sig-{key}"} for key in keys]
    return {"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": signatures}


def test_a_statement_is_read_back_and_writing_it_again_changes_nothing(store: Store) -> None:
    assert read_statement(store, MODEL, DIGEST) is None
    ours = envelope("cGF5", "a")
    assert put_statement(store, MODEL, DIGEST, ours) == ours
    etag = store.get(layout.statement(MODEL, DIGEST)).etag
    assert put_statement(store, MODEL, DIGEST, ours) == ours
    assert store.get(layout.statement(MODEL, DIGEST)).etag == etag
    assert read_statement(store, MODEL, DIGEST) == ours
    assert layout.statement(MODEL, DIGEST) == f"statements/tweets/{DIGEST}.json"


def test_signatures_of_equal_content_are_joined(store: Store) -> None:
    put_statement(store, MODEL, DIGEST, envelope("cGF5", "b"))
    assert put_statement(store, MODEL, DIGEST, envelope("cGF5", "a")) == envelope("cGF5", "a", "b")
    wrong = envelope("cGF5", "a")
    wrong["signatures"][0]["sig"] = "another"
    put_statement(store, MODEL, DIGEST, wrong)
    assert put_statement(store, MODEL, DIGEST, envelope("cGF5", "a")) == envelope("cGF5", "a", "b")


def test_the_first_content_stays_unless_the_caller_says_otherwise(store: Store) -> None:
    put_statement(store, MODEL, DIGEST, envelope("Zmlyc3Q=", "a"))
    assert put_statement(store, MODEL, DIGEST, envelope("c2Vjb25k", "a")) == envelope("Zmlyc3Q=", "a")
    second = envelope("c2Vjb25k", "b")
    assert (
        put_statement(store, MODEL, DIGEST, second, stays=lambda _: False)
        == second
        == read_statement(store, MODEL, DIGEST)
    )


def test_several_signers_at_once_lose_no_signature(local: Store) -> None:
    names = [f"{number:02}" for number in range(8)]
    threads = [
        threading.Thread(target=put_statement, args=(local, MODEL, DIGEST, envelope("cGF5", name))) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_statement(local, MODEL, DIGEST) == envelope("cGF5", *names)


def test_garbage_is_refused_by_readers_and_replaced_by_writers(local: Store) -> None:
    key = layout.statement(MODEL, DIGEST)
    for data in (b"", b"{", b"{}", b'{"format": 1, "envelope": {}}'):
        local.put(key, data)
        with pytest.raises(DataError, match="register the archive again"):
            read_statement(local, MODEL, DIGEST)
        ours = envelope("cGF5", "a")
        assert put_statement(local, MODEL, DIGEST, ours) == ours == read_statement(local, MODEL, DIGEST)


def test_a_truncated_record_is_refused(local: Store) -> None:
    put_statement(local, MODEL, DIGEST, envelope("cGF5", "a"))
    whole = local.get(layout.statement(MODEL, DIGEST)).data
    for length in range(0, len(whole) - 1, 7):
        local.put(layout.statement(MODEL, DIGEST), whole[:length])
        with pytest.raises(DataError):
            read_statement(local, MODEL, DIGEST)


class Giant:
    """A store whose object never ends."""

    def __init__(self) -> None:
        self.sent = 0

    def read(self, key: str) -> Iterator[bytes]:
        while True:
            self.sent += 1 << 20
            yield b" " * (1 << 20)


def test_a_giant_is_given_up_early(local: Store, tmp_path) -> None:
    giant = Giant()
    with pytest.raises(DataError, match="larger than 2 MiB"):
        read_statement(giant, MODEL, DIGEST)
    assert giant.sent <= 3 << 20
    local.put(layout.statement(MODEL, DIGEST), b" " * (3 << 20))
    with pytest.raises(DataError, match="remove it"):
        put_statement(local, MODEL, DIGEST, envelope("cGF5", "a"))


def test_a_name_that_is_no_digest_reaches_no_store(local: Store) -> None:
    for name in ("", "../x", "AB" * 32, DIGEST + "\n"):
        with pytest.raises(KubetuneError, match="no digest"):
            read_statement(local, MODEL, name)

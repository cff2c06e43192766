"""The registry's record: versions, the line of champions, and comparisons that are counted once."""

import threading

import pytest

from kubetune import layout
from kubetune.errors import ConfigError, CorruptArtifactError, KubetuneError
from kubetune.storage.comparisons import reserve_comparison
from kubetune.storage.local import LocalStore
from kubetune.storage.records import encode
from kubetune.storage.registry import (
    BY_PERSON,
    Event,
    RegisteredModel,
    Version,
    change_model,
    demote,
    list_models,
    parse_model,
    read_model,
    restored,
    set_champion,
    with_version,
)
from kubetune.storage.versions import put_document, read_document

EVENT = Event("promoted", "2026-01-01T00:00:00Z")


def version(archive: str) -> Version:
    return Version(0, f"run-{archive}", archive, f"model-{archive}", "0" * 64, "promote", "2026-01-01T00:00:00Z")


def with_champions(*archives: str) -> RegisteredModel:
    model = RegisteredModel("m")
    for archive in archives:
        model, standing = with_version(model, version(archive))
        model = set_champion(model, standing.number)
    return model


def test_versions_are_numbered_and_an_archive_has_one() -> None:
    model, first = with_version(RegisteredModel("m"), version("a"))
    model, second = with_version(model, version("b"))
    model, again = with_version(model, version("a"))
    assert (first.number, second.number, again.number) == (1, 2, 1)
    assert [item.number for item in model.versions] == [1, 2]
    assert model.candidate == 1


def test_the_line_has_champion_and_previous_and_nobody_twice() -> None:
    model = with_champions("a", "b", "a")
    assert model.line == (2, 1)
    assert model.aliases() == {"champion": 1, "previous": 2, "candidate": 1}
    assert set_champion(model, 1) == model


def test_a_rollback_that_is_undone_leaves_no_trace_in_line_and_marks() -> None:
    before = with_champions("a", "b", "c")
    assert restored(demote(before, BY_PERSON), 3) == before


def test_without_a_champion_there_is_nothing_to_take_back() -> None:
    assert demote(RegisteredModel("m"), BY_PERSON) == RegisteredModel("m")
    with pytest.raises(ConfigError, match="has no version 7: it has 2"):
        with_champions("a", "b").version(7)


def test_a_record_survives_the_store(tmp_path) -> None:
    store = LocalStore(tmp_path)
    wanted = with_champions("a", "b")
    change_model(store, "m", lambda _: (wanted, EVENT))
    found = read_model(store, "m")
    assert found is not None
    assert (found.line, found.epoch, found.versions) == ((1, 2), 1, wanted.versions)
    assert found.history[0]["former"] is None and found.history[0]["version"] == 2
    assert [item.name for item in list_models(store)] == ["m"]
    assert parse_model(found.to_json()) == found
    assert read_model(store, "other") is None


@pytest.mark.parametrize("data", [b'{"half": ', b"", encode({"format": 2}), encode({"format": 1, "name": "m"})])
def test_a_broken_record_is_refused_and_never_begun_anew(tmp_path, data: bytes) -> None:
    """As absent, the next candidate would be promoted without a comparison, and the one after it spend alpha again."""
    store = LocalStore(tmp_path)
    store.put(layout.model("m"), data)
    store.put(layout.comparisons("m"), data)
    for touch in (
        lambda: read_model(store, "m"),
        lambda: change_model(store, "m", lambda _: (with_champions("a"), EVENT)),
        lambda: reserve(store, "rows", "a"),
    ):
        with pytest.raises(KubetuneError, match=r"m\.json of .* (is broken: restore it|was written by a newer)"):
            touch()
    assert store.get(layout.model("m")).data == store.get(layout.comparisons("m")).data == data


def test_many_writers_lose_nothing_and_there_is_one_champion(tmp_path) -> None:
    store = LocalStore(tmp_path)

    def work(number: int) -> None:
        for part in range(5):

            def change(model: RegisteredModel, archive: str = f"{number}-{part}") -> tuple[RegisteredModel, Event]:
                model, standing = with_version(model, version(archive))
                return set_champion(model, standing.number), EVENT

            change_model(store, "m", change)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    model = read_model(store, "m")
    assert model is not None
    assert [item.number for item in model.versions] == list(range(1, 31))
    assert sorted(model.line) == list(range(1, 31))
    assert model.epoch == 30 == len(model.history)


def reserve(store: LocalStore, rows: str, pair: str) -> int:
    return reserve_comparison(store, "m", {"id": rows}, pair, lambda one, other: one["id"] == other["id"])


def test_a_comparison_is_counted_once_however_often_it_is_begun(tmp_path) -> None:
    store = LocalStore(tmp_path)
    assert [reserve(store, "rows", pair) for pair in ("a", "b", "a", "c", "b")] == [0, 1, 0, 2, 1]
    assert reserve(store, "other rows", "d") == 0
    assert [reserve(store, "rows", pair) for pair in ("e", "a")] == [3, 0]


def test_comparisons_at_the_same_time_get_different_places(tmp_path) -> None:
    store, found = LocalStore(tmp_path), []
    threads = [
        threading.Thread(target=lambda name=str(number): found.append(reserve(store, "rows", name)))
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(12))


def test_a_document_is_read_whole_or_not_at_all(tmp_path) -> None:
    store = LocalStore(tmp_path)
    digest = put_document(store, {"format": 1, "files": {}})
    known = Version(1, "r", "a", "m", digest, "promote", "")
    assert read_document(store, known)["files"] == {}
    store.put(layout.blob(digest), b"{}")
    with pytest.raises(CorruptArtifactError, match="missing or broken: restore blob"):
        read_document(store, known)

"""Commits, the index of keys, runs: what makes output visible, and what never does."""

import json
import random
from pathlib import Path

import pytest

import storage_contract as contract
from kubetune import layout
from kubetune.contract import Verdict
from kubetune.errors import ConfigError, ConflictingCommitError, KubetuneError
from kubetune.execution.states import run_lines
from kubetune.storage.base import Store
from kubetune.storage.blobs import put_blob
from kubetune.storage.commits import (
    Commit,
    adopt_commit,
    committed,
    create_commit,
    find_result,
    index,
    lookup,
    quarantine,
    read_commit,
)
from kubetune.storage.records import decode, encode
from kubetune.storage.runs import (
    create_run,
    delete_run,
    list_attempts,
    list_runs,
    put_telemetry,
    read_log,
    read_run,
    read_telemetry,
    record_attempt,
)


def stored_commit(store: Store, run: str = "run-1", content: bytes = b"weights", **values: object) -> Commit:
    """Commit a stage whose one output file is stored."""
    put_blob(store, content)
    return create_commit(store, contract.a_commit(run, outputs={"model": contract.one_file(content)}, **values))


GARBAGE = {
    "empty": b"",
    "half": encode(contract.a_commit().to_json())[:200],
    "not JSON": b"\x00\xff",
    "a list": b"[]",
    "no digest": json.dumps(contract.a_commit().to_json()).encode(),
    "edited": encode(contract.a_commit().to_json()).replace(b"0.5", b"0.9"),
    "other format": encode({**contract.a_commit().to_json(), "format": 0}),
    "of another stage": encode(contract.a_commit(stage="evaluate").to_json()),
    "of another run": encode(contract.a_commit(run="run-2").to_json()),
    "lacking a field": encode({"format": 1, "run": "run-1", "stage": "train"}),
    "leading out": encode(
        {**contract.a_commit().to_json(), "outputs": {"model": [{"path": "../x", "size": 1, "sha256": "a" * 64}]}}
    ),
    "deep": b"[" * 100_000,
}


def test_a_commit_is_read_as_it_was_written(store: Store) -> None:
    record = contract.a_commit(
        fields={"stage": "train"},
        inputs={"dataset": "d" * 64},
        verdict=Verdict(77, ("accuracy 0.5 missed 0.9 by 0.4",)),
        facts={"best_step": 3},
        fingerprint={"torch": "2.15"},
        image="sha256:1",
        locks={"pipeline.txt": "e" * 64},
    )
    assert create_commit(store, record) == record
    assert read_commit(store, "run-1", "train") == record
    assert read_commit(store, "run-1", "evaluate") is None
    assert committed(store, "run-1", ["prepare", "train"]) == {"train": record}


def test_the_bytes_of_a_commit_are_pinned() -> None:
    data = encode(contract.a_commit(attempt="one").to_json())
    assert data.endswith(b"\n") and json.loads(data)["sha256"] == decode_digest(data)
    assert list(json.loads(data)) == sorted(json.loads(data))
    assert contract.a_commit().result == "d6937ef445376f07c412686c39c90075e3fd76f21f2e96dec2b2a224081473d2"


def decode_digest(data: bytes) -> str:
    value = json.loads(data)
    assert decode(data) == {name: item for name, item in value.items() if name != "sha256"}
    return str(value["sha256"])


def test_an_equal_result_is_adopted_and_another_refused(store: Store) -> None:
    contract.check_other_result_conflicts(store)


@pytest.mark.parametrize("name", ["key", "inputs", "outputs", "metrics", "verdict"])
def test_each_part_of_the_result_counts(local: Store, name: str) -> None:
    other = {
        "key": "c" * 64,
        "inputs": {"dataset": "d" * 64},
        "outputs": {"model": contract.one_file(b"other")},
        "metrics": {"accuracy": 0.6},
        "verdict": Verdict(77, ("no",)),
    }
    first = create_commit(local, contract.a_commit())
    with pytest.raises(ConflictingCommitError, match=name.removesuffix("s")) as caught:
        create_commit(local, contract.a_commit(**{name: other[name]}))
    assert caught.value.exit_code == 70 and "use a new run name" in str(caught.value)
    assert read_commit(local, "run-1", "train") == first
    (kept,) = list_attempts(local, "run-1", "train").values()
    assert kept["run"] == "run-1", "the second result is kept beside for a person"


@pytest.mark.parametrize("values", [{"attempt": "x"}, {"image": "x"}, {"locks": {"a": "b"}}, {"facts": {"a": 1}}])
def test_provenance_does_not_count(local: Store, values: dict[str, object]) -> None:
    first = create_commit(local, contract.a_commit())
    assert create_commit(local, contract.a_commit(**values)) == first
    assert create_commit(local, contract.a_commit(fingerprint={"resumes": 3})) == first


def test_sixteen_attempts_at_once_agree(store: Store) -> None:
    for number in range(10 if store.url.startswith("file:") else 3):
        run = f"agree-{number}"
        results = contract.at_once(lambda _, run=run: create_commit(store, contract.a_commit(run)))
        standing = read_commit(store, run, "train")
        assert results == [standing] * 16


def test_sixteen_different_results_have_one_winner(store: Store) -> None:
    for number in range(10 if store.url.startswith("file:") else 3):
        run = f"differ-{number}"
        results = contract.at_once(
            lambda index, run=run: create_commit(store, contract.a_commit(run, metrics={"accuracy": float(index)}))
        )
        winners = [result for result in results if isinstance(result, Commit)]
        assert winners == [read_commit(store, run, "train")]
        assert sum(isinstance(result, ConflictingCommitError) for result in results) == 15


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_absent_and_replaceable(store: Store, name: str) -> None:
    store.put(layout.commit("run-1", "train"), GARBAGE[name])
    assert read_commit(store, "run-1", "train") is None
    record = contract.a_commit()
    assert create_commit(store, record) == record == read_commit(store, "run-1", "train")


def test_no_flipped_or_truncated_record_is_read(local: Store) -> None:
    draw = random.Random(11)
    data = encode(contract.a_commit().to_json())
    for _ in range(200):
        place = draw.randrange(len(data))
        flipped = data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]
        for damaged in (flipped, data[:place]):
            # White space around the values carries nothing: such a flip may leave an equal record.
            assert decode(damaged) in (None, decode(data))


def test_numbers_that_are_not_finite_are_not_committed(local: Store) -> None:
    with pytest.raises(KubetuneError, match="finite"):
        create_commit(local, contract.a_commit(metrics={"loss": float("nan")}))
    assert read_commit(local, "run-1", "train") is None


def test_a_key_leads_to_its_first_commit(store: Store) -> None:
    record = stored_commit(store)
    assert lookup(store, "train", record.key).commit is None
    assert index(store, record).first == record
    assert lookup(store, "train", record.key).commit == record
    assert lookup(store, "train", "f" * 64).commit is None
    again = stored_commit(store, "run-2")
    indexed = index(store, again)
    assert indexed.same and indexed.first == record and not indexed.differ


def test_other_bytes_under_one_key_are_reported_and_the_first_stays(store: Store) -> None:
    first = stored_commit(store)
    index(store, first)
    second = stored_commit(store, "run-2", content=b"other weights", metrics={"accuracy": 0.7})
    indexed = index(store, second)
    assert not indexed.same and indexed.first == first
    assert indexed.differ == "metrics, output model"
    assert lookup(store, "train", first.key).commit == first
    assert read_commit(store, "run-2", "train") == second, "both commits stand"


def test_sixteen_runs_index_one_first(store: Store) -> None:
    put_blob(store, b"weights")
    records = [
        contract.a_commit(f"run-{number}", outputs={"model": contract.one_file(b"weights")}) for number in range(16)
    ]
    indexed = contract.at_once(lambda number: index(store, records[number]).first)
    assert len({record.run for record in indexed if isinstance(record, Commit)}) == 1
    assert lookup(store, "train", records[0].key).commit == indexed[0]


def test_a_deleted_or_shortened_blob_is_no_hit(store: Store) -> None:
    record = stored_commit(store)
    index(store, record)
    (file,) = record.files
    store.put(layout.blob(file.sha256), b"weight")
    entry = lookup(store, "train", record.key)
    assert entry.commit is None and entry.broken == {file.sha256}
    store.delete(layout.blob(file.sha256))
    assert lookup(store, "train", record.key).broken == {file.sha256}
    other = stored_commit(store, "run-2", content=b"others")
    assert index(store, other).first == other, "what names missing blobs is replaced"


def test_a_quarantined_key_is_no_hit_until_its_producer_ran(store: Store) -> None:
    record = stored_commit(store)
    index(store, record)
    (file,) = record.files
    quarantine(store, "train", record.key, [file.sha256], "a reader found other bytes")
    entry = find_result(store, "train", record.key, record)
    assert entry.commit is None and entry.broken == {file.sha256}
    quarantine(store, "train", record.key, ["d" * 64], "another reader")
    assert lookup(store, "train", record.key).broken == {file.sha256, "d" * 64}
    put_blob(store, b"weights", rewrite=True)
    assert index(store, create_commit(store, record)).same
    assert lookup(store, "train", record.key).commit == record


def test_a_late_reader_does_not_quarantine_a_repaired_key(local: Store) -> None:
    record = stored_commit(local)
    index(local, record)
    quarantine(local, "train", record.key, ["d" * 64], "read from a commit that is no longer named")
    assert lookup(local, "train", record.key).commit == record


def test_a_crash_between_commit_and_index_costs_nothing(local: Store) -> None:
    record = stored_commit(local)
    assert find_result(local, "train", record.key, record).commit == record
    assert find_result(local, "train", "f" * 64, record).commit is None
    local.delete(layout.blob(record.files[0].sha256))
    assert find_result(local, "train", record.key, record).broken == {record.files[0].sha256}


@pytest.mark.parametrize("data", [b"", b"{", encode({"commit": None}), encode({"commit": {}, "broken": []})])
def test_a_garbage_index_entry_is_absent_and_replaceable(store: Store, data: bytes) -> None:
    record = stored_commit(store)
    store.put(layout.stage_key("train", record.key), data)
    assert lookup(store, "train", record.key).commit is None
    assert index(store, record).first == record
    assert lookup(store, "train", record.key).commit == record


def test_an_entry_of_another_key_is_no_hit(local: Store) -> None:
    record = stored_commit(local)
    index(local, record)
    found = local.get(layout.stage_key("train", record.key))
    assert found is not None
    local.put(layout.stage_key("train", "f" * 64), found.data)
    assert lookup(local, "train", "f" * 64).commit is None


def test_a_refused_commit_is_adopted_with_its_verdict(local: Store) -> None:
    refused = stored_commit(local, verdict=Verdict(77, ("accuracy 0.5 missed 0.9 by 0.4",)))
    index(local, refused)
    found = lookup(local, "train", refused.key).commit
    assert found is not None
    adopted = adopt_commit(local, found, "run-2", "pod-7")
    assert (adopted.run, adopted.verdict) == ("run-2", refused.verdict)
    assert adopted.attempt == "adopted:run-1:pod-7"
    assert read_commit(local, "run-2", "train") == adopted
    assert adopted.result == refused.result


def test_a_run_keeps_its_recipe(store: Store) -> None:
    recipe = {"name": "tweets", "training": {"epochs": 1, "seed": 7}}
    create_run(store, "run-1", recipe)
    create_run(store, "run-1", recipe)
    with pytest.raises(ConfigError, match=r"training\.epochs") as caught:
        create_run(store, "run-1", {**recipe, "training": {"epochs": 2, "seed": 7}})
    assert caught.value.exit_code == 78 and "training.seed" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"\(data differ\)"):
        create_run(store, "run-1", {**recipe, "data": {}})
    assert read_run(store, "run-1") == recipe
    assert read_run(store, "run-2") is None


def test_a_run_remembers_where_its_logs_are_read_from_its_first_stage_on(store: Store) -> None:
    recipe = {"name": "tweets"}
    create_run(store, "run-log", recipe, "https://airflow.example.com/dags/finetune/runs/run-log")
    create_run(store, "run-log", recipe)  # the same run, gone on with on a laptop
    assert read_log(store, "run-log") == "https://airflow.example.com/dags/finetune/runs/run-log"
    assert read_run(store, "run-log") == recipe
    create_run(store, "run-none", recipe)
    assert (read_log(store, "run-none"), read_log(store, "run-absent")) == ("", "")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_broken_recipe_record_is_refused_and_stays(local: Store, damage: str) -> None:
    """Taken for none, another recipe took the run's name, beside commits of the first."""
    create_run(local, "run-1", {"name": "a"})
    key = layout.run_record("run-1")
    whole = local.get(key).data
    broken = {"cut": whole[:-20], "flipped": whole.replace(b'"a"', b'"b"'), "empty": b"", "other": b'{"sha256": "x"}'}
    local.put(key, broken[damage])
    for ask in (
        lambda: create_run(local, "run-1", {"name": "a"}),
        lambda: create_run(local, "run-1", {"name": "b"}),
        lambda: read_run(local, "run-1"),
    ):
        with pytest.raises(KubetuneError, match=r"run-1/run\.json .* is broken") as caught:
            ask()
        assert caught.value.exit_code == 70
    assert local.get(key).data == broken[damage]
    create_run(local, "run-2", {"name": "b"})
    assert {line.run: line.state for line in run_lines(local)}["run-1"] == "its record is broken"
    assert delete_run(local, "run-1") == 1
    create_run(local, "run-1", {"name": "b"})


def test_runs_are_listed_and_deleted_commits_first(store: Store, tmp_path: Path) -> None:
    assert list_runs(store) == []
    for run in ("one", "two"):
        create_run(store, run, {"name": run})
        stored_commit(store, run)
    record_attempt(store, "one", "evaluate", "try-1", {"code": 75, "reason": "away"})
    (tmp_path / "telemetry" / "logs").mkdir(parents=True)
    (tmp_path / "telemetry" / "history.jsonl").write_text("{}\n")
    (tmp_path / "telemetry" / "logs" / "x.txt").write_text("x")
    put_telemetry(store, "one", "train", tmp_path / "telemetry")
    assert read_telemetry(store, "one", "train", "logs/x.txt") == b"x"
    assert read_telemetry(store, "one", "train", "absent") is None
    assert list_attempts(store, "one", "evaluate") == {"try-1": {"format": 1, "code": 75, "reason": "away"}}
    runs = {summary.run: summary for summary in list_runs(store)}
    assert set(runs) == {"one", "two"} and runs["one"].stages == ("train",)
    assert delete_run(store, "one") == 5
    assert [summary.run for summary in list_runs(store)] == ["two"]
    assert delete_run(store, "one") == 0
    with pytest.raises(ConfigError, match="not allowed"):
        delete_run(store, "../two")


def test_a_deletion_that_is_cut_leaves_no_commit(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    create_run(local, "one", {"name": "one"})
    for stage in ("prepare", "train", "evaluate"):
        create_commit(local, contract.a_commit("one", stage))
    record_attempt(local, "one", "train", "a", {})
    deleted: list[str] = []
    monkeypatch.setattr(local, "delete", lambda key: deleted.append(key) or True)
    delete_run(local, "one")
    assert [key.endswith("COMMIT.json") for key in deleted] == [True, True, True, False, False]
    assert deleted[-1] == layout.run_record("one")

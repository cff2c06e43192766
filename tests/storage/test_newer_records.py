"""Records of a later version of kubetune: refused by name, by every reader, and never written over."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import storage_contract as contract
from kubetune import layout
from kubetune.errors import ConfigError
from kubetune.storage import records
from kubetune.storage.backup import copy_store
from kubetune.storage.base import Store
from kubetune.storage.checkpoints import StoredCheckpoints
from kubetune.storage.commits import create_commit, index
from kubetune.storage.comparisons import reserve_comparison
from kubetune.storage.endpoints import change_endpoint
from kubetune.storage.open import open_store
from kubetune.storage.records import NEWEST_FORMAT, encode
from kubetune.storage.registry import Event, change_model
from kubetune.storage.runs import create_run

RECORDS: dict[str, tuple[str, Callable[[Store], object]]] = {
    "a recipe": (layout.run_record("run-1"), lambda store: create_run(store, "run-1", {"name": "toy"})),
    "a commit": (layout.commit("run-1", "train"), lambda store: create_commit(store, contract.a_commit("run-1"))),
    "an index entry": (layout.stage_key("train", "a" * 64), lambda store: index(store, contract.a_commit("run-1"))),
    "an endpoint": (
        layout.endpoint("toy"), lambda store: change_endpoint(store, "toy", lambda found: found, event="x", at=""),
    ),
    "a model": (layout.model("toy"), lambda store: change_model(store, "toy", lambda found: (found, Event("x", "")))),
    "comparisons": (
        layout.comparisons("toy"), lambda store: reserve_comparison(store, "toy", {}, "pair", lambda *_: True),
    ),
    "checkpoints": (
        layout.checkpoint_head("k" * 64),
        lambda store: StoredCheckpoints(store, "k" * 64, Path("none"), print).restore(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_of_a_newer_version_is_neither_read_nor_written_over(local: Store, kind: str) -> None:
    """Taken for garbage, it would be replaced: a laptop that lags behind would undo what the cluster wrote."""
    key, use = RECORDS[kind]
    newer = encode({"format": NEWEST_FORMAT + 1, "all": "that nobody here knows"})
    local.put(key, newer)
    with pytest.raises(ConfigError, match=r"written by a newer kubetune \(format 2, this one reads 1\)"):
        use(local)
    assert b"".join(local.read(key)) == newer


def test_a_backup_by_an_older_version_leaves_nothing_out(local: Store, tmp_path: Path) -> None:
    local.put(layout.model("toy"), encode({"format": NEWEST_FORMAT + 1}))
    with pytest.raises(ConfigError, match="written by a newer kubetune"):
        copy_store(local, open_store(str(tmp_path / "backup")))


def test_no_record_has_a_format_that_readers_refuse() -> None:
    folder = Path(records.__file__).parent
    found = [int(line.split("=")[1]) for path in folder.glob("*.py") for line in path.read_text().splitlines()
             if re.fullmatch(r"FORMAT = \d+", line)]  # fmt: skip
    assert len(found) >= 6 and max(found) <= NEWEST_FORMAT

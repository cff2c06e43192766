"""Whose clock says that a blob is old: a machine whose own is wrong must take nothing that is young."""

import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kubetune import layout
from kubetune.cli.app import app
from kubetune.storage.base import MOST_SKEW_S, Store
from kubetune.storage.blobs import put_blob, put_tree
from kubetune.storage.gc import collect

DAY = 24 * 3600.0


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch):
    """Puts this machine's clock ahead by seconds; the file system and the server keep theirs."""
    really = time.time
    return lambda ahead: monkeypatch.setattr(time, "time", lambda: really() + ahead)


def blobs_of(store: Store) -> set[str]:
    return {stat.key.rpartition("/")[2] for stat in store.list(layout.BLOBS)}


@pytest.mark.parametrize("ahead", [2 * DAY, MOST_SKEW_S + 60, -2 * DAY])
def test_a_wrong_clock_takes_nothing_that_is_young(store: Store, set_clock, ahead: float) -> None:
    """A fresh blob that no commit names yet; before, two days ahead removed it."""
    fresh = put_blob(store, b"on its way to a commit")
    set_clock(ahead)
    assert not collect(store, dry_run=True).blobs
    done = collect(store)
    assert not done.blobs and blobs_of(store) == {fresh}
    assert abs(done.skew - ahead) < 30
    put_blob(store, b"written by such a machine")
    set_clock(0.0)
    assert not collect(store).blobs and len(blobs_of(store)) == 2


def test_a_store_whose_clock_leaps_takes_nothing_that_is_young(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = put_blob(store, b"on its way to a commit")
    really = type(store).now
    monkeypatch.setattr(type(store), "now", lambda self: really(self) + 2 * DAY)
    done = collect(store)
    assert not done.blobs and blobs_of(store) == {fresh} and abs(done.skew + 2 * DAY) < 30


def test_what_is_old_by_the_stores_clock_goes_whatever_this_machine_says(local: Store, set_clock) -> None:
    old, young = put_blob(local, b"old"), put_blob(local, b"young")
    path = Path(local.url.removeprefix("file://")) / layout.blob(old)
    os.utime(path, (path.stat().st_mtime - 2 * DAY,) * 2)
    set_clock(2 * DAY)
    assert collect(local).blobs == 1 and blobs_of(local) == {young}


def test_a_small_difference_counts_as_none(store: Store, set_clock) -> None:
    put_blob(store, b"young")
    set_clock(MOST_SKEW_S / 2)
    assert collect(store, grace=MOST_SKEW_S / 4).blobs == 0
    assert collect(store).skew == 0


def test_a_writer_with_a_slow_clock_puts_an_old_blob_again(local: Store, set_clock, tmp_path: Path) -> None:
    """Else a collector with the right time takes it before its commit."""
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "weights").write_bytes(b"weights")
    for put in (lambda: put_blob(local, b"weights"), lambda: put_tree(local, tmp_path / "outputs")):
        path = Path(local.url.removeprefix("file://")) / layout.blob(put_blob(local, b"weights"))
        os.utime(path, (path.stat().st_mtime - DAY,) * 2)
        set_clock(-2 * DAY)
        put()
        set_clock(0.0)
        assert time.time() - path.stat().st_mtime < 60


def test_the_command_says_that_the_clocks_differ(local: Store, set_clock) -> None:
    put_blob(local, b"young")
    assert "clock" not in CliRunner().invoke(app, ["gc", "--store", local.url]).output
    set_clock(2 * DAY)
    assert (
        "s ahead of the store's: ages were taken by the earlier"
        in CliRunner().invoke(app, ["gc", "--store", local.url]).output
    )
    set_clock(-2 * DAY)
    assert "s behind the store's" in CliRunner().invoke(app, ["gc", "--store", local.url]).output

"""Passes for ever: an outage is told once and waited out, and what is followed is followed to its end."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from minio import Minio

from kubetune.errors import ConfigError, InterruptedRunError, StoreUnavailableError, TrackingAwayError
from kubetune.tracking import sync
from kubetune.tracking.sync import mirror_until_ended, wait_for_store
from s3_server import running_moto


class Ticks:
    """What is followed ends after some waits."""

    def __init__(self, count: int) -> None:
        self.left, self.waits = count, []

    @property
    def ended(self) -> bool:
        return self.left <= 0

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.left -= 1


class Steps:
    """Passes with these outcomes, then good ones."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes, self.seen = list(outcomes), []

    def __call__(self, last: bool) -> None:
        self.seen.append(last)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome


AWAY = TrackingAwayError("away")


def test_an_outage_is_told_once_and_backs_off() -> None:
    waiting, told, steps = Ticks(6), [], Steps(None, AWAY, AWAY, AWAY, None)
    assert mirror_until_ended(steps, 5.0, waiting, told.append)
    assert waiting.waits == [5.0, 10.0, 20.0, 40.0, 5.0, 5.0]
    assert told == ["away", "MLflow answers again; what it missed was sent."]
    assert steps.seen == [False] * 6 + [True]


def test_pauses_have_an_end() -> None:
    waiting = Ticks(12)
    mirror_until_ended(Steps(*[AWAY] * 12), 5.0, waiting, lambda _: None)
    assert max(waiting.waits) == sync.LONGEST_PAUSE_S


def test_a_dead_server_holds_the_follower_of_an_ended_run_for_a_minute_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(sync, "monotonic", lambda: now[0])
    waiting = Ticks(0)
    waiting.wait = lambda seconds: now.__setitem__(0, now[0] + seconds)
    assert not mirror_until_ended(Steps(*[AWAY] * 100), 15.0, waiting, lambda _: None)
    assert now[0] <= sync.LAST_S


@pytest.mark.parametrize("error", [ConfigError("wrong password"), InterruptedRunError("stopped")])
def test_what_no_waiting_mends_ends_the_watch(error: Exception) -> None:
    with pytest.raises(type(error)):
        mirror_until_ended(Steps(error), 5.0, Ticks(3), lambda _: None)


def test_a_store_that_does_not_take_our_keys_yet_is_waited_for_and_told_once() -> None:
    outcomes: list[Exception | None] = [
        StoreUnavailableError("away"),
        *[ConfigError("refuses our credentials")] * 6,
        None,
    ]
    waiting, told = Ticks(9), []

    def reach() -> None:
        if error := outcomes.pop(0):
            raise error

    wait_for_store(reach, waiting, told.append)
    assert told == [
        "waiting for the store: away",
        "waiting for the store: refuses our credentials",
        "The store answers: the mirror begins.",
    ]
    assert waiting.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_store_that_answers_at_once_is_not_spoken_of() -> None:
    waiting, told = Ticks(9), []
    wait_for_store(lambda: None, waiting, told.append)
    assert (waiting.waits, told) == ([], [])


@pytest.mark.parametrize("error", [InterruptedRunError("stopped"), ZeroDivisionError("a bug")])
def test_what_is_no_matter_of_the_store_ends_the_wait(error: Exception) -> None:
    with pytest.raises(type(error)):
        wait_for_store(lambda: (_ for _ in ()).throw(error), Ticks(3), lambda _: None)


@pytest.mark.slow
def test_the_mirror_of_a_new_cluster_waits_unready_and_begins_by_itself(tmp_path: Path) -> None:
    """The bucket is made while it runs; neither before nor after does it end by itself."""
    ready = tmp_path / "ready"
    with running_moto() as address:
        environment = {
            "KUBETUNE_STORE": "s3://late", "KUBETUNE_S3_ENDPOINT": f"http://{address}", "KUBETUNE_S3_ACCESS_KEY": "a",
            "KUBETUNE_S3_SECRET_KEY": "b", "KUBETUNE_TRACKING": "http://127.0.0.1:9", "HOME": str(tmp_path),
        }  # fmt: skip
        command = [sys.executable, "-m", "kubetune", "tracking", "sync", "--watch", "1", "--ready-file", str(ready)]
        mirror = subprocess.Popen(
            command, env={"PATH": os.defpath, **environment}, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        assert mirror.stderr is not None
        deadline = threading.Timer(120, mirror.kill)  # or a line that does not come would be waited for for ever
        deadline.start()
        try:
            assert "waiting for the store: Store s3://late" in mirror.stderr.readline()
            assert not ready.exists()
            Minio(address, "a", "b", secure=False).make_bucket("late")
            assert "The store answers" in mirror.stderr.readline()
            until = time.monotonic() + 60
            while not ready.exists() and time.monotonic() < until:
                time.sleep(0.1)
            assert ready.exists()
            assert mirror.poll() is None
        finally:
            deadline.cancel()
            mirror.send_signal(signal.SIGTERM)
            assert mirror.wait(30) == 0
            mirror.stderr.close()

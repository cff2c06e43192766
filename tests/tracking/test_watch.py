"""Passes for ever: an outage is told once and waited out, and what is followed is followed to its end."""

import pytest

from kubetune.errors import ConfigError, InterruptedRunError, TrackingAwayError
from kubetune.tracking import sync
from kubetune.tracking.sync import watch


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
    assert watch(steps, 5.0, waiting, told.append)
    assert waiting.waits == [5.0, 10.0, 20.0, 40.0, 5.0, 5.0]
    assert told == ["away", "MLflow answers again; what it missed was sent."]
    assert steps.seen == [False] * 6 + [True]


def test_pauses_have_an_end() -> None:
    waiting = Ticks(12)
    watch(Steps(*[AWAY] * 12), 5.0, waiting, lambda _: None)
    assert max(waiting.waits) == sync.LONGEST_PAUSE_S


def test_a_dead_server_holds_the_follower_of_an_ended_run_for_a_minute_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(sync, "monotonic", lambda: now[0])
    waiting = Ticks(0)
    waiting.wait = lambda seconds: now.__setitem__(0, now[0] + seconds)
    assert not watch(Steps(*[AWAY] * 100), 15.0, waiting, lambda _: None)
    assert now[0] <= sync.LAST_S


@pytest.mark.parametrize("error", [ConfigError("wrong password"), InterruptedRunError("stopped")])
def test_what_no_waiting_mends_ends_the_watch(error: Exception) -> None:
    with pytest.raises(type(error)):
        watch(Steps(error), 5.0, Ticks(3), lambda _: None)

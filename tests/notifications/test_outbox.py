"""The outbox: nothing is lost by a kill or a dead sink, nothing is sent twice under one key, nothing grows for ever."""

import itertools
import json
import logging
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubetune.notifications import outbox as module
from kubetune.notifications.events import Notice, started_notice
from kubetune.notifications.outbox import Outbox
from notifications.post_office import Post, PostOffice, post_office


class Ear:
    """A sink that keeps what it hears, or fails."""

    def __init__(self, identity: str = "ear") -> None:
        self.name = self.identity = identity
        self.heard: list[str] = []
        self.dead = False
        self.asked = 0

    def send(self, notice: Notice) -> None:
        self.asked += 1
        if self.dead:
            raise OSError("https://secret@host refused")
        self.heard.append(notice.run)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def box(tmp_path: Path, clock: Clock) -> Outbox:
    return Outbox(tmp_path / "notices", clock)


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with post_office() as found:
        yield found


def note(run: str) -> Notice:
    return started_notice(run)


def waiting(box: Outbox) -> int:
    return len(list((box.folder / "todo").glob("*.json")))


def test_a_notice_is_sent_once_however_often_it_is_filed(box: Outbox) -> None:
    ear = Ear()
    assert [box.file(note("a")), box.file(note("a"))] == ["filed", "known"]
    assert box.deliver([ear], 5) == 1
    assert box.file(note("a")) == "known"
    assert box.deliver([ear], 5) == 0
    assert ear.heard == ["a"]
    assert waiting(box) == 0


def test_notices_go_out_in_the_order_they_came(box: Outbox, clock: Clock) -> None:
    ear, names = Ear(), [f"r{number}" for number in range(12)]
    for name in names:
        clock.now += 1
        box.file(note(name))
    box.deliver([ear], 5)
    assert ear.heard == names


def test_a_dead_sink_holds_nobody_else_up_and_gets_it_later(
    box: Outbox, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = Ear("good"), Ear("bad")
    bad.dead = True
    box.file(note("a"))
    box.file(note("b"))
    assert box.deliver([bad, good], 5) == 0
    assert sorted(good.heard) == ["a", "b"]
    assert bad.asked == 1  # dead once is dead for this pass
    assert "secret" not in caplog.text
    bad.dead = False
    box.deliver([bad, good], 5)
    clock.now += 31
    box.deliver([bad, good], 5)
    assert sorted(bad.heard) == sorted(good.heard) == ["a", "b"]
    assert waiting(box) == 0


def test_the_pauses_grow_to_an_hour_and_a_week_ends_it(box: Outbox, clock: Clock) -> None:
    ear = Ear()
    ear.dead = True
    box.file(note("a"))
    begun, asked = clock.now, []
    while waiting(box):
        before = ear.asked
        box.deliver([ear], 5)
        if ear.asked > before:
            asked.append(clock.now - begun)
        clock.now += 10 if clock.now - begun < 1000 else 600
    pauses = [second - first for first, second in itertools.pairwise(asked)]
    assert pauses[:4] == [30, 60, 120, 240]
    assert 3600 <= max(pauses) <= 4200
    assert 7 * 24 * 3600 < clock.now - begun < 7 * 24 * 3600 + 1300


def test_a_sink_that_left_the_settings_is_not_waited_for(box: Outbox, clock: Clock) -> None:
    good, bad = Ear("good"), Ear("bad")
    bad.dead = True
    box.file(note("a"))
    box.deliver([bad, good], 5)
    clock.now += 60
    assert box.deliver([good], 5) == 1
    assert good.heard == ["a"]


def test_without_sinks_nothing_is_lost(box: Outbox) -> None:
    box.file(note("a"))
    assert box.deliver([], 5) == 0
    assert waiting(box) == 1


def test_the_oldest_is_dropped_beyond_the_bounds(
    box: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST", 5)
    for number in range(8):
        clock.now += 1
        box.file(note(f"r{number}"))
    assert waiting(box) == 5
    assert caplog.text.count("was dropped") == 3
    monkeypatch.setattr(module, "MOST_BYTES", 3000)
    clock.now += 1
    box.file(Notice("failed", "big", None, "big", ("x" * 500,) * 4))
    assert sum(path.stat().st_size for path in (box.folder / "todo").iterdir()) <= 3000
    ear = Ear()
    box.deliver([ear], 5)
    assert ear.heard[-1] == "big"
    assert "r0" not in ear.heard


def test_the_marks_stay_bounded(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DONE", 10)
    ear = Ear()
    for number in range(50):
        box.file(note(f"r{number}"))
        box.deliver([ear], 5)
    assert len((box.folder / "done").read_text().split()) <= 20
    assert [box.file(note(f"r{number}")) for number in range(40, 50)] == ["known"] * 10
    assert len(ear.heard) == 50


def test_garbage_in_the_folder_is_no_trouble(box: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    box.file(note("a"))
    todo = box.folder / "todo"
    for number, text in enumerate(["", "{", "[]", '{"notice": {}}', json.dumps({"filed": "x"}), "[" * 99_999]):
        (todo / f"{number}.json").write_text(text)
    (todo / "draft-x").write_text("half")
    (box.folder / "done").write_bytes(b"\xff\xfe half")
    ear = Ear()
    assert box.deliver([ear], 5) == 1
    assert ear.heard == ["a"]
    assert [path.name for path in todo.iterdir()] == ["draft-x"]
    assert "cannot be read" in caplog.text


def test_a_folder_that_cannot_be_written_still_tells_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    box, ear, bad = Outbox(tmp_path / "file" / "notices"), Ear(), Ear("bad")
    bad.dead = True
    box.tell(note("a"), [bad, ear], 5)
    assert ear.heard == ["a"]
    assert box.deliver([ear], 0.1) == 0


def test_two_senders_do_not_send_one_notice_twice(tmp_path: Path) -> None:
    class Slow(Ear):
        def send(self, notice: Notice) -> None:
            time.sleep(0.01)
            super().send(notice)

    ear = Slow()
    for number in range(20):
        Outbox(tmp_path).file(note(f"r{number}"))
    senders = [threading.Thread(target=Outbox(tmp_path).deliver, args=([ear], 20)) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(ear.heard) == sorted(f"r{number}" for number in range(20))


def test_one_who_may_not_send_waits_no_longer_than_asked(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    box.file(note("a"))
    with box._alone(time.monotonic() + 1) as mine:
        assert mine
        begun = time.monotonic()
        assert Outbox(tmp_path).deliver([Ear()], 0.3) == 0
        assert 0.2 < time.monotonic() - begun < 2


CHILD = """
import sys, time
sys.path.insert(0, "tests")
from pathlib import Path
from kubetune.notifications.events import started_notice
from kubetune.notifications.outbox import Outbox
from notifications.post_office import Post
box = Outbox(Path(sys.argv[1]))
for name in sys.argv[3:]:
    box.file(started_notice(name))
print("filed", flush=True)
if sys.argv[2] == "-":
    time.sleep(60)
box.deliver([Post(sys.argv[2])], 30)
print("sent", flush=True)
"""


def child(folder: Path, url: str, *names: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(folder), url, *names]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_killed_between_filing_and_sending_it_goes_out_once(tmp_path: Path, office: PostOffice) -> None:
    with child(tmp_path, "-", "a") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "filed\n"
        process.send_signal(signal.SIGKILL)
    assert office.asked == 0
    for _ in range(2):
        Outbox(tmp_path).deliver([Post(office.url)], 10)
    assert office.titles == ["kubetune: a started"]


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing(tmp_path: Path, office: PostOffice) -> None:
    """A kill may repeat the one notice that was on its way, no other, and what was not told goes out later."""
    office.delay = 0.01
    draw, names, killed, filed = random.Random(7), [f"r{number}" for number in range(30)], 0, []
    for start in range(0, 30, 3):
        with child(tmp_path, office.url, *names[start : start + 3]) as process:
            assert process.stdout is not None
            process.stdout.readline()
            filed += names[start : start + 3]
            time.sleep(draw.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
    Outbox(tmp_path).deliver([Post(office.url)], 10)
    assert killed >= 3
    assert {f"kubetune: {name} started" for name in filed} == set(office.titles)
    assert len(office.titles) - len(set(office.titles)) <= killed
    assert waiting(Outbox(tmp_path)) == 0


def test_a_log_line_never_holds_an_address(box: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ear = Ear()
    ear.dead = True
    box.file(note("a"))
    box.deliver([ear], 5)
    assert "OSError" in caplog.text
    assert "secret" not in caplog.text

"""What a notice says: one line a text, bounded, nothing that a chat service or a mail reader would act on, no row."""

import json

import pytest

from kubetune.notifications.answers import notice_of, read_answer
from kubetune.notifications.events import (
    Notice,
    decision_notice,
    failed_notice,
    html_of,
    of,
    promoted_notice,
    rolled_back_notice,
    safe_reason,
    slack_of,
    started_notice,
)

HOSTILE = "a\x00b\x1b[31mred\r\nBcc: x@y.test\u202e\u200b\ud800 <!channel> <script>alert(1)</script> & @here"
ROW = "my name is Ada and my number is 555-0199"


def hostile_notice() -> Notice:
    return Notice(
        "failed", HOSTILE, HOSTILE, HOSTILE, (HOSTILE,) * 50, "javascript:alert(1)", ((HOSTILE, HOSTILE),) * 50
    )


def test_hostile_text_becomes_one_plain_line_each() -> None:
    notice = hostile_notice()
    for text in (notice.title, notice.run, notice.stage or "", *notice.lines, *notice.rows[0]):
        assert text.isprintable(), text
        assert "@" not in text
    assert "x\uff20y.test" in notice.lines[0]
    assert notice.link is None
    assert len(notice.lines) == 12
    assert len(notice.rows) == 24


def test_a_megabyte_is_cut() -> None:
    long = "x" * (1 << 20)
    notice = Notice("failed", long, long, long, (long,) * 100, "https://h/" + long, ((long, long),) * 1000, long)
    assert len(json.dumps(notice.plain())) < 16_384
    assert len(notice.title) + len(notice.body()) < 16_384
    assert notice.title.endswith("…")
    assert notice.link is None


def test_slack_reads_no_mention_and_no_link() -> None:
    text = slack_of(hostile_notice())
    assert "<" not in text
    assert ">" not in text
    assert "&lt;!channel&gt;" in text
    assert "&amp; \uff20here" in text


def test_a_mail_holds_no_foreign_markup() -> None:
    text = html_of(hostile_notice())
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    linked = html_of(started_notice("r", link='https://host/a?b=1&c="'))
    assert "href" not in linked
    assert 'href="https://host/a?b=1&amp;c"' in html_of(started_notice("r", link="https://host/a?b=1&c"))


@pytest.mark.parametrize(
    ("code", "sentence", "expected"),
    [
        (65, f"Split column holds '{ROW}': allowed are train [rule: unknown-split]", "rule unknown-split"),
        (65, f"{ROW} [rule: {ROW}]", "Bad data: the stage's log says where."),
        (70, f"Unexpected KeyError: '{ROW}'; please report it with the trace above.", "(KeyError)"),
        (1, f"Traceback: {ROW}", "It ended with 1: see its log."),
        (137, ROW, "It ended with 137 (SIGKILL): see its log."),
        (255, ROW, "It ended with 255: see its log."),
        (None, ROW, "It ended without saying why: see its log."),
    ],
)
def test_a_reason_never_quotes_what_may_be_a_row(code: int | None, sentence: str, expected: str) -> None:
    reason = safe_reason(code, sentence)
    assert expected in reason
    assert "Ada" not in reason


@pytest.mark.parametrize("code", [69, 75, 77, 78, 99])
def test_a_sentence_of_ours_is_passed_on(code: int) -> None:
    assert safe_reason(code, "accuracy is 0.81, at least 0.9 is asked for.").startswith("accuracy is 0.81")


def test_each_kind_says_what_happened() -> None:
    decision = decision_notice("t-7", "undecided", ["Too few rows."], [("accuracy", 0.912345), ("rows", 400)])
    assert decision.kind == "undecided"
    assert decision.title == "kubetune: t-7 is undecided, the champion stays"
    assert "Too few rows.\naccuracy  0.9123\nrows      400\nnotice " in decision.body()
    promoted = promoted_notice("tweets", 3, former=2, run="t-7", why="asked by Kim", digest="5")
    assert promoted.title == "kubetune: tweets version 3 is the champion"
    assert "Of run t-7.\nBefore: version 2.\nasked by Kim" in promoted.body()
    back = rolled_back_notice("tweets", 3, 2, "it was slow", digest="6")
    assert (back.kind, back.title) == ("rolled back", "kubetune: tweets is back from version 3 to version 2")
    with pytest.raises(ValueError, match="is no outcome"):
        decision_notice("t-7", "won", [], [])


def test_a_key_tells_happenings_apart_and_nothing_else() -> None:
    first = failed_notice("r", "train", "why", digest="1")
    assert first.key == failed_notice("r", "train", "another sentence", link="https://h/", digest="1").key
    others = [
        failed_notice("r", "train", "why", digest="2"),
        failed_notice("r", "evaluate", "why", digest="1"),
        failed_notice("s", "train", "why", digest="1"),
        failed_notice("r", None, "why", digest="1"),
        started_notice("r", digest="1"),
    ]
    assert len({first.key, *(notice.key for notice in others)}) == 6
    long = "d" * 500
    assert (
        failed_notice("r", "train", "why", digest=long).key != failed_notice("r", "train", "w", digest=long + "e").key
    )
    assert first.key[:12] in first.body()


def test_a_notice_comes_back_from_its_json() -> None:
    notice = hostile_notice()
    assert of(json.loads(json.dumps(notice.plain()))) == notice
    with pytest.raises(ValueError, match="is no kind"):
        of(notice.plain() | {"kind": "party"})


def test_a_pods_answer_becomes_a_notice() -> None:
    def told(message: str) -> Notice | None:
        return notice_of(read_answer(message) or {}, "dag-run", digest="1")

    decision = told('{"outcome": "promote", "reasons": ["better"], "rows": [["accuracy", 0.9]], "run": "t-7"}')
    assert decision is not None
    assert (decision.kind, decision.run, decision.rows) == ("promote", "t-7", (("accuracy", "0.9"),))
    waits = told('{"outcome": "undecided", "reasons": ["400 more rows would decide."], "rows": [["gain", 0.01]]}')
    assert waits is not None
    assert (waits.kind, waits.lines, waits.rows) == ("undecided", ("400 more rows would decide.",), (("gain", "0.01"),))
    declined = told("exit=99 Run undecided-voters-7 was compared with version 2, and version 3 is the champion now.")
    assert declined is not None
    assert (declined.kind, declined.lines[0][:26]) == ("keep", "Run undecided-voters-7 was")
    promoted = told('{"event": "promoted", "name": "tweets", "version": 3, "former": 2, "epoch": 5}')
    assert promoted is not None
    assert promoted.kind == "promoted"
    back = told('{"event": "rolled back", "name": "tweets", "from": 3, "to": 2, "why": "slow", "epoch": 6}')
    assert back is not None
    assert back.lines == ("slow",)


def test_moves_of_two_stores_are_two_notices_and_a_repeated_one_is_one() -> None:
    def told(at: str) -> Notice:
        answer = {"event": "promoted", "name": "tweets", "version": 3, "former": 2, "epoch": 5, "at": at}
        found = notice_of(answer, "run", digest="of this try")
        assert found is not None
        return found

    assert told("2026-01-01T00:00:00Z").key == told("2026-01-01T00:00:00Z").key
    assert told("2026-01-01T00:00:00Z").key != told("2026-02-01T00:00:00Z").key


@pytest.mark.parametrize(
    "message",
    [
        "",
        ROW,
        "[1]",
        "{",
        '{"outcome": "won"}',
        '{"event": "rolled back"}',
        '{"outcome": "keep", "rows": [1]}',
        "[" * 9999,
    ],
)
def test_another_message_tells_nothing(message: str) -> None:
    assert notice_of(read_answer(message) or {}, "dag-run") is None

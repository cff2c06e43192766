"""What a command leaves for Airflow: it fits, it can be read, and a decision outlasts the exit that follows it."""

import json
from pathlib import Path

import pytest

from kubetune.cli.answers import MOST, fitted, leave_answer
from kubetune.cli.common import leave
from kubetune.config.settings import load_settings
from kubetune.notifications.answers import notice_of, read_answer

DECISION = {"outcome": "keep", "reasons": ["slice label “undecided” lost"], "rows": [["gain", 0.01]], "run": "t-1"}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pod's termination log."""
    path = tmp_path / "termination"
    path.touch()
    monkeypatch.setenv("KUBETUNE_TERMINATION_LOG", str(path))
    return path


@pytest.mark.parametrize("letter", ["a", "é", "😀", '"', "\n", "\x00"])
@pytest.mark.parametrize("rows", [0, 20, 300])
def test_an_answer_fits_and_can_be_read_whatever_was_said(letter: str, rows: int) -> None:
    name = "t" * 63
    table = [[f"metric_{number}", 0.123456789] for number in range(rows)]
    answers = (
        {"outcome": "keep", "reasons": [letter * 900] * 5, "rows": table, "run": name},
        {"event": "promoted", "name": name, "version": 3, "former": 2, "run": name, "why": letter * 900, "epoch": 5},
    )
    for answer in answers:
        text = fitted(answer)
        assert len(text) <= MOST
        found = json.loads(text)
        assert found["run"] == name
        assert notice_of(read_answer(text.decode()) or {}, "run", digest="1") is not None
    assert json.loads(fitted(DECISION)) == DECISION


def test_a_decision_outlasts_the_exit_that_follows_it(log: Path) -> None:
    leave_answer(load_settings(), DECISION)
    with pytest.raises(SystemExit) as ended:
        leave("Stage compare of run t-1 says keep: slice label “undecided” lost", 99)
    assert ended.value.code == 99
    notice = notice_of(read_answer(log.read_text(encoding="utf-8")) or {}, "run", digest="1")
    assert notice is not None
    assert (notice.kind, notice.rows) == ("keep", (("gain", "0.01"),))


@pytest.mark.parametrize("code", [99, 65])
def test_an_exit_without_a_decision_says_its_sentence(log: Path, code: int) -> None:
    if code == 65:
        leave_answer(load_settings(), DECISION)
    with pytest.raises(SystemExit):
        leave("Version 3 is the champion now.", code)
    assert log.read_text(encoding="utf-8") == f"exit={code} Version 3 is the champion now."

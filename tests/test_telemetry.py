"""Telemetry is in the store while its stage runs, and no failure of the store reaches the stage."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kubetune.errors import StoreUnavailableError
from kubetune.execution import telemetry
from kubetune.execution.telemetry import TelemetryFile, uploaded
from kubetune.storage.open import open_store

STAGE = """
import sys, time
from dataclasses import replace
from kubetune.execution import stage, telemetry
from kubetune.execution.adopt import PreparedCall
from kubetune.config.settings import Settings
from kubetune.execution.stage import Execution
from kubetune.plan import call_of
from kubetune.storage.open import open_store
from pipelines import Silent, toy_recipe

telemetry.EVERY_S = 0.1

def body(config, inputs, outputs, context):
    for step in range(1000):
        context.telemetry.record("step", step=step)
        time.sleep(0.05)

stage.load_entry = lambda entry: body
call = call_of("ingest", toy_recipe("/rows", "/model"), "toy-1")
settings = Settings(store=sys.argv[1])
Execution(PreparedCall(call, {}, {}, "k"), open_store(sys.argv[1]), settings, Silent(), lambda: False, "a").execute()
"""


def until(found: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_stage_that_is_killed_has_left_its_history(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    stage = subprocess.Popen([sys.executable, "-c", STAGE, str(tmp_path / "store")], env=environment)
    key = "runs/toy-1/ingest/telemetry/history-a.jsonl"
    store = open_store(str(tmp_path / "store"))
    try:
        until(lambda: (stored := store.get(key)) is not None and stored.data.count(b'"step"') > 2)
        assert stage.poll() is None, "it is there while the stage runs"
    finally:
        os.kill(stage.pid, signal.SIGKILL)
        stage.wait()
    lines = [json.loads(line) for line in store.get(key).data.splitlines()]
    assert lines[0]["event"] == "started"
    assert [line["step"] for line in lines[1:]] == list(range(len(lines) - 1))


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), OSError("disk full")])
def test_a_store_that_is_away_costs_neither_the_stage_nor_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(telemetry, "EVERY_S", 0.01)
    file, sent = TelemetryFile(tmp_path / "history.jsonl"), []

    def put(lines: bytes) -> None:
        sent.append(lines)
        if len(sent) == 1:
            raise error

    with uploaded(file.path, put):
        file.record("one")
        until(lambda: len(sent) > 1)
        file.record("two")
        until(lambda: b"two" in sent[-1])
    count = len(sent)
    file.record("three")
    file.close()
    time.sleep(0.05)
    assert len(sent) == count, "nothing is under way after the block"
    assert all(lines.endswith(b"\n") for lines in sent)


def test_half_a_line_and_an_unchanged_file_are_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "EVERY_S", 0.01)
    path, sent = tmp_path / "history.jsonl", []
    path.write_bytes(b'{"event": "one"}\n{"event": "tw')
    with uploaded(path, sent.append):
        until(lambda: bool(sent))
        time.sleep(0.1)
    assert sent == [b'{"event": "one"}\n']

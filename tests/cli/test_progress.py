"""What a person waits by, in a terminal of 80 columns: step, total and time left are never cut."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.console import Console

from kubetune.cli.display import BarProgress

FACTS = {"loss": 0.4123, "learning_rate": 5e-5, "samples_a_second": 123456.0, "epoch": "3 of 12"}
PHASES = ["train", "validation after epoch 12", "evaluate"]


@pytest.mark.parametrize("width", [80, 60, 120])
@pytest.mark.parametrize("what", PHASES)
def test_step_total_and_time_left_are_whole(width: int, what: str) -> None:
    stream = io.StringIO()
    progress = BarProgress(Console(file=stream, width=width, force_terminal=True))
    progress.start(what, 123456)
    for _ in range(3):
        progress.advance(12345, **FACTS)
    progress.close()
    last = [line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).splitlines() if "/" in line][-1]
    assert len(last) <= width
    assert "37035/123456" in last and re.search(r"\d+:\d\d:\d\d", last), last


PROGRAM = """
import time
from kubetune.cli.display import progress_for
progress = progress_for()
progress.start("train", 123456)
for _ in range(4):
    progress.advance(12345, loss=0.4123, samples_a_second=123456.0, epoch="3 of 12")
    time.sleep(0.3)
progress.close()
"""


def test_in_a_terminal_of_eighty_columns() -> None:
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"TERM": "screen"},
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert process.wait(timeout=60) == 0, seen
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    lines = [line for line in re.split(r"[\r\n]+", text) if "/123456" in line]
    assert lines and all(len(line) <= 80 for line in lines)
    assert re.search(r"49380/123456 +\d+:\d\d:\d\d", lines[-1]), lines[-1]

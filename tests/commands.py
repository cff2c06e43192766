"""The command itself, as a person types it."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from typer.main import get_command

from kubetune.cli.app import app, main
from kubetune.cli.common import Printed

ROOT = get_command(app)


def kubetune(place: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubetune", *words],
        cwd=place, capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


def kubetune_here(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, which saves the second that it takes to start one."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(place),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["kubetune", *words]),
        mock.patch.object(Printed, "json", False),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return subprocess.CompletedProcess(words, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def found_command(words: Sequence[str]) -> tuple[Any, list[str], bool]:
    """Return the command that words after `kubetune` name, what is left of them, and whether it is but a group."""
    command, left = ROOT, list(words)
    while hasattr(command, "commands"):
        if not left or left[0] not in command.commands:
            if "list" not in command.commands:
                return command, left, True
            left.insert(0, "list")  # a noun without a verb lists
        command = command.commands[left.pop(0)]
    return command, left, False


def parse_command(words: Sequence[str]) -> Any:
    """Parse the words after `kubetune` as the command line does, and run nothing; a wrong one raises a usage error."""
    command, left, group = found_command(words)
    assert not group, f"kubetune has no command {' '.join(words)!r}"
    return command, command.make_context(command.name, left)

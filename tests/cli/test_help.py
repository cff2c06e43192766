"""What a person meets before a command runs: headings, -h, an example each that parses, and the shell's completion."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from commands import ROOT, kubetune, parse_command
from kubetune.cli.help import EXAMPLES, HEADINGS


def context_of(command: Any, **values: Any) -> typer.Context:
    return command.context_class(command, **values)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    for name, child in command.commands.items():
        yield from leaves(child, (*path, name))


LEAVES = dict(leaves(ROOT))


def test_every_command_stands_under_a_heading_and_the_help_has_them() -> None:
    named = [name for names in HEADINGS.values() for name in names]
    assert len(named) == len(set(named)) and set(ROOT.commands) <= set(named)
    text = ROOT.get_help(context_of(ROOT, info_name="kubetune", terminal_width=100))
    assert [text.index(f"\n{heading}:\n") for heading in HEADINGS] == sorted(
        text.index(f"\n{heading}:\n") for heading in HEADINGS
    )
    assert all(f"\n  {name} " in text for name in ROOT.commands)


@pytest.mark.parametrize("path", LEAVES)
def test_each_command_shows_an_example_that_it_understands(path: str) -> None:
    assert path in EXAMPLES, "give the new command an example in cli/help.py"
    example = EXAMPLES[path]
    context = context_of(LEAVES[path], info_name=path, help_option_names=["-h", "--help"])
    assert f"Example:\n    {example}" in LEAVES[path].get_help(context), "on a line of its own, not folded"
    words = shlex.split(example)
    assert words.pop(0) == "kubetune"
    assert parse_command(words)[0] is LEAVES[path]


@pytest.mark.parametrize("words", [[], ["run"], ["models"], ["models", "delete"], ["store", "use"]])
def test_h_is_help_everywhere(words: list[str], tmp_path: Path) -> None:
    done = kubetune(tmp_path, *words, "-h")
    assert done.returncode == 0 and "Usage: kubetune" in done.stdout


def completed(place: Path, words: str) -> list[str]:
    environment = {
        **os.environ, "_KUBETUNE_COMPLETE": "complete_bash", "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "kubetune"], cwd=place, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_the_shell_completes_commands_recipes_and_runs(tmp_path: Path) -> None:
    record = tmp_path / "kubetune-store" / "runs" / "mine-1" / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}", encoding="utf-8")
    assert set(completed(tmp_path, "kubetune ru")) == {"run", "runs"}
    assert completed(tmp_path, "kubetune run tick") == ["tickets"]
    assert completed(tmp_path, "kubetune show mi") == ["mine-1"]
    assert "--until" in completed(tmp_path, "kubetune run --un")


def test_the_completion_is_shown_for_a_shell(tmp_path: Path) -> None:
    done = kubetune(tmp_path, "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0, done.stderr
    assert "_KUBETUNE_COMPLETE=complete_bash" in done.stdout

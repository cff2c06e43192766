"""Every command of the pages: kubetune, make and this repository know its words, and a block without a mark runs."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import toys
from commands import found_command, parse_command
from data.model_hub_server import running_hub
from docs.pages import ELSEWHERE, PAGES, ROOT, Block, blocks, spans

BLOCKS = blocks()
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
PATH_IN = re.compile(rf"(?:{'|'.join(FOLDERS)})[\w./-]*\w")
MADE = ("keys/", "manifests/site", "kubetune-store/", "kubetune-runs/")
"""What commands of the pages write."""


def is_kubetune(word: str) -> bool:
    return word in {"kubetune", ".venv/bin/kubetune", "mlflow/bin/kubetune"}


def missing(words: list[str]) -> list[str]:
    """Return the words that look like paths of this repository and are none."""
    named = [word for word in words if PATH_IN.fullmatch(word) and not word.startswith(MADE)]
    return [word for word in named if not (ROOT / word).exists()]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_each_block_has_words_that_are_known(block: Block) -> None:
    known = block.mark in {"", "test: cluster"} or block.mark.startswith("test: parsed, ")
    other = ELSEWHERE.fullmatch(block.mark)
    assert known or (other and (ROOT / other[1]).exists()), f"the mark {block.mark!r} says nothing that a test knows"
    for words in block.commands():
        assert not missing(words), f"{missing(words)} is not in the repository"
        program, *rest = words if words[0] != "env" else words[1:]
        if is_kubetune(program):
            parse_command(rest)
        elif program == "make":
            assert {word for word in rest if "=" not in word and word[0] != "-"} <= TARGETS, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_in_a_sentence_is_known(page: Path) -> None:
    for span in spans(page):
        words = span.split(" ")
        if is_kubetune(words[0]) and len(words) > 1 and words[1] != "…":
            command, left, _ = found_command(words[1:])
            assert command.name != "kubetune" or left[0].startswith("--"), f"{span!r} names no command"
            options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            assert {word for word in words if word.startswith("--")} <= {*options, "--help"}, span
        elif words[0] == "make":
            assert {word for word in words[1:] if "=" not in word and word.islower()} <= TARGETS, span
        assert not missing(words), span


def test_most_blocks_run() -> None:
    names = [block.name for block in BLOCKS if block.runs]
    assert len(BLOCKS) > 25 and len(names) >= 10, names
    assert set(names) == {block.name for block in RUN}, "give the page its place in PAGE_ORDER"


EDITED = {"kubetune init tickets.csv --output mine.yaml": "cp edited.yaml mine.yaml"}
"""What a reader does by hand after a command, done by the test."""


class Reader:
    """One who types the commands of the pages, in order: one shell a page, one folder for all."""

    def __init__(self, folder: Path, hub: str) -> None:
        self.folder, self.page, self.done = folder, "", 0
        binaries = Path(sys.executable).parent
        (folder / ".venv").symlink_to(binaries.parent)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("KUBETUNE_")} | {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "HF_HOME": str(folder / "hub-cache"),
            "KUBETUNE_HUB_ENDPOINT": hub,
            "KUBETUNE_STATE_DIR": str(folder / "state"),
            "KUBETUNE_TRACKING": "none",
        }

    def type(self, block: Block) -> str:
        """Type a block; what the shell exports stays until the next page."""
        kept = self.folder / "exported.sh"
        if self.page != block.page.name or not kept.exists():
            self.page = block.page.name
            kept.write_text("", encoding="utf-8")
        lines = []
        for line in block.text.splitlines():
            edits = [edit for typed, edit in EDITED.items() if typed in line]
            lines += [line, *edits]
        script = "\n".join([f". {kept}", *lines, f"export -p > {kept}"])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self.environment, timeout=900, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{block.name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


PAGE_ORDER = ["quickstart.md", "tasks.md", "serving.md", "data.md", "security.md", "operations.md"]
"""A later page goes on from an earlier one's run."""
RUN = [block for page in PAGE_ORDER for block in BLOCKS if block.runs and block.page.name == page]


def write_tickets(folder: Path, model: Path) -> None:
    """Write a user's own table and the recipe as edited for it: the toy model, and enough steps for it."""
    with (folder / "tickets.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "body", "queue"])
        for row in toys.toy_rows(320):
            subject, _, body = row["text"].partition(" ")
            writer.writerow([subject, body, {"negative": "billing", "positive": "delivery"}[row["label"]]])
    text = (ROOT / "src/kubetune/recipes/tickets.yaml").read_text(encoding="utf-8")
    changes = {
        "{text: body, label: queue}": "{text: [subject, body], label: queue}",
        "{kind: hub, name: distilbert/distilbert-base-uncased}": f"{{kind: path, path: {model}}}",
        "max_length: 256": "max_length: 64",
        "epochs: 3": "epochs: 20",
        "batch: 32": "batch: 16",
        "learning_rate: 5.0e-5": "learning_rate: 1.0e-2",
        "  early_stopping: {patience: 1}\n": "  weight_decay: 0.0\n  precision: fp32\n",
        "slices: [length, label]": "slices: [label]\n  bootstrap_samples: 100",
        "    - {metric: macro_f1, above_baseline: tfidf}\n": "",
    }
    for old, new in changes.items():
        assert text.count(old) == 1, f"recipe tickets has no {old!r} any more"
        text = text.replace(old, new)
    (folder / "edited.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    write_tickets(folder, toy_model)
    with running_hub() as hub:
        hub.push("distilbert/distilbert-base-uncased", {path.name: path.read_bytes() for path in toy_model.iterdir()})
        reader = Reader(folder, hub.url)
        yield reader
    subprocess.run(
        [sys.executable, "-m", "kubetune", "stop", "tickets"], cwd=folder, env=reader.environment, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(RUN)), ids=[block.name for block in RUN])
def test_each_block_runs(number: int, reader: Reader) -> None:
    while reader.done <= number:
        block = RUN[reader.done]
        reader.done += 1
        reader.type(block)


def test_edits_are_of_lines_that_stand_there() -> None:
    text = "\n".join(block.text for block in RUN)
    assert all(typed in text for typed in EDITED)

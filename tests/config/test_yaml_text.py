"""YAML that somebody sends costs what its size says, whatever stands in it, and is refused in one sentence."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kubetune.behaviour.load import parse_suite
from kubetune.config.cluster import load_cluster
from kubetune.config.load import parse_recipe
from kubetune.config.user_file import read_block
from kubetune.data.models.licence import card_licence
from kubetune.errors import ConfigError
from kubetune.orchestration.requests import SweepRequest, find_recipe, sweep_calls
from kubetune.redaction import quoted
from kubetune.schema.yaml_text import DEEPEST, MOST_CHARACTERS, YamlTextError, read_yaml

MINIMAL = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{former}'] * 9)}]\n"
    for former, name in zip("abcdefghi", "bcdefghij", strict=True)
)
"""A list of 9 lists of 9 lists …, ten deep, in 500 bytes."""
BOMBS = {
    "aliases": LAUGHS,
    "aliases in a known key": LAUGHS + "training: {batch: *j}\n",
    "an alias of itself": "a: &a [*a]",
    "merged maps": "a: &a {x: 1}\nb: {<<: *a}",
    "deep lists": "[" * 600,
    "deep maps": "{a: " * (DEEPEST + 2) + "1" + "}" * (DEEPEST + 2),
    "deep blocks": "\n".join(" " * n + "a:" for n in range(DEEPEST + 3)),
    "long": "a: " + "x" * MOST_CHARACTERS,
    "a number of 60,000 hexadecimal digits": "a: 0x" + "f" * 60_000,
    "a number of 5,000 digits": "a: " + "9" * 5000,
    "a 99th day": "a: 2001-99-99",
    "a 99th second": "a: 2001-01-01T00:00:99",
    "no timestamp": "a: !!timestamp soon",
    "no truth": "a: !!bool maybe",
    "no number": "a: !!int ''",
    "no float": "a: !!float x",
    "no bytes": "a: !!binary é",
    "a list as key": "? [a]\n: 1",
    "code": "!!python/object/apply:os.system [id]",
    "control characters": "a: \x00",
    "a repeated key": "a: 1\na: 2",
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_refused_in_one_sentence_by_every_reader(what: str, tmp_path: Path) -> None:
    text = BOMBS[what]
    with pytest.raises(YamlTextError) as refused:
        read_yaml(text)
    assert len(str(refused.value)) < 300
    (tmp_path / "README.md").write_text(f"---\n{text}\nlicense: mit\n---\n", encoding="utf-8")
    assert card_licence(tmp_path) is None
    (tmp_path / "settings.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "settings.yaml").chmod(0o600)
    readers = [
        lambda: parse_recipe(text + "\n"),
        lambda: parse_suite(text),
        lambda: find_recipe(text + "\nname: a", [], tmp_path),
        lambda: read_block(tmp_path / "settings.yaml", ["a"]),
    ]
    if what != "long":
        readers += [lambda: load_cluster(tmp_path / "settings.yaml")]
    if "\n" not in text:
        readers += [lambda: parse_recipe(MINIMAL, [f"training.batch={text}"])]
    for ask in readers:
        with pytest.raises(ConfigError) as caught:
            ask()
        assert len(str(caught.value)) < 1000
        assert caught.value.exit_code == 78


def test_the_planner_spends_little_on_bombs() -> None:
    """In a process whose CPU seconds are bounded: 500 bytes of aliases took 27 of them."""
    program = "from config.test_yaml_text import *\nfor text in BOMBS.values():\n    refused(text)\n"
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (25, 25))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-c", program], preexec_fn=limit, cwd=Path(__file__).parents[1],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def refused(text: str) -> None:
    for ask in (lambda: parse_recipe(text), lambda: parse_suite(text)):
        with pytest.raises(ConfigError):
            ask()


def test_what_is_wide_or_repeated_is_shown_short() -> None:
    wide: list[object] = ["x" * 9] * 9
    for _ in range(12):
        wide = [wide] * 9  # what aliases would build: to write it out takes 9 ** 13 words
    assert len(quoted(wide)) <= 80
    assert len(quoted({"a": wide, "b": [wide]})) <= 80
    assert len(quoted("x" * 10_000_000)) <= 80
    assert len(quoted(10**5000)) <= 80
    itself: list[object] = []
    itself.append(itself)
    assert quoted(itself)


def test_a_long_list_of_errors_is_cut() -> None:
    with pytest.raises(ConfigError, match="1000 errors") as caught:
        parse_recipe(MINIMAL + "".join(f"k{n}: 1\n" for n in range(1000)))
    assert "and 970 more" in str(caught.value)
    assert len(str(caught.value)) < 10_000


def test_many_or_long_overrides_are_refused() -> None:
    with pytest.raises(ConfigError, match="more than 65,536 characters"):
        parse_recipe(MINIMAL, ["description=x"] * 6000)
    with pytest.raises(ConfigError, match="write section"):
        parse_recipe(MINIMAL, [".".join(["a"] * 9000) + "=1"])


def test_a_grid_is_counted_before_it_is_made(tmp_path: Path) -> None:
    grid = {f"training.k{n}": list(range(10)) for n in range(60)}
    with pytest.raises(ConfigError, match="a billion or more trials: 1 to 20"):
        sweep_calls(SweepRequest(recipes=["sst2"], grid=grid), tmp_path, "r")
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ConfigError, match="nested too deeply"):
        sweep_calls(SweepRequest(recipes=["sst2"], grid={"training.seed": [deep]}), tmp_path, "r")


def test_shipped_recipes_and_plain_values_are_read() -> None:
    assert read_yaml("{a: [1, 2.5, yes, null, 2001-01-01], b: 'x: y'}")["b"] == "x: y"
    assert read_yaml('{"a": {"b": [1]}}') == {"a": {"b": [1]}}

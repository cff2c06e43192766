"""`benchmarks/behaviour.py` in small: a real model (the toy encoder), heads of several seeds, planted faults."""

from types import ModuleType

import pytest
from transformers import AutoTokenizer

import served_toys
import toys
from benchmark_modules import benchmark_module
from kubetune.behaviour.cases import Row
from kubetune.behaviour.load import parse_suite
from kubetune.behaviour.suite import Suite
from kubetune.tasks import load_task
from kubetune.tasks.spec import load_spec
from kubetune.tasks.texts import TextModel
from kubetune.text.gate import TextGate

SUITE = """
name: toy
description: One word says it.
labels: [negative, positive]
lexicons: {thing: [film, food, day], good: [good, great, happy, nice], bad: [bad, awful, sad, nasty]}
capabilities: {names and places: {at_most: 0.1}, typos: {at_most: 0.1}, whole text: {at_most: 0.1}}
tests:
  - kind: inv
    name: name
    capability: names and places
    templates: ["{names} saw {good} {thing}", "{names} saw {bad} {thing}"]
    perturb: swap-name
    variants: 10
  - {kind: inv, name: typo in a row, capability: typos, rows: {}, perturb: typo}
  - {kind: mft, name: good, capability: whole text, templates: ["it was on a day the {thing} {good}"], expect: positive}
  - {kind: mft, name: bad, capability: whole text, templates: ["it was on a day the {thing} {bad}"], expect: negative}
"""
FAULTS = ("names and places", "typos", "whole text")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return benchmark_module("behaviour")


@pytest.fixture(scope="module")
def seeds(benchmark: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list:
    folder = tmp_path_factory.mktemp("toy")
    inputs = served_toys.toy_inputs(folder, seed=2)
    task = load_task("text-classification")
    module = task.build_model(load_spec(inputs["model"]), inputs["model"], pretrained=False)
    tokenizer = AutoTokenizer.from_pretrained(inputs["tokenizer"], local_files_only=True)
    encoder = benchmark.Encoder(TextModel(task, module, tokenizer, TextGate(served_toys.CLEANING), 32, 0))
    learnt = rows(240, 0)
    return [benchmark.sound_seed(encoder, learnt, toys.LABELS, seed) for seed in range(3)]


def rows(count: int, seed: int) -> list[Row]:
    return [Row((row["text"],), row["label"]) for row in toys.toy_rows(count, seed)]


def suite() -> Suite:
    return parse_suite(SUITE)


@pytest.mark.slow
def test_planted_faults_are_caught_and_sound_seeds_are_not(
    benchmark: ModuleType, seeds: list, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.examine(suite(), rows(60, 1), seeds, toys.LABELS, FAULTS)
    table = cells_of(capsys.readouterr().out)
    assert [cells[0] for cells in table] == list(FAULTS)
    assert [cells[3].partition(" and ")[0] for cells in table] == ["0"] * 3
    assert [cells[6].partition(" and ")[2] for cells in table] == ["3 of 3"] * 3


def test_a_fault_that_does_nothing_is_not_caught(
    benchmark: ModuleType, seeds: list, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "faulty", lambda fault, score, seed, vocabulary: score)
    assert not benchmark.examine(suite(), rows(60, 1), seeds, toys.LABELS, FAULTS)
    found = [cells[6] for cells in cells_of(capsys.readouterr().out)]
    assert [each.partition(" and ")[0] for each in found] == ["0"] * 3
    assert found[0] == "0 and 0 of 3"  # the other two have too few cases to rule a loss out, whoever answers


def cells_of(printed: str) -> list[list[str]]:
    return [line.split(" | ") for line in printed.splitlines() if line.startswith(FAULTS)]

"""A suite for the toy model, and stage `behave` run on it without a runner."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import yaml

import served_toys
from kubetune.contract import Result
from kubetune.stages.behave import run

SUITE: dict[str, Any] = yaml.safe_load("""
name: toy
description: One word says it.
labels: [negative, positive]
optional_labels: [neutral]
lexicons:
  thing: [film, food, day]
  good: [good, great, happy, nice, fine]
  bad: [bad, awful, sad, nasty, poor]
capabilities: {plain words: {at_most: 0.2}, whole text: {at_most: 0.2}, surface: {at_most: 0.2}}
tests:
  - kind: mft
    name: praise
    capability: plain words
    templates: ["we saw {good} {thing}", "the {good} {thing} was very {good}"]
    expect: positive
  - kind: mft
    name: blame
    capability: plain words
    templates: ["we saw {bad} {thing}", "the {bad} {thing} was very {bad}"]
    expect: negative
  - {kind: mft, name: indifference, capability: plain words, templates: ["the {thing}"], expect: neutral}
  - kind: mft
    name: blame at the end
    capability: whole text
    templates: ["on monday we saw the {thing} with you it was {bad}"]
    expect: negative
  - kind: mft
    name: praise at the end
    capability: whole text
    templates: ["on monday we saw the {thing} with you it was {good}"]
    expect: positive
  - {kind: inv, name: upper case, capability: surface, rows: {}, perturb: upper-case}
""")


def with_dataset(inputs: dict[str, Path], folder: Path) -> dict[str, Path]:
    dataset = folder / "dataset"
    dataset.mkdir()
    (dataset / "dataset.json").write_text(json.dumps({"pad_token_id": 0}))
    return inputs | {"dataset": dataset}


def changed(**parts: Any) -> dict[str, Any]:
    return deepcopy(SUITE) | parts


def behave(
    folder: Path, inputs: Mapping[str, Path], context: Any = None, max_length: int = 32, **section: Any
) -> Result:
    kind, hardware = section.pop("kind", "text-classification"), section.pop("hardware", "cpu")
    config = SimpleNamespace(  # the declared sections and nothing else
        task=SimpleNamespace(kind=kind, name=kind),
        data=SimpleNamespace(cleaning=list(served_toys.CLEANING)),
        model=SimpleNamespace(max_length=max_length),
        behaviour=SimpleNamespace(**{"suite": SUITE, "bars": {}, "most": None, "seed": 0, **section}),
        resources=SimpleNamespace(evaluate=SimpleNamespace(hardware=hardware)),
    )
    folder.mkdir(exist_ok=True)
    return run(config, inputs, {"behaviour": folder}, context or served_toys.Quiet(folder))


def document_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "behaviour.json").read_text(encoding="utf-8"))
    return document


def with_report(inputs: dict[str, Path], folder: Path, change: Any) -> dict[str, Path]:
    folder.mkdir()
    pq.write_table(change(pq.read_table(inputs["report"] / "predictions.parquet")), folder / "predictions.parquet")
    return inputs | {"report": folder}

"""A text of several columns: joined in training, in the archive's manifest, and alike in every form of a request."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

import toys
from kubetune.config.data import Columns
from kubetune.execution.run import open_configured_store
from kubetune.models.history import pull
from kubetune.serving.archive.manifest import read_archive
from kubetune.serving.predictor import Answer, Predictor, Refusal
from kubetune.serving.request import Request, from_json, request_form
from kubetune.tasks import load_task
from kubetune.text.joining import Joined, as_mapping, from_mapping
from pipelines import run_plan, settings_of, toy_recipe

TASK = load_task("text-classification")
MAIL = {"text": Joined(("subject", "body"), " — ")}
PAIR = MAIL | {"text_pair": Joined(("text_b",), "")}


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (["s", "b"], "s — b"),
        (["s", ""], "s"),
        (["s", None], "s"),
        ([" ", "b"], "b"),
        (["", " "], ""),
        ([None, None], None),
        ([None, ""], ""),
    ],
)
def test_a_part_that_is_not_there_takes_its_separator_with_it(parts: list[str | None], joined: str | None) -> None:
    assert MAIL["text"].join(parts) == joined


def test_a_manifest_gives_back_what_was_written() -> None:
    assert from_mapping(json.loads(json.dumps(as_mapping(PAIR)))) == PAIR


def items(value: Any, texts: dict[str, Joined]) -> Any:
    found = from_json(value, request_form(TASK, 9, texts))
    assert isinstance(found, Request), found
    return list(found.items)


def test_a_request_gives_the_text_or_its_columns() -> None:
    assert items({"subject": "s", "body": "b", "top_k": 2}, MAIL) == [("s — b",)]
    forms: list[Any] = [
        {"text": "t"},
        "t",
        {"subject": "s", "body": "b"},
        {"body": "b"},
        {"subject": "s", "body": None},
    ]
    assert items({"inputs": forms}, MAIL) == [("t",), ("t",), ("s — b",), ("b",), ("s",)]
    assert items({"subject": None, "body": " "}, MAIL) == [("",)]
    assert items({"inputs": [{"subject": "s", "text_b": "p"}, {"text": "t", "text_pair": "p"}]}, PAIR) == [
        ("s", "p"),
        ("t", "p"),
    ]
    titled = {"text": Joined(("title", "text"), "\n")}  # `text` alone is the text in either reading
    assert items({"inputs": [{"text": "t"}, {"title": "a", "text": "t"}, {"title": "a"}]}, titled) == [
        ("t",),
        ("a\nt",),
        ("a",),
    ]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"subject": "s", "text": "t"}, "give `text` or the columns `subject`, `body`, not both"),
        ({"subject": 3}, "subject must be a string or null, not int"),
        ({"text_b": "p"}, "an item must have `text` or one of the columns `subject`, `body`"),
        ({"sender": "x"}, "or with the columns `subject`, `body`, `text_b`"),
        ({}, "an item must be a string or an object"),
    ],
)
def test_a_request_that_is_unclear_is_refused(entry: dict[str, Any], reason: str) -> None:
    (found,) = items({"inputs": [entry]}, PAIR)
    assert isinstance(found, Refusal)
    assert found.status == 400
    assert reason in found.reason


def test_keys_of_other_models_stay_unknown() -> None:
    found = from_json({"subject": "s"}, request_form(TASK, 9, {}))
    assert isinstance(found, Refusal)
    assert (
        found.reason
        == "the body has an unknown key: allowed are text, text_pair, inputs, top_k, all_scores, parameters"
    )
    found = from_json({"subject": "s", "inputs": ["t"]}, request_form(TASK, 9, MAIL))
    assert isinstance(found, Refusal)
    assert found.reason == "give `subject` or `inputs`, not both"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"text": []}, "at least one, each once"),
        ({"text": ["a", "a"]}, "at least one, each once"),
        ({"text": ["a", "inputs"]}, "column inputs cannot be joined"),
        ({"text": ["a", "b"], "text_pair": ["b", "c"]}, "column b is part of both texts"),
        ({"text": ["a", "label"]}, "label names label, which is a text as well"),
        ({"text": "a", "text_pair": ["label"]}, "label names label, which is a text as well"),
        ({"text": ["a", "text_pair"], "text_pair": "c"}, "column text_pair is part of both texts"),
    ],
)
def test_columns_that_no_request_could_name_are_refused(columns: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Columns(**columns)


@pytest.mark.slow
def test_subject_and_body_from_a_spreadsheet_s_file_to_the_served_answer(tmp_path: Path, toy_model: Path) -> None:
    rows = toys.toy_rows(160)
    lines = ["Subject;body;label;"]
    for number, row in enumerate(rows):
        words = row["text"].split()
        subject, body = (" ".join(words[:2]), " ".join(words[2:])) if number % 3 else ("", row["text"])
        lines.append(f"{subject};{body};{row['label']};")
    data = tmp_path / "mails.csv"
    data.write_bytes("\r\n".join([*lines, ""]).encode("latin-1"))
    settings = settings_of(tmp_path)
    store = open_configured_store(settings)
    joined = ["data.columns.text=[Subject, body]", 'data.columns.separator=" — "', "data.encoding=latin-1"]
    recipe = toy_recipe(data, toy_model, [*joined, "data.duplicates=keep"])
    run_plan(recipe, "mails", store, settings)
    folders = pull(store, "mails", [], tmp_path / "pulled")
    test = pq.read_table(folders["dataset"] / "train.parquet").to_pylist()
    assert {row["raw_text"].count(" — ") for row in test} == {0, 1}
    archive = folders["archive"]
    assert read_archive(archive).texts == {"text": Joined(("Subject", "body"), " — ")}
    card = (archive / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "`text` was joined of the columns `Subject`, `body`" in card
    predictor = Predictor(archive, threads=1)
    forms = [{"text": "a good — film"}, {"Subject": "a good", "body": "film"}, {"body": "a bad film"}, "a bad film"]
    whole, parts, body, plain = predictor.predict(items({"inputs": forms}, dict(predictor.archive.texts)))
    assert isinstance(whole, Answer)
    assert whole == parts
    assert body == plain
    assert whole != body

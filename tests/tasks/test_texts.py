"""Raw texts take the way of a served request: the answers are those that the server and `evaluate` give."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

import served_toys
import toys
from kubetune.serving.predictor import Answer, Predictor
from kubetune.tasks import load_task
from kubetune.tasks.spec import load_spec
from kubetune.tasks.texts import TextModel
from kubetune.text.gate import TextGate

TASK = load_task("text-classification")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    served_toys.toy_archive(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> TextModel:
    source = folder / "inputs"
    tokenizer = AutoTokenizer.from_pretrained(source / "tokenizer", local_files_only=True)
    module = TASK.build_model(load_spec(source / "model"), source / "model", pretrained=False)
    return TextModel(TASK, module, tokenizer, TextGate(served_toys.CLEANING), served_toys.MAX_LENGTH, 0)


def test_the_answers_are_those_of_the_report(folder: Path, model: TextModel) -> None:
    table = pq.read_table(folder / "inputs" / "report" / "predictions.parquet")
    items = [(text,) for text in table["raw_text"].to_pylist()]
    assert all(map(model.answers, items))
    found = np.array(model.predictions(items, toys.LABELS))
    assert np.allclose(found, np.array(table["probabilities"].to_pylist()), atol=1e-5)


ODD = [
    *("good day", "", "   ", "\u2028 \u00a0", "a \x00 b", "half \ud800 of a pair", "\U0001f922", "@anna https://x.y"),
    *("good   day", "x" * 1500),
]


def test_it_answers_what_the_server_answers(folder: Path, model: TextModel) -> None:
    predictor = Predictor(folder / "archive", precision="fp32", threads=1)
    outcomes = predictor.predict([[text] for text in ODD])
    answered = [text for text, outcome in zip(ODD, outcomes, strict=True) if isinstance(outcome, Answer)]
    assert [text for text in ODD if model.answers((text,))] == answered
    served = np.array([outcome.prediction for outcome in outcomes if isinstance(outcome, Answer)])
    assert np.allclose(model.predictions([(text,) for text in answered], toys.LABELS), served, atol=1e-5)


def test_what_cleaning_makes_equal_is_answered_bit_for_bit_alike(model: TextModel) -> None:
    seen: list[int] = []
    items = [("good day",), ("the film was so bad",), ("good   day",), (" good day ",)]
    found = model.predictions(items, toys.LABELS, seen.append)
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[0], found[3])
    assert not np.array_equal(found[0], found[1])
    assert sum(seen) == len(items)


def test_no_items_and_an_item_without_an_answer(model: TextModel) -> None:
    assert model.predictions([], toys.LABELS) == []
    with pytest.raises(ValueError, match="ask `answers` first"):
        model.predictions([("good",), ("  ",)], toys.LABELS)

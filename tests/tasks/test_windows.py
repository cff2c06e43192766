"""Answers in windows: each mark where the answer stands in the raw context, each window with all of it or none."""

from typing import Any

import numpy as np
import pytest

import architecture_toys as families
from kubetune.tasks.base import IGNORED
from kubetune.tasks.question_answering import QuestionAnswering
from kubetune.tasks.windows import FIRST, LAST

TASK = QuestionAnswering()
TOKENIZERS = {
    "BERT": families.bert,
    "RoBERTa, BART": families.roberta,
    "GPT-2": families.byte_pairs,
    "T5": families.t5_pieces,
    "XLM-R": families.xlm_pieces,
}
LENGTH = 48


@pytest.fixture(scope="module", params=TOKENIZERS.values(), ids=TOKENIZERS.keys())
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param()


def target(context: str, *answers: str) -> dict[str, list[Any]]:
    return {"text": list(answers), "answer_start": [context.index(answer) for answer in answers]}


def sure(feature: Any) -> np.ndarray:
    """Logits that are sure of a feature's marks."""
    marks = np.array(feature["marks"])
    known = np.where(marks == IGNORED, 0, marks)
    return np.stack([(known & FIRST) > 0, (known & LAST) > 0], axis=1) * np.float32(12.0)


CONTEXTS = (
    "we saw anna in paris",
    "  we  saw\tanna in paris. ",
    "anna</s> we saw [SEP] it, anna in paris",
    "we saw it and 😀 " * 30 + "anna in paris " + "and we saw it " * 30,
)


@pytest.mark.parametrize("context", CONTEXTS)
def test_answers_of_true_marks_are_the_true_answers(tokenizer: Any, context: str) -> None:
    item = ("  who was there", context)
    encoding = TASK.encode(tokenizer, [item], LENGTH, [target(context, "anna in paris")])
    assert encoding.lost == [0]
    assert encoding.truncated == [False]
    assert all(len(feature["input_ids"]) <= LENGTH for feature in encoding.features)
    assert {len(set(map(len, feature.values()))) for feature in encoding.features} == {1}
    outputs = [sure(feature) for feature in encoding.features]
    (answer,) = TASK.predictions(outputs, encoding, [item], ())
    start = context.index("anna in paris")
    assert (answer["answer"], answer["start"], answer["end"]) == ("anna in paris", start, start + 13)


def test_windows_cover_the_whole_context(tokenizer: Any) -> None:
    context = " ".join(f"we saw it {number}" for number in range(60))
    encoding = TASK.encode(tokenizer, [("who", "anna"), ("who", context)], LENGTH)
    assert encoding.example[0] == 0
    assert set(encoding.example[1:]) == {1}
    covered = np.zeros(len(context), dtype=bool)
    for feature in encoding.features[1:]:
        for start, end in zip(feature["starts"], feature["ends"], strict=True):
            if start >= 0:
                covered[start:end] = True
    assert all(seen or letter == " " for seen, letter in zip(covered, context, strict=True))


def test_a_part_of_an_answer_is_no_answer(tokenizer: Any) -> None:
    """An answer on a border is marked in the windows that hold all of it, and "none" in the others."""
    context = " ".join(["we saw it"] * 40)
    for number in range(36):
        place = 10 * number
        found = {"text": [context[place : place + 19]], "answer_start": [place]}
        encoding = TASK.encode(tokenizer, [("who", context)], LENGTH, [found])
        marked = [feature for feature in encoding.features if max(feature["marks"][1:]) > 0]
        assert marked
        for feature in encoding.features:
            marks = np.array(feature["marks"])
            known = np.where(marks == IGNORED, 0, marks)
            assert ((known & FIRST) > 0).sum() == ((known & LAST) > 0).sum() == 1
            if feature not in marked:
                assert marks[0] == FIRST + LAST


def test_an_answer_longer_than_every_window_is_counted(tokenizer: Any) -> None:
    context = " ".join(["we saw it"] * 60)
    encoding = TASK.encode(tokenizer, [("who", context)], LENGTH, [{"text": [context], "answer_start": [0]}])
    assert encoding.lost == [1]


def test_no_answer_is_the_empty_one(tokenizer: Any) -> None:
    context = " ".join(["we saw it"] * 40)
    encoding = TASK.encode(tokenizer, [("who", context)], LENGTH, [{"text": [], "answer_start": []}])
    assert encoding.lost == [0]
    (answer,) = TASK.predictions([sure(feature) for feature in encoding.features], encoding, [("who", context)], ())
    assert (answer["answer"], answer["start"], answer["end"]) == ("", 0, 0)
    assert answer["score"] > 0.9


def test_a_long_question_is_cut_and_counted(tokenizer: Any) -> None:
    item = ("who was there " * 40, "anna was in paris")
    encoding = TASK.encode(tokenizer, [item], LENGTH, [target(item[1], "anna")])
    assert encoding.truncated == [True]
    assert encoding.lost == [0]


def test_an_answer_never_ends_before_it_begins() -> None:
    feature = {"input_ids": [1, 2, 3, 4], "starts": [-1, 0, 3, 6], "ends": [-1, 2, 5, 8]}
    output = np.array([[0, 0], [0, 9], [0, 2], [9, 0]], dtype=np.float32)
    from kubetune.tasks.question_answering import best_span

    (_, start, end), _ = best_span(output, feature)
    assert start < end

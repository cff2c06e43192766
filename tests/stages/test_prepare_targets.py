"""The body of `prepare` for truths that are more than a class: what it writes and reports, which rows go together."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubetune.errors import DataError
from prepared_toys import SPLITS, Prepared
from target_toys import LABELS, NER, QA, QUESTIONS, SCORES, TOKENS, preparing

TYPES = ("day", "food", "film")


@pytest.fixture
def ner(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Prepared]:
    return preparing(prepare, monkeypatch, TOKENS, *NER)


@pytest.fixture
def qa(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Prepared]:
    return preparing(prepare, monkeypatch, QUESTIONS, *QA)


def sentences(count: int) -> list[dict[str, Any]]:
    """Sentences with one entity of one of three types; the first word alone tells them apart."""
    rows = []
    for number in range(count):
        kind = TYPES[number % 3]
        rows.append({"tokens": [f"a{number}", "we", "saw", kind, "you"], "ner_tags": ["O", "O", "O", f"B-{kind}", "O"]})
    return rows


def asked(contexts: int, questions: int = 4) -> list[dict[str, Any]]:
    """Questions on contexts; the last of each context has no answer."""
    rows = []
    for number in range(contexts):
        context = f"it was nice on day a{number} with you and we saw the film"
        for place in range(questions):
            start = context.index("a" + str(number))
            found = {"text": [f"a{number}"], "answer_start": [start]} if place < questions - 1 else NO_ANSWER
            rows.append({"question": f"the day {place}", "context": context, "answers": found})
    return rows


NO_ANSWER: dict[str, list[Any]] = {"text": [], "answer_start": []}


def test_entities_are_written_as_characters_and_reach_the_tokens(ner: Any) -> None:
    made = ner({"all": sentences(90)})
    assert made.document["labels"] == ["day", "film", "food"]
    assert made.document["splits"] == {"train": 45, "validation": 18, "test": 27}
    assert made.document["label_counts"]["train"] == [15, 15, 15]
    for row in (row for split in SPLITS for row in made.rows[split]):
        (span,) = row["label"]
        word = row["raw_text"][span["start"] : span["end"]]
        assert made.document["labels"][span["label"]] == word
        assert row["raw_text"] == row["text"]
        begins = [tag for tag in row["tags"] if tag >= 0]
        assert begins == [span["label"]]
        assert len(row["tags"]) == len(row["input_ids"]) == row["length"]
    schema = pq.read_schema(made.folder / "train.parquet")
    label = "list<element: struct<start: int32, end: int32, label: int32>>"
    assert (str(schema.field("label").type), str(schema.field("tags").type)) == (label, "list<element: int32>")
    assert "one text with a blank between two words" in made.notes[0]
    assert made.report["targets"]["splits"]["train"] == ["45", "45", "3.7"]
    assert "45 spans in 45 rows of train" in made.report["line"]
    assert made.report["examples"]["food"][0].endswith("food (food)")
    page = (made.folder / "data_report.html").read_text(encoding="utf-8")
    assert "Classes of spans" in page and "Rows with spans" in page


def test_two_executions_of_entities_give_the_same_bytes(ner: Any) -> None:
    rows = sentences(90)
    first, second = ner({"all": rows}, "data.limit=60"), ner({"all": rows}, "data.limit=60")
    assert first.digests() == second.digests()
    turned = ner({"all": rows[::-1]}, "data.limit=60")
    assert {split: sorted(turned.texts(split)) for split in SPLITS} == {
        split: sorted(first.texts(split)) for split in SPLITS
    }


def test_broken_tags_are_named_counted_and_shown(ner: Any) -> None:
    bad = [
        {"tokens": ["we", "saw", "b1"], "ner_tags": ["O", "I-day", "O"]},
        {"tokens": ["we", "saw", "b2"], "ner_tags": ["O", "O"]},
        {"tokens": ["we", "saw", "b3"], "ner_tags": ["O", "X-day", "O"]},
        {"tokens": ["we", None, "b4"], "ner_tags": ["O", "O", "O"]},
        {"tokens": [], "ner_tags": []},
    ]
    made = ner({"all": [*sentences(90), *bad]}, "data.max_reject_share=0.2")
    found = {reason: of["rows"] for reason, of in made.report["rejects"].items()}
    assert found == {"missing-text": 1, "blank-text": 1, "tag-count": 1, "tag-unknown": 1, "tag-order": 1}
    assert made.report["rejects"]["tag-order"]["examples"] == ["I-day after O at 'saw'"]
    assert made.report["rejects"]["tag-count"]["examples"] == ["3 words and 2 tags"]
    assert "I-day after O" in (made.folder / "data_report.html").read_text(encoding="utf-8")
    repaired = ner({"all": [*sentences(90), *bad]}, "data.max_reject_share=0.2", "data.tag_repair=begin")
    assert repaired.report["targets"]["repaired"] == 1
    assert "1 tags repaired" in repaired.report["line"]
    assert "tag-order" not in repaired.report["rejects"]
    with pytest.raises(DataError, match=r"tag-order: I-day after O at 'saw'.*data\.tag_repair=begin reads"):
        ner({"all": [*sentences(30), *bad * 2]}, "data.max_reject_share=0.05")


def test_entities_that_only_the_test_split_has_are_refused(ner: Any) -> None:
    with pytest.raises(DataError, match="'music' has 1 spans in test and none in train"):
        ner({"train": sentences(60), "test": [{"tokens": ["x", "y"], "ner_tags": ["B-music", "O"]}]})
    plain = [{"tokens": [f"a{n}", "b"], "ner_tags": ["O", "O"]} for n in range(30)]
    with pytest.raises(DataError, match="no span at all"):
        ner({"all": plain})


def test_equal_sentences_with_unequal_tags_are_conflicts(ner: Any) -> None:
    rows = sentences(60)
    other = {"tokens": rows[0]["tokens"], "ner_tags": ["O"] * 5}
    made = ner({"train": [*rows, other], "validation": sentences(75)[60:], "test": sentences(90)[75:]})
    assert made.report["rows"]["removed_from_train"]["conflicting-labels"] == 2


def test_a_context_stays_in_one_split(qa: Any) -> None:
    made = qa({"all": asked(40)})
    contexts = [{row["raw_text_pair"] for row in made.rows[split]} for split in SPLITS]
    assert not (contexts[0] & contexts[1] or contexts[0] & contexts[2] or contexts[1] & contexts[2])
    assert {split: len(made.rows[split]) for split in SPLITS} == {"train": 80, "validation": 32, "test": 48}
    assert made.report["left"]["shared_documents_left"] == {
        "train-validation": 0, "train-test": 0, "validation-test": 0,
    }  # fmt: skip
    turned = qa({"all": asked(40)[::-1]})
    assert {row["raw_text_pair"] for row in turned.rows["test"]} == contexts[2]


def test_a_context_of_another_split_leaves_train(qa: Any) -> None:
    rows = asked(40)
    test = [{**rows[0], "question": "the food"}, *asked(45)[160:]]
    made = qa({"train": rows, "test": test}, "data.splits.validation=0.2")
    removed = made.report["rows"]["removed_from_train"]
    assert (removed["document-of-test"], removed["duplicate-of-test"]) == (4, 0)
    assert "4 of documents of other splits" in made.report["line"]
    assert sum(row["reason"] == "document-of-test" for row in made.rejects) == 4


def test_answers_keep_their_places_and_contexts_their_windows(qa: Any) -> None:
    made = qa({"all": asked(40)}, "model.max_length=16")
    answered = 0
    for row in (row for split in SPLITS for row in made.rows[split]):
        texts, starts = row["label"]["text"], row["label"]["answer_start"]
        assert all(row["raw_text_pair"].startswith(text, start) for text, start in zip(texts, starts, strict=True))
        answered += bool(texts)
        assert len(row["input_ids"]) > 1
        assert row["length"] == sum(map(len, row["input_ids"]))
        assert not row["truncated"]
    assert answered == 120
    assert made.report["windows"]["train"]["features"] == sum(len(row["input_ids"]) for row in made.rows["train"])
    assert made.report["lengths"]["train"]["max"] == 16
    assert made.report["targets"]["splits"]["train"][:2] == ["60", "20"]
    assert made.document["labels"] == []
    example = made.report["examples"]["answered"][0]
    assert "[a" in example
    schema = pq.read_schema(made.folder / "train.parquet")
    assert str(schema.field("input_ids").type) == "list<element: list<element: int32>>"


def test_an_answer_that_is_not_there_rejects_its_row(qa: Any) -> None:
    rows = asked(40)
    rows[0] = {**rows[0], "answers": {"text": ["a0"], "answer_start": [rows[0]["answers"]["answer_start"][0] + 1]}}
    made = qa({"all": rows})
    (example,) = made.report["rejects"]["answer-not-there"]["examples"]
    assert "it stands at 19" in example


def scored(count: int) -> list[dict[str, Any]]:
    return [{"text": f"the day a{number}", "label": number % 50 / 10} for number in range(count)]


def test_scores_are_spread_over_the_splits(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    score = preparing(prepare, monkeypatch, SCORES, "data.score_range=[0, 5]")
    made = score({"all": [*scored(400), {"text": "too good", "label": 7.0}, {"text": "none", "label": float("nan")}]})
    means = [sum(row["label"] for row in made.rows[split]) / len(made.rows[split]) for split in SPLITS]
    assert max(means) - min(means) < 0.1
    assert {split: len(made.rows[split]) for split in SPLITS} == {"train": 200, "validation": 80, "test": 120}
    assert {reason: of["rows"] for reason, of in made.report["rejects"].items()} == {
        "score-not-finite": 1, "score-range": 1,
    }  # fmt: skip
    assert "scores of train 0 to 4.9" in made.report["line"]
    assert str(pq.read_schema(made.folder / "train.parquet").field("label").type) == "double"
    with pytest.raises(DataError, match="Each score of train is 1"):
        score({"all": [{**row, "label": 1} for row in scored(60)]})


def test_several_labels_are_written_as_ascending_numbers(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    several = preparing(prepare, monkeypatch, LABELS, "data.columns.label=labels", 'data.label_separator="|"')
    rows = [
        {"text": f"the a{number}", "labels": "film|day" if number % 2 else "food" if number % 3 else ""}
        for number in range(120)
    ]
    made = several({"all": rows}, "data.empty_labels=keep", "data.max_reject_share=0.5")
    assert made.document["labels"] == ["day", "film", "food"]
    assert {tuple(row["label"]) for row in made.rows["train"]} == {(0, 1), (2,), ()}
    assert "labels a row of train" in made.report["line"]
    assert made.report["examples"]["none"][0].endswith("→ none")
    with pytest.raises(DataError, match=r"empty-labels 20.*data\.empty_labels=keep"):
        several({"all": rows})


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([[["a"], ["b"]]] * 60), "holds lists"),
        (pa.array([{"a": "b"}] * 60), "holds maps"),
    ],
)
def test_a_column_that_can_be_no_text_is_refused(ner: Any, column: pa.Array, words: str) -> None:
    table = pa.table({"tokens": column, "ner_tags": pa.array([["O", "O"]] * 60)})
    with pytest.raises(DataError, match=words):
        ner({"all": table})


def test_a_document_column_keeps_rows_together(prepare: Any) -> None:
    rows = [{"text": f"the {n}", "label": "ab"[n % 2], "page": f"p{n // 6}"} for n in range(240)]
    made = prepare({"all": rows}, "data.columns={group: page, keep: [page]}")
    pages = [{row["column_page"] for row in made.rows[split]} for split in SPLITS]
    assert not (pages[0] & pages[1] or pages[0] & pages[2] or pages[1] & pages[2])
    assert all(len(made.rows[split]) > 20 for split in SPLITS)


def test_pairs_that_share_either_text_stay_together(prepare: Any) -> None:
    rows = [
        {"text": f"the {n // 2}", "text_pair": f"a {(n + 1) // 2 if n % 8 else 1000 + n}", "label": "ab"[n // 3 % 2]}
        for n in range(240)
    ]
    made = prepare({"all": rows}, "task.kind=pair-classification", "data.group_by=either")
    for end in ("", "_pair"):
        texts = [{row[f"text{end}"] for row in made.rows[split]} for split in SPLITS]
        assert not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])


def test_the_report_of_entities_is_json(ner: Any, tmp_path: Path) -> None:
    made = ner({"all": sentences(90)})
    assert json.loads(json.dumps(made.report)) == made.report

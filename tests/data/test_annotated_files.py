"""CoNLL, SQuAD and nested JSON or Parquet: rows with lists and objects, whole or refused with their line."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.reading import files_of, read
from kubetune.errors import ConfigError, DataError

CONLL = "-DOCSTART- -X- O\n\nAnna NNP B-per\nruns VBZ O\n\n\nBob\u00a0Lee NNP B-per\n"


@pytest.mark.parametrize("name", ["a.conll", "a.bio", "a.iob", "a.iob2", "a.conll.gz"])
def test_a_sentence_is_a_row_of_words_and_tags(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = CONLL.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    rows, facts = read(files_of(path), tmp_path)
    assert rows["all"] == [
        {"tokens": ["Anna", "runs"], "ner_tags": ["B-per", "O"]},
        {"tokens": ["Bob\u00a0Lee"], "ner_tags": ["B-per"]},
    ]
    assert facts.sentences() == [
        f"{name}: read as CoNLL: fields are separated by blanks, the first is a word, the last its tag",
        f"{name}: columns between word and tag are not read: 1",
        f"{name}: lines -DOCSTART-, which are not read: 1",
    ]


def test_tabs_part_words_that_have_blanks(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_bytes("New York\tB-loc\r\n\t\r\nk\xe4se\tO".encode("latin-1"))
    second.write_bytes(b"\n\nx\tO\n")
    rows, _ = read(files_of(first, second, format="conll"), tmp_path, encoding="latin-1")
    assert [row["tokens"] for row in rows["all"]] == [["New York"], ["k\u00e4se"], ["x"]]
    with pytest.raises(ConfigError, match="parquet or conll"):
        read(files_of(first), tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a O\nb\n", "line 2 has 1 fields and the first line has 2"),
        ("a O\n\nb X O\n", "line 3 has 3 fields and the first line has 2"),
        ("a\n", "line 1 has 1 fields and a word and a tag are needed"),
        ("a\tO\n\tO\n", "line 2 has no word"),
        ("a\tO\nb c O\n", "line 2 has 1 fields"),
        ("a O\n" * 100_001, "line 100001 is the word 100,001 of one sentence"),
    ],
)
def test_a_ragged_line_is_refused_with_its_number(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "a.conll"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=sentence):
        read(files_of(path), tmp_path)


def squad(*qas: dict[str, Any], **article: Any) -> dict[str, Any]:
    return {
        "version": "v2.0",
        "data": [{"title": "T", "paragraphs": [{"context": "Paris.", "qas": list(qas)}]} | article],
    }


ANSWER = {"text": "Paris", "answer_start": 0}


def test_a_question_of_squad_is_a_row(tmp_path: Path) -> None:
    document = squad(
        {"id": 7, "question": "Where?", "answers": [ANSWER, ANSWER], "is_impossible": False},
        {"id": "b", "question": "When?", "answers": [], "is_impossible": True, "plausible_answers": [ANSWER]},
    )
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text(json.dumps(document, indent=1), encoding="utf-8")
    other.write_text(json.dumps(squad({"question": "\ud800?", "answers": [ANSWER]}, title=3)), encoding="utf-8")
    rows, facts = read(files_of(one, other), tmp_path)
    both = {"text": ["Paris", "Paris"], "answer_start": [0, 0]}
    assert rows["all"][:2] == [
        {"id": "7", "title": "T", "context": "Paris.", "question": "Where?", "answers": both},
        {
            "id": "b",
            "title": "T",
            "context": "Paris.",
            "question": "When?",
            "answers": {"text": [], "answer_start": []},
        },
    ]
    assert rows["all"][2]["question"] == "\ufffd?"
    assert facts.surrogates == 1
    assert "the articles of SQuAD, a row a question" in facts.sentences()[0]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (squad({"question": "Where?", "answers": [{"text": "Paris"}]}), "has an answer without `text` and"),
        (squad({"question": "W?", "answers": [ANSWER], "is_impossible": True}), "is called impossible and has answers"),
        (squad({"question": None, "answers": []}), "has a question without a text"),
        (squad({"question": "W?", "answers": {}}), "has no list `answers`"),
        (squad(paragraphs=[{"context": 3, "qas": []}]), "line 1, paragraph 0 has no text `context`"),
        (squad(paragraphs=[{"context": "Paris."}]), "has no list `qas`"),
    ],
)
def test_broken_squad_is_refused_with_its_place(tmp_path: Path, document: Any, sentence: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(DataError, match=sentence) as caught:
        read(files_of(path), tmp_path)
    assert caught.value.rule == "squad"


ROWS = [
    {"tokens": ["a", "b"], "tags": [1, 2], "answers": {"text": ["x"], "answer_start": [1]}, "spans": []},
    {"tokens": None, "tags": [], "answers": None, "spans": [{"start": 1, "end": 2, "label": "p"}]},
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.parquet"])
def test_lists_and_objects_are_columns(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_text(
            json.dumps(ROWS) if name == "a.json" else "".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8"
        )
    assert read(files_of(path), tmp_path)[0]["all"] == ROWS


def test_values_in_lists_have_one_type(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": [1, "x"], "b": [{"c": 1.5}], "d": {}}\n{"a": [], "b": [{"e": true}], "d": {}}\n', "utf-8")
    rows, _ = read(files_of(path), tmp_path)
    assert rows["all"] == [
        {"a": ["1", "x"], "b": [{"c": 1.5, "e": None}], "d": "{}"},
        {"a": [], "b": [{"c": None, "e": True}], "d": "{}"},
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a": [1]}\n{"a": 1}\n', "line 2: 'a' holds a single value, and rows before it hold a list"),
        ('{"a": [1, [2]]}\n', "line 1: 'a' holds a list, and rows before it hold a single value"),
        ('{"a": {"x": 1}}\n{"a": [1]}\n', "line 2: 'a' holds a list, and rows before it hold an object"),
        ('{"a": [[[[[1]]]]]}\n', "'a' holds a list inside of 4 others"),
    ],
)
def test_lists_in_some_rows_only_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=sentence) as caught:
        read(files_of(path), tmp_path)
    assert caught.value.rule == "nested-value"


def test_a_text_that_is_repeated_in_lists_is_a_bomb_too(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    text = "x" * (1 << 20)
    pq.write_table(pa.table({"a": pa.array([[text] * 4] * 80)}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="unpacks to more than"):
        read(files_of(path), tmp_path)

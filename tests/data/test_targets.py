"""What a cell holds, by target type: as it is, or refused under the name of a rule."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubetune.data.targets import load_target_type
from kubetune.data.targets.base import TargetCell, TargetReader, TargetRules, Truth
from kubetune.data.targets.tags import spans_of_tags, word_places
from kubetune.errors import DataError


def opened(kind: str, tmp_path: Path, cells: Any, *, names: list[str] | None = None, **rules: Any) -> TargetReader:
    """A reader that was shown a column of cells."""
    path = tmp_path / "all.parquet"
    column = cells if isinstance(cells, pa.Array) else pa.array(cells)
    pq.write_table(pa.table({"truth": column}), path)
    source = {"class_names": {"truth": names}} if names is not None else {}
    return load_target_type(kind).open(TargetRules("truth", **rules), {"all": path}, source)


def named(reader: Any, truth: Truth | str) -> Any:
    """Spans with the names of their classes, or the reason."""
    if isinstance(truth, str):
        return truth
    order = list(reader.book.numbers)
    return [(span["start"], span["end"], order[span["label"]]) for span in truth.value]


WORDS = ["Anna", "met", "Bob", "Lee", "in", "Paris"]
TEXT = " ".join(WORDS)
TAGS: dict[str, tuple[list[Any], Any]] = {
    "entities": (["B-per", "O", "B-per", "I-per", "O", "B-loc"], [(0, 4, "per"), (9, 16, "per"), (20, 25, "loc")]),
    "adjacent": (["O", "O", "B-per", "B-per", "O", "O"], [(9, 12, "per"), (13, 16, "per")]),
    "none": (["O"] * 6, []),
    "too few": (["O"] * 5, "tag-count"),
    "inside after outside": (["O", "O", "I-per", "O", "O", "O"], "tag-order"),
    "inside of another": (["O", "O", "B-per", "I-loc", "O", "O"], "tag-order"),
    "inside at first": (["I-per", "O", "O", "O", "O", "O"], "tag-order"),
    "another scheme": (["S-per", "O", "O", "O", "O", "O"], "tag-unknown"),
    "bare": (["per", "O", "O", "O", "O", "O"], "tag-unknown"),
    "no class": (["B-", "O", "O", "O", "O", "O"], "tag-unknown"),
    "null": ([None, "O", "O", "O", "O", "O"], "tag-unknown"),
    "class of none": (["B-org", "O", "O", "O", "O", "O"], "unknown-label"),
}


@pytest.mark.parametrize(("tags", "wanted"), TAGS.values(), ids=TAGS)
def test_tags_become_characters_of_the_raw_text(tmp_path: Path, tags: list[Any], wanted: Any) -> None:
    reader = opened("spans", tmp_path, [tags], classes=["per", "loc"])
    truth = reader.read(TargetCell(tags, (TEXT,), WORDS))
    assert named(reader, truth) == wanted
    if isinstance(truth, Truth):
        assert [TEXT[start:end] for start, end, _ in wanted] == [TEXT[s["start"] : s["end"]] for s in truth.value]
    elif wanted != "missing-label":
        assert reader.examples()[wanted]


def test_tags_are_repaired_only_where_the_recipe_says_so() -> None:
    tags = ["I-a", "I-a", "O", "I-b", "I-a", "B-a"]
    found, repaired = spans_of_tags(tags, repair=True)
    assert found == [(0, 1, "a"), (3, 3, "b"), (4, 4, "a"), (5, 5, "a")]
    assert repaired == 3


def test_tags_as_numbers_have_the_names_of_the_source(tmp_path: Path) -> None:
    names = ["O", "B-per", "I-per", "B-loc", "I-loc"]
    cells: list[list[int]] = [[1, 0, 1, 2, 0, 3]]
    reader: Any = opened("spans", tmp_path, cells, names=names)
    assert named(reader, reader.read(TargetCell(cells[0], (TEXT,), WORDS))) == TAGS["entities"][1]
    assert list(reader.book.numbers) == ["per", "loc"]
    assert "1 is B-per" in reader.decisions[0]
    assert reader.read(TargetCell([9, 0, 0, 0, 0, 0], (TEXT,), WORDS)) == "tag-unknown"
    with pytest.raises(DataError, match="does not say what they mean"):
        opened("spans", tmp_path, cells)


SPANS: dict[str, tuple[Any, Any]] = {
    "sorted": (
        [{"start": 20, "end": 25, "label": "loc"}, {"start": 0, "end": 4, "label": "per"}],
        [(0, 4, "per"), (20, 25, "loc")],
    ),
    "none": ([], []),
    "touching": ([{"start": 0, "end": 4, "label": "per"}, {"start": 4, "end": 5, "label": "loc"}], "span-blank-edge"),
    "json": ('[{"start": 0, "end": 4, "label": "per"}]', [(0, 4, "per")]),
    "no json": ('[{"start": 0', "span-malformed"),
    "behind the end": ([{"start": 20, "end": 26, "label": "loc"}], "span-range"),
    "before the start": ([{"start": -1, "end": 4, "label": "loc"}], "span-range"),
    "empty": ([{"start": 4, "end": 4, "label": "loc"}], "span-range"),
    "across": ([{"start": 0, "end": 8, "label": "per"}, {"start": 5, "end": 12, "label": "loc"}], "span-overlap"),
    "within": ([{"start": 0, "end": 8, "label": "per"}, {"start": 5, "end": 8, "label": "loc"}], "span-overlap"),
    "blank": ([{"start": 4, "end": 8, "label": "per"}], "span-blank-edge"),
    "no end": ([{"start": 4, "label": "per"}], "span-malformed"),
    "unknown": ([{"start": 0, "end": 4, "label": "org"}], "unknown-label"),
    "missing": (None, "missing-label"),
}


@pytest.mark.parametrize(("cell", "wanted"), SPANS.values(), ids=SPANS)
def test_spans_stand_in_the_text_and_apart(tmp_path: Path, cell: Any, wanted: Any) -> None:
    column = [[{"start": 0, "end": 4, "label": "per"}], [{"start": 0, "end": 4, "label": "loc"}]]
    reader = opened("spans", tmp_path, column, classes=["per", "loc"])
    assert named(reader, reader.read(TargetCell(cell, (TEXT,)))) == wanted


def test_spans_of_characters_need_a_text_and_no_words(tmp_path: Path) -> None:
    column = [[{"start": 0, "end": 4, "label": "per"}]]
    reader = opened("spans", tmp_path, column)
    with pytest.raises(DataError, match="no character has a number"):
        reader.read(TargetCell(column[0], (TEXT,), WORDS))


def test_words_of_a_text_are_what_blanks_part() -> None:
    assert word_places("a  bc\td", None) == [(0, 1), (3, 5), (6, 7)]
    assert word_places("a  bc", ["a", "", "bc"]) == [(0, 1), (2, 2), (3, 5)]


CONTEXT = "Paris is in France."
ANSWERS: dict[str, tuple[Any, Any]] = {
    "one": ({"text": ["Paris"], "answer_start": [0]}, {"text": ["Paris"], "answer_start": [0]}),
    "all": (
        [{"text": "France", "answer_start": 12}, {"text": "in France", "answer_start": 9}],
        {"text": ["France", "in France"], "answer_start": [12, 9]},
    ),
    "json": ('{"text": ["Paris"], "answer_start": [0]}', {"text": ["Paris"], "answer_start": [0]}),
    "none": ({"text": [], "answer_start": []}, {"text": [], "answer_start": []}),
    "no list": ([], {"text": [], "answer_start": []}),
    "off by one": ({"text": ["France"], "answer_start": [11]}, "answer-not-there"),
    "another case": ({"text": ["paris"], "answer_start": [0]}, "answer-not-there"),
    "behind": ({"text": ["France."], "answer_start": [18]}, "answer-range"),
    "before": ({"text": ["Paris"], "answer_start": [-1]}, "answer-range"),
    "blank": ({"text": [" "], "answer_start": [5]}, "answer-blank"),
    "uneven": ({"text": ["Paris", "France"], "answer_start": [0]}, "answer-malformed"),
    "no place": ({"text": ["Paris"], "answer_start": [None]}, "answer-malformed"),
    "text": ("Paris", "answer-malformed"),
    "missing": (None, "missing-label"),
}


@pytest.mark.parametrize(("cell", "wanted"), ANSWERS.values(), ids=ANSWERS)
def test_answers_stand_where_they_are_said_to(tmp_path: Path, cell: Any, wanted: Any) -> None:
    reader = opened("answers", tmp_path, [{"text": ["Paris"], "answer_start": [0]}])
    truth = reader.read(TargetCell(cell, ("Where?", CONTEXT)))
    assert (truth.value if isinstance(truth, Truth) else truth) == wanted
    if isinstance(truth, Truth):
        assert truth.stratum == (0 if wanted["text"] else 1)
    elif wanted == "answer-not-there":
        assert "it stands" in reader.examples()[wanted][0]


SCORES: dict[str, tuple[Any, Any]] = {
    "number": (3.5, 3.5),
    "whole": (4, 4.0),
    "text": (" 2.5 ", 2.5),
    "zero": (-0.0, 0.0),
    "nan": (float("nan"), "score-not-finite"),
    "infinite": ("inf", "score-not-finite"),
    "huge": (10**400, "score-not-finite"),
    "below": (0.5, "score-range"),
    "above": ("5.01", "score-range"),
    "words": ("good", "score-malformed"),
    "truth value": (True, "score-malformed"),
    "underscore": ("1_0", "score-malformed"),
    "empty": ("", "missing-label"),
    "mark": ("N/A", "missing-label"),
    "missing": (None, "missing-label"),
}


@pytest.mark.parametrize(("cell", "wanted"), SCORES.values(), ids=SCORES)
def test_scores_are_finite_numbers_in_their_range(tmp_path: Path, cell: Any, wanted: Any) -> None:
    ranged = (0.0, 5.0) if cell in (-0.0,) else (1.0, 5.0)
    reader = opened("score", tmp_path, [1.0, 2.0, 3.0], score_range=ranged, missing=["n/a"])
    truth = reader.read(TargetCell(cell, (TEXT,)))
    assert (truth.value if isinstance(truth, Truth) else truth) == wanted
    if isinstance(truth, Truth):
        assert str(truth.value) != "-0.0"


LABELS: dict[str, tuple[Any, Any]] = {
    "list": (["b", "a"], ["a", "b"]),
    "twice": (["b", "b"], ["b"]),
    "separated": ("b; a ;", ["a", "b"]),
    "json": ('["a"]', ["a"]),
    "one": ("b", ["b"]),
    "empty": ([], "empty-labels"),
    "nothing between": (" ; ", "empty-labels"),
    "unknown": (["a", "z"], "unknown-label"),
    "null in it": (["a", None], "missing-label"),
    "mark": (["n/a"], "missing-label"),
    "missing": (None, "missing-label"),
}


@pytest.mark.parametrize(("cell", "wanted"), LABELS.values(), ids=LABELS)
def test_labels_are_lists_or_separated_text(tmp_path: Path, cell: Any, wanted: Any) -> None:
    reader: Any = opened("labels", tmp_path, [["a"]], classes=["a", "b"], separator=";", missing=["n/a"])
    truth = reader.read(TargetCell(cell, (TEXT,)))
    order = list(reader.book.numbers)
    assert ([order[number] for number in truth.value] if isinstance(truth, Truth) else truth) == wanted


def test_equal_texts_that_are_tagged_alike_are_no_conflict(tmp_path: Path) -> None:
    reader = opened("spans", tmp_path, [["B-per", "O"]], classes=["per", "loc"])
    cells = [
        (["Anna", "ran"], ["B-per", "O"]),
        (["ANNA", "", "ran"], ["B-per", "O", "O"]),
        (["Anna", "ran"], ["O", "O"]),
    ]
    found = [reader.read(TargetCell(tags, (" ".join(words),), words)) for words, tags in cells]
    identities = [truth.identity for truth in found if isinstance(truth, Truth)]
    assert identities[0] == identities[1] != identities[2]


def test_empty_lists_are_rows_where_the_recipe_says_so(tmp_path: Path) -> None:
    reader = opened("labels", tmp_path, [["a"], []], classes=["a", "b"], empty="keep")
    truth = reader.read(TargetCell([], (TEXT,)))
    assert isinstance(truth, Truth)
    assert (truth.value, truth.stratum) == ([], 0)


def test_labels_as_numbers_have_the_names_of_the_source(tmp_path: Path) -> None:
    reader: Any = opened("labels", tmp_path, [[0, 2], [1]], names=["x", "y", "z"])
    truth = reader.read(TargetCell([2, 0], (TEXT,)))
    assert [list(reader.book.numbers)[number] for number in truth.value] == ["x", "z"]


@pytest.mark.parametrize(
    ("kind", "one", "same", "other"),
    [
        ("answers", {"text": ["Paris"], "answer_start": [0]}, [{"text": "Paris", "answer_start": 0}], []),
        ("score", "2.0", 2, 2.5),
        ("labels", ["a", "b"], ["b", "a"], ["a"]),
        ("label", "a", ["a"], "b"),
    ],
)
def test_equal_truths_have_one_identity(tmp_path: Path, kind: str, one: Any, same: Any, other: Any) -> None:
    cells = {"answers": [{"text": ["x"], "answer_start": [0]}], "score": [1.0, 2.0], "labels": [["a"], ["b"]]}
    reader = opened(kind, tmp_path, cells.get(kind, ["a", "b"]))
    found = [reader.read(TargetCell(cell, ("Where?", CONTEXT))) for cell in (one, same, other)]
    assert all(isinstance(truth, Truth) for truth in found), found
    identities = [truth.identity for truth in found if isinstance(truth, Truth)]
    assert identities[0] == identities[1] != identities[2]
    assert all(0 <= identity < 2**63 for identity in identities)


def test_tags_and_spans_are_read_from_texts_of_a_table(tmp_path: Path) -> None:
    cells = ["B-per O O", '[{"start": 0, "end": 4, "label": "per"}]', "[]", "", "O O"]
    reader = opened("spans", tmp_path, cells)
    found = [named(reader, reader.read(TargetCell(cell, ("Anna ran home",)))) for cell in cells]
    assert found == [[(0, 4, "per")], [(0, 4, "per")], [], "missing-label", "tag-count"]


def test_strata_are_the_rarest_classes(tmp_path: Path) -> None:
    cells = [["B-a"], ["B-a"], ["B-b"], ["O"]]
    reader = opened("spans", tmp_path, cells)
    tags = ["B-a", "B-b", "O"]
    both = reader.read(TargetCell(tags, ("x y z",), ["x", "y", "z"]))
    rare = reader.read(TargetCell(["B-b"], ("x",), ["x"]))
    often = reader.read(TargetCell(["B-a"], ("x",), ["x"]))
    none = reader.read(TargetCell(["O"], ("x",), ["x"]))
    found = [truth.stratum for truth in (both, rare, often, none) if isinstance(truth, Truth)]
    assert found[0] == found[1] != found[2]
    assert found[3] == 0

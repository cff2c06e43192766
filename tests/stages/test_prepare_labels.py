"""Label cells: an integer is a name or a number, decided once a column and said; what is no label is none."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import toys
from kubetune.data.label_column import LabelCells
from kubetune.data.numbering import open_book
from kubetune.errors import DataError

FIVE = ("1", "2", "3", "4", "5")


def cells(*values: Any, split: str = "all") -> LabelCells:
    found = LabelCells(split, rows=len(values))
    found.found.update(map(str, values))
    return found


def meaning(
    values: Sequence[Any], declared: Sequence[str] | None, asked: str | int = "auto", **names: Any
) -> list[str]:
    """What each cell of a column is read as; `-` is no label that is allowed."""
    book = open_book([cells(*values)], "label", declared, names.get("source"), asked)
    numbers = [book.number(str(value)) for value in values]
    classes = list(book.numbers)
    return ["-" if number is None else classes[number] for number in numbers]


@pytest.mark.parametrize(
    ("values", "declared", "read"),
    [
        ([0, 1, 2, 3, 4], FIVE, ["1", "2", "3", "4", "5"]),
        ([1, 2, 3, 4, 5], FIVE, ["1", "2", "3", "4", "5"]),
        ([2, 3, 4], FIVE, ["2", "3", "4"]),
        ([0, 1], ("neg", "pos"), ["neg", "pos"]),
        (["0.0", "1.0"], ("neg", "pos"), ["neg", "pos"]),
        ([0, 1, 7], ("neg", "pos"), ["neg", "pos", "-"]),
        ([-1, 0, 1], ("neg", "pos"), ["-", "neg", "pos"]),
        ([1, 2, 9], ("1", "2"), ["1", "2", "-"]),
        ([-1, 0, 1], ("-1", "0", "1"), ["-1", "0", "1"]),
        (["neg", "pos", 1], ("neg", "pos"), ["neg", "pos", "-"]),
        (["1.0", "2.0"], None, ["1", "2"]),
        (["1.0", "2.1"], None, ["1.0", "2.1"]),
        (["01", "02"], None, ["01", "02"]),
    ],
)
def test_integers_are_names_or_numbers_for_the_whole_column(
    values: list[Any], declared: Sequence[str] | None, read: list[str]
) -> None:
    assert meaning(values, declared) == read


@pytest.mark.parametrize(
    ("values", "declared", "advice"),
    [
        ([1, 2, 3], ("neg", "neu", "pos"), "set data.label_numbers to 1 if 1 is 'neg', or to names"),
        (
            [1, 2],
            ("neg", "neu", "pos"),
            "set data.label_numbers to 0 if 0 is 'neg', or to 1 if 1 is 'neg', or to names",
        ),
        ([-1, 0, 1], ("neg", "neu", "pos"), "set data.label_numbers to -1 if -1 is 'neg', or to names"),
        ([-1, 1], ("neg", "pos"), "set data.label_numbers to names"),
        ([0, 1, 2, 3, 4, 5], FIVE, "some are names of data.labels, others could be their numbers"),
        ([0, 1, 2], ("0", "2"), "some are names of data.labels, others could be their numbers"),
    ],
)
def test_what_would_be_a_guess_is_refused(values: list[int], declared: Sequence[str], advice: str) -> None:
    with pytest.raises(DataError) as caught:
        meaning(values, declared)
    assert (caught.value.exit_code, caught.value.rule) == (65, "label-numbers")
    assert advice in str(caught.value)


def test_the_recipe_can_say_what_the_numbers_are() -> None:
    assert meaning([1, 2, 3], ("neg", "neu", "pos"), 1) == ["neg", "neu", "pos"]
    assert meaning([-1, 0, 1], ("neg", "neu", "pos"), -1) == ["neg", "neu", "pos"]
    assert meaning([1, 2], ("neg", "neu", "pos"), 0) == ["neu", "pos"]
    assert meaning([0, 1, 2], ("1", "2"), "names") == ["-", "1", "2"]
    assert meaning([0, 1], None, "names", source=("bad", "good")) == ["0", "1"]


def test_numbers_that_the_source_names_are_numbers_also_where_the_names_are_numerals() -> None:
    assert meaning([0, 1], None, source=("1", "2")) == ["1", "2"]
    assert meaning([0, 1, 2, 3, 4], None, source=FIVE) == list(FIVE)
    assert meaning([0, 1, 2], ("love", "joy"), source=("sadness", "joy", "love")) == ["-", "joy", "love"]
    assert meaning([0, 1], ("negative", "positive"), source=("neg", "pos")) == ["negative", "positive"]
    for declared in (("a", "b"), ("joy", "happy", "sadness"), ("sadness", "joy", "other", "love")):
        with pytest.raises(DataError, match="class-names"):
            meaning([0, 1, 2], declared, source=("sadness", "joy", "love"))


def test_what_was_decided_is_said(prepare: Any) -> None:
    rows = [{"text": row["text"], "label": n % 5} for n, row in enumerate(toys.toy_rows(100))]
    made = prepare({"all": rows}, 'data.labels=["1", "2", "3", "4", "5"]')
    assert made.named() == {row["text"]: str(row["label"] + 1) for row in rows}
    sentence = "Column 'label' holds the numbers 0 to 4, counted from 0 in data.labels: 0 is '1', 4 is '5'."
    assert sentence in made.notes
    assert made.report["said"] == made.document["said"] == [sentence]
    assert sentence.replace("'", "&#39;") in (made.folder / "data_report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("mark", ["", " ", "null", "None", "NA", "n/a", "NaN", "\u200b", None])
def test_marks_of_missing_values_are_no_class(prepare: Any, mark: str | None) -> None:
    rows: list[dict[str, Any]] = [dict(row) for row in toys.toy_rows(100)]
    for number in (3, 50, 97):
        rows[number]["label"] = mark
    made = prepare({"all": rows})
    assert made.document["labels"] == ["negative", "positive"]
    assert made.report["rejects"]["missing-label"]["rows"] == 3
    assert any(note.startswith("3 rows have no label") for note in made.notes)


def test_missing_numbers_are_missing(prepare: Any) -> None:
    numbers: list[float] = [float(n % 2) for n in range(100)]
    numbers[7] = float("nan")
    table = pa.table({"text": [row["text"] for row in toys.toy_rows(100)], "label": pa.array(numbers, pa.float64())})
    made = prepare({"all": table}, "data.labels=[negative, positive]")
    assert made.report["rejects"] == {"missing-label": {"rows": 1, "first": ["all:7"]}}


def test_a_class_that_is_listed_is_no_mark(prepare: Any) -> None:
    rows = [{**row, "label": {"negative": "None", "positive": "NA"}[row["label"]]} for row in toys.toy_rows(100)]
    made = prepare({"all": rows}, "data.labels=[None, NA]")
    assert made.document["labels"] == ["None", "NA"]
    assert made.report["rows"]["rejected"] == 0
    with pytest.raises(DataError, match=r"is unlabelled: the label of each of its 100 rows is 'NA' or 'None'"):
        prepare({"all": rows})
    kept = prepare({"all": rows}, "data.missing_labels=[]")
    assert kept.document["labels"] == ["NA", "None"]


def test_names_that_look_alike_are_one_class(prepare: Any) -> None:
    forms = {"negative": ["m\u00e9chant", "me\u0301chant", "\u200bm\u00e9chant", "m\u00e9chant\ufeff "]}
    forms["positive"] = ["tr\u00e8s  bon", "tre\u0300s\u00a0bon", " tr\u00e8s bon", "tr\u00e8s bon\u200d"]
    rows = [{**row, "label": forms[row["label"]][n // 2 % 4]} for n, row in enumerate(toys.toy_rows(120))]
    wanted = {
        row["text"]: {"negative": "m\u00e9chant", "positive": "tr\u00e8s bon"}[row["label"]]
        for row in toys.toy_rows(120)
    }
    made = prepare({"all": rows})
    assert made.named() == wanted
    assert prepare({"all": rows}, 'data.labels=["me\u0301chant", "tr\u00e8s bon"]').named() == wanted


def test_truth_values_are_two_classes_in_any_case(prepare: Any) -> None:
    forms = {"negative": ["False", "false", "FALSE"], "positive": ["True", "true", "TRUE"]}
    rows = [{**row, "label": forms[row["label"]][n // 2 % 3]} for n, row in enumerate(toys.toy_rows(120))]
    made = prepare({"all": rows})
    assert made.document["labels"] == ["false", "true"]
    assert prepare({"all": rows}, "data.labels=['True', 'False']").document["labels"] == ["true", "false"]


def test_bytes_are_read_as_utf_8_and_said(prepare: Any) -> None:
    rows = toys.toy_rows(100)
    texts = pa.array([f"{row['text']} caf\u00e9".encode() for row in rows], pa.binary())
    labels = pa.array([row["label"].encode() for row in rows], pa.large_binary())
    made = prepare({"all": pa.table({"text": texts, "label": labels})})
    assert made.named() == {f"{row['text']} caf\u00e9": row["label"] for row in rows}
    assert "Column 'text' holds bytes, read as UTF-8." in made.notes
    assert "Column 'label' holds bytes, read as UTF-8." in made.notes
    for name in ("text", "label"):
        bad = {"text": texts, "label": labels, name: pa.array([b"caf\xe9"] * 100, pa.binary())}
        with pytest.raises(DataError, match=rf"Column '{name}' holds bytes that are no UTF-8 text \(byte 0xe9 at 3"):
            prepare({"all": pa.table(bad)})


def table_of(labels: list[Any], **texts: list[Any]) -> pa.Table:
    return pa.table({"text": texts.get("text", [row["text"] for row in toys.toy_rows(len(labels))]), "label": labels})


def test_a_list_of_one_label_is_that_label_and_of_several_is_refused(prepare: Any) -> None:
    labels: list[list[int]] = [[n % 2] for n in range(100)]
    labels[5] = []
    made = prepare({"all": table_of(labels)}, "data.labels=[negative, positive]")
    assert made.report["rejects"] == {"missing-label": {"rows": 1, "first": ["all:5"]}}
    assert sum(made.report["labels"]["positive"].values()) == 49
    assert "Column 'label' holds lists of at most one label, read as that label." in made.notes
    labels[9] = [0, 1]
    with pytest.raises(DataError, match=r"Column 'label' is multi-label: a cell of it is a list of 2 labels") as caught:
        prepare({"all": table_of(labels)})
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (table_of([{"id": n % 2} for n in range(40)]), "Column 'label' holds maps"),
        (table_of([[{"id": n % 2}] for n in range(40)]), "Column 'label' holds maps"),
        (table_of([[[n % 2]] for n in range(40)]), "Column 'label' holds lists"),
        (table_of(["a", "b"] * 20, text=[["a", "word"]] * 40), "Column 'text' holds lists"),
        (table_of(["a", "b"] * 20, text=[{"en": "a"}] * 40), "Column 'text' holds maps"),
    ],
)
def test_what_is_no_scalar_is_refused(prepare: Any, table: pa.Table, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        prepare({"all": table})
    assert (caught.value.exit_code, caught.value.rule) == (65, "nested-value")


def test_dates_and_decimals_are_in_their_usual_notation(prepare: Any) -> None:
    days = [date(2024, 1, 1 + n % 2) for n in range(60)]
    made = prepare({"all": table_of(days)})
    assert made.document["labels"] == ["2024-01-01", "2024-01-02"]
    stars = [Decimal(f"{n % 2}.00") for n in range(60)]
    assert prepare({"all": table_of(stars)}).document["labels"] == ["0", "1"]
    assert set(
        prepare(
            {"all": table_of(["a", "b"] * 30, text=[date(2024, 1 + n // 28, 1 + n % 28) for n in range(60)])}
        ).named()
    ) > {"2024-01-01"}


@pytest.mark.parametrize("hidden", ["-1", None, "", -1])
def test_a_given_split_without_labels_is_refused_and_never_replaced(prepare: Any, hidden: Any) -> None:
    numbers = isinstance(hidden, int)
    train = [{**row, "label": n % 2 if numbers else row["label"]} for n, row in enumerate(toys.toy_rows(100))]
    test = [{"text": f"hidden {n}", "label": hidden} for n in range(3)]
    with pytest.raises(DataError, match=r"Split test is unlabelled: the label of each of its 3 rows is") as caught:
        prepare({"train": train, "test": pa.Table.from_pylist(test) if hidden is not None else pa.table(
            {"text": [row["text"] for row in test], "label": pa.nulls(3, pa.string())})})  # fmt: skip
    assert (caught.value.exit_code, caught.value.rule) == (65, "unlabelled-split")
    assert "left out, data.splits.test of train is cut off" in str(caught.value)


def test_numbers_kept_back_by_a_hub_data_set_are_said(prepare: Any) -> None:
    source = {"class_names": {"label": ["neg", "pos"]}}
    train = [{"text": row["text"], "label": n % 2} for n, row in enumerate(toys.toy_rows(100))]
    train[4]["label"] = -1
    made = prepare({"all": train}, source=source)
    assert made.report["rejects"] == {"missing-label": {"rows": 1, "first": ["all:4"]}}
    with pytest.raises(DataError, match="Split validation is unlabelled"):
        prepare({"train": train, "validation": [{"text": "a", "label": -1}]}, source=source)


def test_a_given_split_that_lost_its_rows_is_refused(prepare: Any) -> None:
    test = [{"text": "x" * 600, "label": "positive"}] * 2
    with pytest.raises(DataError, match=r"Split test of the source lost all of its 2 rows \(too-long 2\)") as caught:
        prepare({"train": toys.toy_rows(100), "test": test}, "data.max_characters=500")
    assert (caught.value.exit_code, caught.value.rule) == (65, "lost-split")

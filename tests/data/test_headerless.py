"""Tables whose first line is a row: names come from the recipe, or are numbers."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data.reading import files_of, read
from kubetune.errors import ConfigError, DataError


def table(folder: Path, text: str, name: str = "x.csv", **values: Any) -> tuple[list[dict[str, Any]], list[str]]:
    (folder / name).write_text(text)
    rows, facts = read(files_of(folder / name, **values), folder)
    return rows["all"], facts.sentences()


def test_columns_are_named_by_their_number_where_there_is_no_header(tmp_path: Path) -> None:
    rows, said = table(tmp_path, '4,"a, b"\n1,c\n', header=False)
    assert rows == [{"1": "4", "2": "a, b"}, {"1": "1", "2": "c"}]
    assert "x.csv: its first line is a row, as data.source.header says: columns are named 1 to 2" in said


def test_names_of_the_recipe_leave_out_columns_and_those_that_some_rows_lack(tmp_path: Path) -> None:
    text = "x\t5.0\tone\tother\nx\t1.0\tthree\tfour\thttp://a\n"
    rows, said = table(tmp_path, text, delimiter="tab", header=["", "score", "first", "second", ""])
    assert rows == [
        {"score": "5.0", "first": "one", "second": "other"},
        {"score": "1.0", "first": "three", "second": "four"},
    ]
    assert any("named by data.source.header: (not read), score, first, second, (not read)" in line for line in said)
    assert any("columns without a name are not read: 2 (2 rows hold something there" in line for line in said)


def test_a_first_row_of_several_lines_is_a_row(tmp_path: Path) -> None:
    rows, _ = table(tmp_path, '"a\nb",1\nc,2\n', header=["text", "label"])
    assert [row["text"] for row in rows] == ["a\nb", "c"]


def test_rows_that_are_numbers_are_not_taken_for_their_names(tmp_path: Path) -> None:
    rows, _ = table(tmp_path, "1,2\n1,2\n", header=False)
    assert rows == [{"1": "1", "2": "2"}] * 2


@pytest.mark.parametrize(
    ("text", "header", "sentence"),
    [
        ("text,label\na,b\n", ["text", "label"], r"line 1 has the very names of data\.source\.header: leave that out"),
        ("a,b,c\n", ["text", "label"], r"line 1 has 3 fields and data\.source\.header has 2"),
        ("a,b\nc\n", False, "line 2 has 1 fields and the first row has 2"),
        ("", False, "is empty|has no header"),
    ],
)
def test_what_does_not_fit_the_names_is_refused(text: str, header: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        table(tmp_path, text, header=header)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"header": False}, r"data\.source\.header is of csv and tsv, and x\.jsonl is read as jsonl"),
        ({"records": "a"}, r"data\.source\.records is of json, and x\.jsonl is read as jsonl"),
    ],
)
def test_what_another_format_is_told_is_refused(values: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        table(tmp_path, '{"a": 1}\n', "x.jsonl", **values)


@pytest.mark.parametrize(("header", "sentence"), [(["", " "], "names no column"), (["a", "a"], "has 'a' twice")])
def test_names_that_name_nothing_are_refused(header: list[str], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        files_of("x.csv", header=header)

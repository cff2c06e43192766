"""Delimited files as others write them: what is decided is right and said, and what does not fit is named by line."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data.reading import files_of, read
from kubetune.data.sources.delimited import MOST_QUOTED_LINES
from kubetune.data.sources.dialect import SAMPLE_LINES
from kubetune.data.sources.tables import FORMATS
from kubetune.errors import DataError

AB = [{"text": "eins", "label": "a"}, {"text": "zwei", "label": "b"}]


def made(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_text(folder: Path, content: bytes | str, name: str = "a.csv", encoding: str = "utf-8", **values: Any) -> Any:
    """Return the rows of a file and what was said of it, in one text."""
    rows, facts = read(files_of(made(folder, name, content), **values), folder, encoding=encoding)
    return rows["all"], "\n".join(facts.sentences())


@pytest.mark.parametrize(
    ("delimiter", "word"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_delimiter_is_found_and_said(tmp_path: Path, delimiter: str, word: str, name: str) -> None:
    content = "text,label\neins,a\nzwei,b\n".replace(",", delimiter)
    rows, said = read_text(tmp_path, content, name)
    assert rows == AB
    quotes = "quotes are characters" if delimiter == "\t" else "quotes enclose fields"
    assert said == (
        f"{name}: fields are separated by {word}, on which its header and 2 of the first 2 rows agree; {quotes}"
    )


def test_the_page_about_data_names_every_format_and_bound() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    for suffix, layout in FORMATS.items():
        assert f"`{suffix}`" in page, suffix
        assert f"`{layout}`" in page, layout
    assert f"more than {MOST_QUOTED_LINES} lines" in page
    assert f"first {SAMPLE_LINES:,} rows" in page


def test_one_sentence_for_all_files_that_are_alike(tmp_path: Path) -> None:
    paths = [made(tmp_path, f"{n}.csv", "text;label\na;b\n") for n in range(3)]
    _, facts = read(files_of(*paths), tmp_path)
    (said,) = facts.sentences()
    assert said.startswith("0.csv and 2 other files: fields are separated by semicolons")


def test_texts_and_decimal_commas_do_not_decide(tmp_path: Path) -> None:
    lines = [f"yes, well, {n}, no; {n}" for n in range(40)]
    rows, _ = read_text(tmp_path, "text;score\n" + "".join(f'"{line}";0,{n}\n' for n, line in enumerate(lines)))
    assert [row["text"] for row in rows] == lines
    assert [row["score"] for row in rows] == [f"0,{n}" for n in range(40)]


def test_a_header_with_two_candidates_is_decided_by_the_rows_and_not_by_an_odd_one(tmp_path: Path) -> None:
    body = [f"a {n};b;c" for n in range(30)] + ["odd, row; with; four; fields"]
    with pytest.raises(DataError, match="line 32 has 4 fields and the header has 3"):
        read_text(tmp_path, "\n".join(["text; raw, or not;id;label".replace(";id", ""), *body]) + "\n")
    rows, said = read_text(tmp_path, "\n".join(["text;raw, or not;label", *body[:-1]]) + "\n")
    assert list(rows[0]) == ["text", "raw, or not", "label"]
    assert "semicolons" in said


def test_a_row_that_does_not_fit_stays_an_error_of_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3 has 3 fields and the header has 2") as caught:
        read_text(tmp_path, "text,label\na,b\na;c,b;d,e\n")
    assert caught.value.rule == "ragged-row"


def test_a_header_alone_says_the_delimiter_where_no_row_fits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2 has 1 fields and the header has 2"):
        read_text(tmp_path, "text;label\na,b\nc,d\n")


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_sep_line_of_excel_is_honoured_and_no_header(tmp_path: Path, line: str) -> None:
    rows, said = read_text(tmp_path, f"{line}\r\ntext;label\r\neins;a\r\nzwei;b\r\n")
    assert rows == AB
    assert "separated by semicolons, as its first line sep= says" in said
    with pytest.raises(DataError, match="line 4 has 1 fields"):
        read_text(tmp_path, f"{line}\ntext;label\neins;a\nzwei\n")


def test_the_recipe_s_delimiter_counts(tmp_path: Path) -> None:
    content = "text^label\nei,ns^a\nzw,ei^b\n"
    rows, said = read_text(tmp_path, content, delimiter="^")
    assert [row["text"] for row in rows] == ["ei,ns", "zw,ei"]
    assert "separated by '^', as data.source.delimiter says" in said
    rows, _ = read_text(tmp_path, "sep=,\ntext\tlabel\neins\ta\nzwei\tb\n", delimiter="tab")
    assert rows == AB


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r"])
def test_a_delimiter_that_is_none_is_refused(delimiter: str) -> None:
    with pytest.raises(ValidationError, match="delimiter must be one character"):
        files_of("a.csv", delimiter=delimiter)


def test_columns_without_a_name_are_dropped_and_counted(tmp_path: Path) -> None:
    rows, said = read_text(tmp_path, "v1,v2,,,\nham,eins,,,\nspam,zwei,,,\n")
    assert rows == [{"v1": "ham", "v2": "eins"}, {"v1": "spam", "v2": "zwei"}]
    assert "a.csv: columns without a name are not read: 3 (all of them empty)" in said
    rows, said = read_text(tmp_path, ',v2, ,v1\n0,eins,,ham\n1,zwei,"x",spam\n2,drei\n'.replace("2,drei\n", ""))
    assert rows == [{"v2": "eins", "v1": "ham"}, {"v2": "zwei", "v1": "spam"}]
    assert "columns without a name are not read: 2 (2 rows hold something there, the first at line 2)" in said


def test_a_pandas_name_is_a_name(tmp_path: Path) -> None:
    rows, _ = read_text(tmp_path, "Unnamed: 0,text\n0,eins\n")
    assert rows == [{"Unnamed: 0": "0", "text": "eins"}]


def test_empty_fields_at_the_end_are_what_a_spreadsheet_leaves(tmp_path: Path) -> None:
    rows, said = read_text(tmp_path, "text,label,,\neins,a\nzwei,b,,,,\n")
    assert rows == AB
    assert "rows with further empty fields, which are not read: 1" in said
    with pytest.raises(DataError, match="line 2 has 3 fields and the header has 2"):
        read_text(tmp_path, "text,label\neins,,a\n")


def test_a_header_without_any_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 0 columns"):
        read_text(tmp_path, ",,\n1,2,3\n")


def test_a_repeated_header_is_refused_with_its_line_and_marks_inside_are_removed(tmp_path: Path) -> None:
    joined = '\ufefftext,label\neins,a\n\ufeff"zwei",b\n'
    rows, said = read_text(tmp_path, joined)
    assert rows == AB
    assert "byte order marks inside the file, which are removed: 1" in said
    with pytest.raises(DataError, match="line 4 is the header again") as caught:
        read_text(tmp_path, "text,label\n\na,b\n\ufefftext,label\nc,d\n")
    assert caught.value.rule == "repeated-header"
    assert read_text(tmp_path, '"a\n\ufeffb"\n"\ufeffc"\n')[0] == [{"a\n\ufeffb": "\ufeffc"}]


def swallowed(separator: str, lines: int) -> str:
    """120 rows of which one begins with a quote and another, some lines later, ends with one."""
    rows = [[f"text number {n}", "ab"[n % 2]] for n in range(120)]
    rows[20][0] = '"' + rows[20][0]
    rows[20 + lines][0] += '"'
    return "\n".join(separator.join(row) for row in [["text", "label"], *rows]) + "\n"


def test_a_tsv_does_not_quote_unless_asked(tmp_path: Path) -> None:
    rows, said = read_text(tmp_path, swallowed("\t", 12), "a.tsv")
    assert len(rows) == 120
    assert rows[20]["text"] == '"text number 20'
    assert "quotes are characters" in said
    content = 'text\tlabel\n"He said ""no""\t"\ta\n'
    rows, _ = read_text(tmp_path, content, "a.tsv", quotes=True)
    assert rows == [{"text": 'He said "no"\t', "label": "a"}]
    rows, said = read_text(tmp_path, 'text\tlabel\n"eins"\ta\nzwei\tb\n', "a.tsv")
    assert rows[0]["text"] == '"eins"'
    assert "rows with a field in quotes, which are kept: 1; data.source.quotes=true removes them" in said


@pytest.mark.parametrize(("separator", "values"), [(",", {}), ("\t", {"quotes": True}), (";", {})])
def test_rows_inside_a_quote_that_was_not_meant_are_refused_with_both_lines(
    tmp_path: Path, separator: str, values: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match="opens in the row at line 22 and closes in line 34") as caught:
        read_text(tmp_path, swallowed(separator, 12), "a.csv", **values)
    assert caught.value.rule == "unclosed-quote"
    rows, _ = read_text(tmp_path, swallowed(separator, 12), "a.csv", quoted_lines=13, **values)
    assert len(rows) == 108
    rows, said = read_text(tmp_path, swallowed(separator, 3), "a.csv", **values)
    assert "rows with line ends inside quotes: 1, the longest in lines 22 to 25" in said


def test_a_quoted_field_has_a_bound_of_lines(tmp_path: Path) -> None:
    def field(lines: int) -> str:
        return 'label,text\na,b\na,"' + "\n".join(f"line {n}" for n in range(lines)) + '"\na,b\n'

    assert len(read_text(tmp_path, field(100))[0]) == 3
    refused = "opens in the row at line 3 is not closed before line 103, and 100 lines are allowed in one field"
    with pytest.raises(DataError, match=refused):
        read_text(tmp_path, field(101))
    assert len(read_text(tmp_path, field(101), quoted_lines=101)[0]) == 3
    with pytest.raises(DataError, match="is not closed before line 8, and 5 lines are allowed"):
        read_text(tmp_path, field(6), quoted_lines=5)
    with pytest.raises(DataError, match="opens in the row at line 3 is not closed before line"):
        read_text(tmp_path, field(1000).replace('9"', "9"))


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_utf_16_is_read_by_its_mark(tmp_path: Path, codec: str, name: str) -> None:
    text = "text,label\r\ncafé 😀,a\r\n" if name == "a.csv" else '{"text": "café 😀", "label": "a"}\r\n'
    data = text.encode(codec) if codec == "utf-16" else ("\ufeff" + text).encode(codec)
    rows, said = read_text(tmp_path, data, name)
    assert rows == [{"text": "café 😀", "label": "a"}]
    found = "utf-16-be" if codec == "utf-16-be" else "utf-16-le"
    assert f"{name}: read as {found}, as its byte order mark says, and not as utf-8" in said
    if codec != "utf-16":
        assert read_text(tmp_path, text.encode(codec), name, encoding=codec)[0] == rows


def test_damaged_utf_16_is_named_by_line(tmp_path: Path) -> None:
    data = "text,label\né,a\n".encode("utf-16-le") + b"\x00\xd8" + "x,b\n".encode("utf-16-le")
    with pytest.raises(DataError, match=r"offset 30, line 3"):
        read_text(tmp_path, data, encoding="utf-16-le")
    with pytest.raises(DataError, match=r"looks like no UTF-16 text, as data\.encoding says"):
        read_text(tmp_path, "text,label\n", encoding="utf-16")


def test_a_mark_of_utf_8_counts_more_than_the_recipe(tmp_path: Path) -> None:
    rows, said = read_text(tmp_path, "\ufefftext\ncafé\n", encoding="latin-1")
    assert rows == [{"text": "café"}]
    assert "read as utf-8, as its byte order mark says, and not as iso8859-1" in said


def test_a_file_that_is_not_utf_8_is_told_what_to_set(tmp_path: Path) -> None:
    content = "text;label\nEin schönes Café’s;a\n".encode("cp1252")
    with pytest.raises(
        DataError, match=r"line 2, .* set data\.encoding .*data\.encoding=cp1252 reads 'Ein schönes Café"
    ) as caught:
        read_text(tmp_path, content)
    assert caught.value.exit_code == 65
    assert read_text(tmp_path, content, encoding="cp1252")[0] == [{"text": "Ein schönes Café’s", "label": "a"}]
    with pytest.raises(DataError, match=r"what stands before it is UTF-8 .* repair that line"):
        read_text(tmp_path, "text\ncafé\n".encode() + "café\n".encode("latin-1"))


def test_text_in_another_encoding_than_the_recipe_s_is_doubted(tmp_path: Path) -> None:
    content = "text,label\ncafé’s,a\n"
    doubt = "a.csv: read as cp1252, and each of its bytes fits utf-8: is it that? then set data.encoding=utf-8"
    assert doubt in read_text(tmp_path, content, encoding="cp1252")[1].splitlines()
    doubt = "a.csv: 1 control characters, as of a file in cp1252: is it that? then set data.encoding=cp1252"
    assert doubt in read_text(tmp_path, content.encode("cp1252"), encoding="latin-1")[1].splitlines()
    for encoding, plain in (("cp1252", content), ("latin-1", "text,label\ncafé,a\n"), ("latin-1", "text,label\na,a\n")):
        assert "is it that" not in read_text(tmp_path, plain.encode(encoding), encoding=encoding)[1]

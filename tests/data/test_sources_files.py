"""Local files of every format: what is read, what is refused and where, what counts as the same file."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.reading import files_of, read, source_of
from kubetune.data.sources import identify
from kubetune.errors import ConfigError, DataError

ROWS = [{"text": "eins", "label": "a"}, {"text": "zw,ei", "label": "b"}]


def made(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", 'text,label\neins,a\n"zw,ei",b\n'),
        ("crlf.csv", 'text,label\r\neins,a\r\n"zw,ei",b'),
        ("mixed.csv", 'text,label\r\neins,a\n\n"zw,ei",b\r\n'),
        ("returns.csv", 'text,label\reins,a\r"zw,ei",b\r'),
        ("bom.csv", '\ufefftext,label\neins,a\n"zw,ei",b\n'),
        ("rows.tsv", "text\tlabel\neins\ta\nzw,ei\tb\n"),
        ("rows.jsonl", '{"text": "eins", "label": "a"}\n\n{"label": "b", "text": "zw,ei"}\r\n'),
        ("rows.ndjson", '\ufeff{"text": "eins", "label": "a"}\n{"label": "b", "text": "zw,ei"}'),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_text_format_gives_the_same_rows(tmp_path: Path, name: str, content: str, packed: bool) -> None:
    data = content.encode()
    path = made(tmp_path, name + ".gz" * packed, gzip.compress(data) if packed else data)
    rows, facts = read(files_of(path), tmp_path)
    assert rows == {"all": ROWS}
    (fact,) = facts.files
    assert (fact.name, fact.rows) == (path.name, 2)
    assert (fact.sha256, fact.size) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)


@pytest.mark.parametrize("packed", [False, True])
def test_parquet_keeps_its_types(tmp_path: Path, packed: bool) -> None:
    table = pa.table({"text": pa.array(["a", "b"]).dictionary_encode(), "label": pa.array([1, 0], pa.int8())})
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    if packed:
        path = made(tmp_path, "rows.parquet.gz", gzip.compress(path.read_bytes()))
    rows, _ = read(files_of(path), tmp_path)
    assert rows == {"all": [{"text": "a", "label": 1}, {"text": "b", "label": 0}]}


def test_csv_values_are_strings_and_quoted_line_ends_stay(tmp_path: Path) -> None:
    path = made(tmp_path, "a.csv", 'text,n\n"one\r\ntwo ""three""",1.50\n,\n')
    rows, _ = read(files_of(path), tmp_path)
    assert rows["all"] == [{"text": 'one\r\ntwo "three"', "n": "1.50"}, {"text": "", "n": ""}]


def test_a_quote_is_a_character_where_the_recipe_says_so(tmp_path: Path) -> None:
    path = made(tmp_path, "a.csv", 'text,label\n"Good" film,1\n"open,0\n')
    with pytest.raises(DataError, match=r"line 2 is malformed .* data\.source\.quotes=false") as caught:
        read(files_of(path), tmp_path)
    assert caught.value.rule == "malformed-row"
    rows, _ = read(files_of(path, quotes=False), tmp_path)
    assert [row["text"] for row in rows["all"]] == ['"Good" film', '"open']


def test_json_types_are_kept_and_mixtures_become_strings(tmp_path: Path) -> None:
    lines = [
        {"i": 1, "f": 1, "b": True, "m": 1, "w": 2**53 + 1, "x": 2**70, "n": None},
        {"i": 2, "f": 0.5, "b": False, "m": "z", "w": 0.5, "x": 1, "late": "l"},
        {"i": None, "m": True},
    ]
    path = made(tmp_path, "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    rows, _ = read(files_of(path), tmp_path)
    assert rows["all"] == [
        {"i": 1, "f": 1.0, "b": True, "m": "1", "w": str(2**53 + 1), "x": str(2**70), "n": None, "late": None},
        {"i": 2, "f": 0.5, "b": False, "m": "z", "w": "0.5", "x": "1", "n": None, "late": "l"},
        {"i": None, "f": None, "b": None, "m": "true", "w": None, "x": None, "n": None, "late": None},
    ]


def test_lone_surrogates_are_replaced_and_counted(tmp_path: Path) -> None:
    path = made(tmp_path, "a.jsonl", '{"text": "a\\ud800b"}\n{"text": "\\ud83d\\ude00"}\n{"text": "\\udc00\\udc00"}\n')
    rows, facts = read(files_of(path), tmp_path)
    assert [row["text"] for row in rows["all"]] == ["a\ufffdb", "\U0001f600", "\ufffd\ufffd"]
    assert facts.surrogates == 3


def test_nul_characters_stay_for_prepare_to_reject(tmp_path: Path) -> None:
    csv, lines = made(tmp_path, "a.csv", "text,label\na\0b,c\n"), made(tmp_path, "b.jsonl", '{"text": "a\\u0000b"}\n')
    assert read(files_of(csv), tmp_path)[0]["all"] == [{"text": "a\0b", "label": "c"}]
    assert read(files_of(lines), tmp_path)[0]["all"] == [{"text": "a\0b"}]


def test_a_text_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    long = "x" * 10_000_000
    csv = made(tmp_path, "a.csv", f'text,label\n"{long}",a\nshort,b\n')
    lines = made(tmp_path, "a.jsonl", json.dumps({"text": long}) + '\n{"text": "short"}\n')
    for path in (csv, lines):
        rows, _ = read(files_of(path), tmp_path)
        assert [len(row["text"]) for row in rows["all"]] == [10_000_000, 5]


BAD = [
    ("empty.csv", b"", "empty-file", "empty.csv is empty"),
    ("empty.jsonl", b"", "empty-file", "empty.jsonl is empty"),
    ("blank.csv", b"\n\n", "empty-file", "has no header"),
    ("bad.csv", b"text,label\nok,a\ncaf\xe9,b\n", "encoding", r"byte 0xe9 at offset 19, line 3, cannot be decoded"),
    ("bom.csv", b"\xef\xbb\xbftext,label\ncaf\xe9,b\n", "encoding", r"offset 17, line 2"),
    ("cut.jsonl", b'{"text": "a"}\n{"text": "\xc3', "encoding", r"byte 0xc3 at offset 24, line 2"),
    ("returns.csv", b"text\ra\r\xff\r", "encoding", r"offset 7, line 3"),
    ("late.csv", b"text\n" + b"x" * 1023 * 1024 + b"\n" * 1025 + b"\xff\n", "encoding", r"offset 1048582, line 1027"),
    ("split.csv", b"a\n" + b"x" * ((1 << 20) - 3) + b"\xc3\x28\n", "encoding", r"offset 1048575, line 2"),
    ("wide.csv", "text,label\na,b\n".encode("utf-16-be"), "encoding", "looks like UTF-16"),
    ("wider.csv", "text,label\na,b\n".encode("utf-32"), "encoding", "looks like UTF-16 or UTF-32"),
    ("wide.jsonl", '{"text": "a"}\n'.encode("utf-16-le"), "encoding", "looks like UTF-16"),
    ("packed.csv", gzip.compress(b"text\na\n"), "encoding", r"gzip data without \.gz"),
    ("table.csv", b"PAR1 and so on", "encoding", "format=parquet"),
    ("cut.csv.gz", gzip.compress(b"text\n" + os.urandom(5000).hex().encode())[:-500], "gzip", "is truncated"),
    ("plain.csv.gz", b"text\na\n", "gzip", "no whole gzip file"),
    ("ragged.csv", b'a,b\n"1\n1",2\n3\n', "ragged-row", "line 4 has 1 fields and the header has 2"),
    ("long.csv", b"a,b\n1,2,3\n", "ragged-row", "line 2 has 3 fields"),
    ("open.csv", b'a,b\n1,2\n3,"4\n5,6\n', "unclosed-quote", "opens in the row at line 3 is not closed"),
    ("twice.csv", b"a,b,a\n1,2,3\n", "duplicate-column", "two columns named 'a'"),
    ("many.csv", b",".join(b"%d" % n for n in range(10**6)) + b"\n", "columns", "1000000 columns: allowed are"),
    ("bad.jsonl", b'{"text": "a"}\n{"text": \n', "malformed-json", "bad.jsonl line 2 is not JSON"),
    ("list.jsonl", b'{"text": "a"}\n["a"]\n', "not-an-object", "line 2 is JSON but no object"),
    ("nest.jsonl", b'{"text": "a"}\n\n{"text": ["b"]}\n', "nested-value", "line 3: 'text' holds a list"),
    ("deep.jsonl", b"[" * 100_000, "malformed-json", "line 1"),
    ("twice.jsonl", b'{"a": 1, "a": 2}\n', "malformed-json", "a key stands twice"),
    ("nan.jsonl", b'{"a": NaN}\n', "malformed-json", "NaN is no JSON number"),
    ("digits.jsonl", b'{"a": ' + b"9" * 5000 + b"}\n", "malformed-json", "line 1"),
    ("array.jsonl", b'[\n{"a": 1}\n]\n', "malformed-json", "line 1"),
    ("keys.jsonl", b"".join(b'{"k%d": 1}\n' % n for n in range(10_001)), "columns", "more than 10000 different keys"),
    ("void.jsonl", b"{}\n", "columns", "0 columns"),
    ("bad.parquet", b"PAR1 and so on PAR1", "parquet", "bad.parquet is no readable Parquet file"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "rule", "sentence"), BAD, ids=[case[0] for case in BAD])
def test_a_bad_file_is_refused_with_its_place(
    tmp_path: Path, name: str, content: bytes, rule: str, sentence: str
) -> None:
    path = made(tmp_path, name, content)
    with pytest.raises(DataError, match=sentence) as caught:
        read(files_of(path), tmp_path)
    assert caught.value.rule == rule
    assert caught.value.exit_code == 65
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_quote_that_never_closes_does_not_fill_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune.data.sources.delimited.LONGEST_LINE", 1 << 16)
    path = made(tmp_path, "open.csv", 'a,b\n1,"' + "x\n" * (1 << 16))
    with pytest.raises(DataError, match="opens in the row at line 2 is not closed"):
        read(files_of(path), tmp_path)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune.data.sources.text_lines.LONGEST_LINE", 1 << 21)
    path = made(tmp_path, "a.jsonl", '{"text": "' + "x" * (1 << 22))
    with pytest.raises(DataError, match="line of more than 2 Mi characters"):
        read(files_of(path), tmp_path)


def test_parquet_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    wrong = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"], pa.binary()).buffers())
    pq.write_table(pa.table({"text": wrong}), path)
    with pytest.raises(DataError, match=r"a\.parquet is no readable"):
        read(files_of(path), tmp_path)


def test_the_encoding_of_the_recipe_counts(tmp_path: Path) -> None:
    path = made(tmp_path, "a.csv", "text\ncafé\n".encode("cp1252"))
    assert read(files_of(path), tmp_path, encoding="cp1252")[0]["all"] == [{"text": "café"}]
    japanese = made(tmp_path, "b.csv", "text\n表示\n".encode("shift_jis"))
    assert read(files_of(japanese), tmp_path, encoding="shift_jis")[0]["all"] == [{"text": "表示"}]


@pytest.mark.parametrize(
    "encoding", ["utf-32", "utf-7", "base64", "utf9", "unicode_escape", "raw_unicode_escape", "a\0b", "cp037"]
)
def test_an_encoding_that_cannot_be_cut_into_lines_is_refused(tmp_path: Path, encoding: str) -> None:
    path = made(tmp_path, "a.csv", "text\na\n")
    with pytest.raises(ConfigError, match=r"data.encoding .* cannot be read: allowed are") as caught:
        read(files_of(path), tmp_path, encoding=encoding)
    assert caught.value.exit_code == 78


def test_a_missing_file_is_bad_data_at_once(tmp_path: Path) -> None:
    for address in ("missing.csv", str(tmp_path / "*.csv"), str(tmp_path)):
        with pytest.raises(DataError, match="name a file") as caught:
            identify(files_of(address), {})
        assert caught.value.rule == "missing-file"
        assert address in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_bad_data(tmp_path: Path) -> None:
    path = made(tmp_path, "a.csv", "text\na\n")
    path.chmod(0)
    with pytest.raises(DataError, match=r"a\.csv cannot be read"):
        identify(files_of(path), {})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "a.txt"}, "suffix of a.txt does not say what it is"),
        ({"name": "ftp://host/a.csv"}, "ftp://… cannot be read: allowed are"),
    ],
)
def test_what_cannot_be_read_as_asked_is_a_configuration_error(
    tmp_path: Path, values: dict[str, str], sentence: str
) -> None:
    address = values["name"] if "://" in values["name"] else made(tmp_path, values["name"], "text\na\n")
    with pytest.raises(ConfigError, match=sentence):
        read(files_of(address), tmp_path)


def test_the_format_may_be_stated(tmp_path: Path) -> None:
    path = made(tmp_path, "a.txt", "text\na\n")
    assert read(files_of(path, format="csv"), tmp_path)[0] == {"all": [{"text": "a"}]}


def test_splits_and_globs(tmp_path: Path) -> None:
    for name in ("t2.jsonl", "t1.jsonl"):
        made(tmp_path, name, json.dumps({"text": name, "label": 1}) + "\n")
    test = made(tmp_path, "v.jsonl", '{"text": "v"}\n')
    source = source_of(kind="files", paths={"train": str(tmp_path / "t*.jsonl"), "test": str(test)})
    rows, facts = read(source, tmp_path)
    assert [row["text"] for row in rows["train"]] == ["t1.jsonl", "t2.jsonl"]
    assert rows["test"] == [{"text": "v"}]
    assert [fact.name for fact in facts.files] == ["t1.jsonl", "t2.jsonl", "v.jsonl"]


def test_files_of_one_split_must_have_the_same_columns(tmp_path: Path) -> None:
    first, other = made(tmp_path, "a.csv", "text,label\na,b\n"), made(tmp_path, "b.csv", "text,topic\na,b\n")
    swapped = made(tmp_path, "c.csv", "label,text\nd,c\n")
    with pytest.raises(DataError, match=r"b\.csv and a\.csv belong to one split and have different columns"):
        read(files_of(first, other), tmp_path)
    rows, _ = read(files_of(first, swapped), tmp_path)
    assert rows["all"] == [{"text": "a", "label": "b"}, {"text": "c", "label": "d"}]


def test_the_identity_is_the_content_wherever_it_lies(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    here, there = (made(tmp_path / folder, "a.csv", "text\na\n") for folder in ("one", "two"))
    before = identify(files_of(here), {})
    assert before == identify(files_of(there), {})
    assert before is not None
    assert before.startswith("sha256:")
    assert before != identify(files_of(made(tmp_path, "b.csv", "text\na\n")), {})
    made(tmp_path / "one", "a.csv", "text\nb\n")
    assert before != identify(files_of(here), {})
    both = source_of(kind="files", paths={"train": str(here), "test": str(there)})
    swapped = source_of(kind="files", paths={"train": str(there), "test": str(here)})
    assert identify(both, {}) != identify(swapped, {})


def test_identity_imports_nothing_heavy(tmp_path: Path) -> None:
    made(tmp_path, "a.csv", "text\na\n")
    program = (
        "import sys\n"
        "from kubetune.config.data_sources import FilesData, PackageData\n"
        "from kubetune.data.sources import identify\n"
        "identify(FilesData(paths={'all': 'a.csv'}), {})\n"
        "identify(PackageData(distribution='pydantic', path='pydantic/main.py'), {})\n"
        "found = {'pyarrow', 'pandas', 'torch', 'datasets', 'minio'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)

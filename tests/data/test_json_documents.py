"""JSON that is not one object a line: read in pieces, and what is no table is refused with what to do."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from data.reading import files_of, read
from kubetune.data.sources import json_documents, text_lines
from kubetune.errors import DataError

ROWS = [
    {"text": 'a "b" \\ [{', "label": 1, "score": 0.25, "sure": True, "note": None},
    {"text": "Zeile\nzwei é 😀 \u2028", "label": 2, "score": 1.0, "sure": False, "note": "n"},
    {"text": "", "label": 3, "score": 1e-9, "sure": True, "note": None},
]
ARRAY = "an array of objects"
SEQUENCE = "objects one after another"
LAYOUTS = {
    "array": (json.dumps(ROWS), ARRAY),
    "pretty array": (json.dumps(ROWS, indent=2), ARRAY),
    "array of escapes": ("\ufeff \r\n" + json.dumps(ROWS, ensure_ascii=False, indent="\t") + "\n", ARRAY),
    "lines": ("\n".join(map(json.dumps, ROWS)), SEQUENCE),
    "pretty objects": ("\n".join(json.dumps(row, indent=4) for row in ROWS) + "\n", SEQUENCE),
    "data": (json.dumps({"data": ROWS}), '{"data": [objects]}'),
    "data among others": (
        json.dumps({"version": "1", "data": ROWS, "meta": {"x": [1]}}, indent=1),
        '{"data": [objects]}',
    ),
}


def made(folder: Path, content: bytes | str, name: str = "a.json") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_every_layout_gives_the_rows_wherever_the_pieces_end(
    tmp_path: Path, layout: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_lines, "CHUNK", piece)
    content, said = LAYOUTS[layout]
    rows, facts = read(files_of(made(tmp_path, content)), tmp_path)
    assert rows["all"] == ROWS
    assert f"a.json: read as {said}" in facts.sentences()


def test_numbers_and_words_are_not_cut_where_a_piece_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    wanted = [
        {"n": draw.randrange(10**15), "f": draw.random(), "t": "\ud83d\ude00".join("ab"), "b": None} for _ in range(40)
    ]
    for piece in (1, 2, 5, 7, 31):
        monkeypatch.setattr(text_lines, "CHUNK", piece)
        for content in (
            json.dumps({"version": 123456, "data": wanted}),
            json.dumps(wanted),
            "".join(map(json.dumps, wanted)),
        ):
            rows, _ = read(files_of(made(tmp_path, content)), tmp_path)
            assert rows["all"] == json.loads(json.dumps(wanted))


def test_packed_wide_and_named_as_json(tmp_path: Path) -> None:
    content = json.dumps([{"text": "é"}], ensure_ascii=False)
    packed = made(tmp_path, gzip.compress(content.encode()), "a.json.gz")
    wide = made(tmp_path, content.encode("utf-16"), "b.json")
    latin = made(tmp_path, content.encode("latin-1"), "c.txt")
    assert read(files_of(packed), tmp_path)[0]["all"] == [{"text": "é"}]
    assert read(files_of(wide), tmp_path)[0]["all"] == [{"text": "é"}]
    assert read(files_of(latin, format="json"), tmp_path, encoding="latin-1")[0]["all"] == [{"text": "é"}]


def test_types_and_lone_surrogates_are_those_of_json_lines(tmp_path: Path) -> None:
    path = made(tmp_path, '[{"a": 1, "t": "x\\ud800"}, {"a": 0.5}, {"b": true}]')
    rows, facts = read(files_of(path), tmp_path)
    assert rows["all"] == [
        {"a": 1.0, "t": "x\ufffd", "b": None},
        {"a": 0.5, "t": None, "b": None},
        {"a": None, "t": None, "b": True},
    ]
    assert facts.surrogates == 1


BAD: dict[str, tuple[str, str, str]] = {
    "columns": ('{"text": ["a", "b"], "label": [0, 1]}', "json-layout", "line 1 has a list in 'text': allowed are"),
    "pandas": ('{\n"text": {"0": "a"}}', "json-layout", "line 2 has an object in 'text'"),
    "splits": ('{"train": [{"text": "a"}]}', "json-layout", "a list in 'train'"),
    "scalar": ("3", "json-layout", "does not begin with an object or an array"),
    "array of lists": ('[\n["a", 1]]', "not-an-object", "line 2 has something else than an object"),
    "array of texts": ('["a"]', "not-an-object", "line 1"),
    "nested": ('[{"t": "a"},\n{"t": {"x": 1}}]', "nested-value", "line 2: 't' holds an object"),
    "nested later": ('{"t": "a"}\n{"t": [1]}', "nested-value", "line 2: 't' holds a list"),
    "cut": ('[{"text": "a"},\n{"text": "b', "malformed-json", "line 2 is not JSON"),
    "cut after a row": ('[{"text": "a"}\n', "malformed-json", "line 2 is not JSON (`,` or `]` is expected and the end"),
    "no comma": ('[{"text": "a"}\n{"text": "b"}]', "malformed-json", "line 2 is not JSON (`,` or `]` is expected"),
    "trailing comma": ('[{"text": "a"},\n]', "not-an-object", "line 2"),
    "two arrays": ('[{"text": "a"}]\n[{"text": "b"}]', "malformed-json", "line 2 has something after the end"),
    "after data": ('{"data": [{"text": "a"}]}\n{"text": "b"}', "malformed-json", "line 2 has something after the end"),
    "comma between": ('{"text": "a"},\n{"text": "b"}', "malformed-json", "line 1 has something after the end"),
    "twice": ('[{"text": "a"},\n{"a": 1, "a": 2}]', "malformed-json", "a key stands twice in one object"),
    "twice at first": ('{"a": 1,\n "a": 2}', "malformed-json", "line 2 has a key twice"),
    "nan": ('[{"a": NaN}]', "malformed-json", "NaN is no JSON number"),
    "no name": ("{a: 1}", "malformed-json", "has no name in quotes"),
    "deep": ('[{"a": ' + "[" * 100_000, "malformed-json", "line 1 is not JSON"),
    "broken inside": ('[{"text": "a"},\n{"text" "b"}, ' + '{"text": "c"},' * 99 + "]", "malformed-json", "line 2"),
    "nothing": ("[]", "no-rows", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in BAD if name != "nothing"])
@pytest.mark.parametrize("piece", [2, 1 << 20])
def test_what_is_no_table_is_refused_with_its_line(
    tmp_path: Path, name: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_lines, "CHUNK", piece)
    content, rule, sentence = BAD[name]
    with pytest.raises(DataError) as caught:
        read(files_of(made(tmp_path, content)), tmp_path)
    assert caught.value.rule == rule
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_memory_holds_an_object_and_not_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_documents, "LONGEST_LINE", 1 << 16)
    monkeypatch.setattr(text_lines, "CHUNK", 1 << 12)
    rows: list[dict[str, Any]] = [{"text": "x" * 2000, "n": number} for number in range(200)]
    assert len(read(files_of(made(tmp_path, json.dumps(rows))), tmp_path)[0]["all"]) == 200
    with pytest.raises(DataError, match="line 2 begins an object of more than 0 Mi characters"):
        read(files_of(made(tmp_path, '[\n{"text": "' + "x" * (1 << 18))), tmp_path)


def test_json_lines_say_what_reads_other_json(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.source\.format=json"):
        read(files_of(made(tmp_path, '[\n{"a": 1}\n]', "a.jsonl")), tmp_path)
    with pytest.raises(DataError, match=r"data\.source\.format=json for an array"):
        read(files_of(made(tmp_path, '[{"a": 1}]', "a.jsonl")), tmp_path)
    path = made(tmp_path, '{\n"a": 1\n}\n{"a": 2}', "a.jsonl")
    assert read(files_of(path, format="json"), tmp_path)[0]["all"] == [{"a": 1}, {"a": 2}]


STIX = '{"meta": {"rows": [{"a": 0}], "b": [1]}, "rows": [{"a": 1}, {"a": 2}], "rest": [[3]]}'


def test_rows_lie_under_the_key_that_the_recipe_names(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(STIX)
    rows, facts = read(files_of(tmp_path / "x.json", records="rows"), tmp_path)
    assert rows["all"] == [{"a": 1}, {"a": 2}]
    assert facts.sentences() == ["x.json: read as the objects under 'rows'"]


@pytest.mark.parametrize(
    ("text", "records", "sentence"),
    [
        (STIX, "none", "has no list of objects under 'none', which data.source.records names"),
        ('{"rows": {"a": 1}}', "rows", "has no list of objects under 'rows'"),
        ('[{"a": 1}]', "rows", "does not begin with an object"),
        ('{"rows": [1]}', "rows", "something else than an object where a row must be"),
        ('{"rows": [{"a": 1}]', "rows", "is not JSON"),
        ('{"rows": [{"a": 1}]} {"rows": []}', "rows", "something after the end of its rows"),
    ],
)
def test_a_key_without_rows_is_named(text: str, records: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read(files_of(tmp_path / "x.json", records=records), tmp_path)

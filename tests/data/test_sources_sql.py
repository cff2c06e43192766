"""Rows of a query, from a real SQLite database."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from data.reading import read, source_of
from kubetune.data.sources import identify
from kubetune.errors import ConfigError, DataError, KubetuneError, TemporaryError


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "rows.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table rows (body text, stars integer, score real, part text)")
        values = [(f"text {n}: 100%", n % 5, n / 2, ("train", "validation", "test")[n % 3]) for n in range(50)]
        connection.executemany("insert into rows values (?, ?, ?, ?)", values)
        connection.execute("insert into rows values (null, null, null, 'train')")
    return path


def sql(database: Path, query: str, **values: object):
    return source_of(kind="sql", url=f"sqlite:///{database}", query=query, **values)


def test_rows_come_in_chunks_with_their_types(tmp_path: Path, database: Path) -> None:
    source = sql(
        database, "select body, stars, score from rows where body not like ':x%' or body is null", chunk_rows=7
    )
    rows, facts = read(source, tmp_path)
    assert len(rows["all"]) == 51
    assert rows["all"][3] == {"body": "text 3: 100%", "stars": 3, "score": 1.5}
    assert rows["all"][50] == {"body": None, "stars": None, "score": None}
    assert facts.identity is None
    assert identify(source, {}) is None
    again, _ = read(sql(database, source.query, chunk_rows=1000), tmp_path)
    assert again == rows


def test_a_column_may_say_the_split(tmp_path: Path, database: Path) -> None:
    rows, _ = read(sql(database, "select * from rows", split_column="part"), tmp_path)
    assert {split: len(found) for split, found in rows.items()} == {"train": 18, "validation": 17, "test": 16}
    assert set(rows["train"][0]) == {"body", "stars", "score"}


def test_the_address_may_come_from_settings(tmp_path: Path, database: Path) -> None:
    source = source_of(kind="sql", query="select body from rows limit 1")
    rows, _ = read(source, tmp_path, sql_url=f"sqlite:///{database}")
    assert rows == {"all": [{"body": "text 0: 100%"}]}
    with pytest.raises(ConfigError, match="KUBETUNE_SQL_URL"):
        read(source, tmp_path)


@pytest.mark.parametrize(
    ("query", "error", "sentence"),
    [
        ("select absent from rows", ConfigError, "no such column: absent"),
        ("selec body from rows", ConfigError, "no SELECT"),
        ("delete from rows", ConfigError, "no SELECT"),
        ("with x as (select 1) delete from rows", ConfigError, "attempt to write"),
        ("select body, stars as body from rows", DataError, "two columns named 'body'"),
        ("select x'00ff' as body", DataError, "holds bytes that are no UTF-8 text"),
    ],
)
def test_bad_queries_are_refused_and_change_nothing(
    tmp_path: Path, database: Path, query: str, error: type[KubetuneError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        read(sql(database, query), tmp_path)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("select count(*) from rows").fetchone() == (51,)


def test_bytes_that_are_text_are_read_and_noted(tmp_path: Path, database: Path) -> None:
    rows, facts = read(sql(database, "select cast('café' as blob) as body, 1 as stars"), tmp_path)
    assert rows == {"all": [{"body": "café", "stars": 1}]}
    assert facts.decoded == {"body"}


def test_comments_may_precede_the_query(tmp_path: Path, database: Path) -> None:
    rows, _ = read(sql(database, "-- all of them\n/* really */ SELECT body FROM rows"), tmp_path)
    assert len(rows["all"]) == 51


@pytest.mark.parametrize(
    ("column", "sentence"), [("nowhere", "no column 'nowhere'"), ("body", "split column holds 'text 0: 100%'")]
)
def test_a_split_column_must_exist_and_hold_splits(tmp_path: Path, database: Path, column: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read(sql(database, "select * from rows", split_column=column), tmp_path)


@pytest.mark.parametrize(
    ("url", "error", "sentence"),
    [
        ("nosuch://host/db", ConfigError, "No driver for nosuch"),
        ("not a url hunter2", ConfigError, "no SQLAlchemy URL"),
        ("sqlite:///missing.db", DataError, "missing.db does not exist"),
    ],
)
def test_an_address_that_cannot_be_used_says_why(
    tmp_path: Path, url: str, error: type[KubetuneError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence) as caught:
        read(source_of(kind="sql", url=url, query="select 1"), tmp_path)
    assert "hunter2" not in str(caught.value)
    assert not Path("missing.db").exists()


def test_a_database_that_does_not_answer_is_tried_again(tmp_path: Path) -> None:
    broken = tmp_path / "folder.db"
    broken.mkdir()
    with pytest.raises(TemporaryError, match="does not answer"):
        read(source_of(kind="sql", query="select 1 as text"), tmp_path, sql_url=f"sqlite:///file:{broken}?uri=true")

"""One query that only reads, whatever the database: found in the text, in linear time."""

import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from data.reading import read, source_of
from kubetune.data.bounds import SourceBounds
from kubetune.data.sources.sql_text import check_query
from kubetune.errors import ConfigError, DataError

ONE = [
    "select 1",
    "SELECT 1;",
    " -- c\n/* x; y */ select 1 ; -- end; of it",
    "select ';' as a, 'it''s; ok' from t",
    "with x as (select 1) select * from x",
    "(select 1) union (select 2)",
    'select ";" from t',
    "select `a;b` from t",
    "-- don't; do\nselect 1",
    "select * from t where a like '%;%' and b = 'x'",
    "select a -- it's; fine\nfrom t",
    "select '\\\\' as a",
    "select a # b\nfrom t",
    "select 5 - -1",
    "/* it's */ select 1",
    "select 'into' as into_x, \"into\" from t",
    "select a#>>'{b}', $1 from t",
]
MORE = [
    "SELECT 1; COMMIT; DELETE FROM rows",
    "select 1;delete from t",
    "; select 1",
    "select 'a\\'; delete from t; -- '",
    'select "a\\"; delete from t -- "',
    "select '\\\\'; delete from t",
    "select 5--1; delete from t",
    "select 1 # '\n; delete from t",
    "select $$'$$; delete from t --'",
    "select $a$'$a$; delete from t --'",
    "select 1 /* /* */ ; delete from t -- */",
    "select 1 -- x\r; delete from t",
]
WRITES = [
    "select 1 into outfile '/tmp/x'",
    "select * INTO/**/DUMPFILE 'x' from t",
    "select * into new from t",
    "with x as (select 1) select * into new from x",
]
NO_SELECT = [
    "insert into t values (1)",
    "delete from t",
    "",
    "  ",
    "-- only",
    "explain select 1",
    "selec 1",
    "call x()",
    ")",
]
HARD = [
    "/**/" * 16_000, "--\n" * 20_000 + "x", "/* " * 20_000, "-- \n/**/" * 8000, "'" * 60_000, "$a$" * 20_000,
    "(" * 60_000, "select " + "\\'" * 28_000, "select 1" + " " * 60_000 + ";x", "#--/*$$\\\r'\"`" * 5000,
    "a" * 60_000, "$" * 60_000,
]  # fmt: skip


@pytest.mark.parametrize("query", ONE)
def test_one_query_is_taken(query: str) -> None:
    check_query(query)


@pytest.mark.parametrize("query", MORE)
def test_a_second_statement_is_refused_in_every_databases_reading(query: str) -> None:
    with pytest.raises(ConfigError, match=r"more than one statement|no SELECT"):
        check_query(query)


@pytest.mark.parametrize("query", WRITES)
def test_what_writes_files_or_tables_is_refused(query: str) -> None:
    with pytest.raises(ConfigError, match="INTO, which writes"):
        check_query(query)


def test_a_comment_that_is_run_is_refused() -> None:
    for query in ("select 1 /*! into outfile '/tmp/x' */", "select 1 /*M!100000 union select 2 */"):
        with pytest.raises(ConfigError, match="that some databases run"):
            check_query(query)


@pytest.mark.parametrize("query", NO_SELECT)
def test_anything_else_is_no_select(query: str) -> None:
    with pytest.raises(ConfigError, match="is no SELECT"):
        check_query(query)


def test_no_text_takes_long() -> None:
    """In a process whose CPU seconds are bounded: a pattern that backtracked took minutes for such texts."""
    program = (
        "from data.test_sql_text import HARD\nfrom kubetune.data.sources.sql_text import check_query\n"
        "from kubetune.errors import ConfigError\n"
        "for query in HARD:\n    try:\n        check_query(query)\n    except ConfigError:\n        pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (30, 30)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture
def database(tmp_path: Path) -> str:
    with closing(sqlite3.connect(tmp_path / "rows.db")) as connection, connection:
        connection.execute("create table rows (text)")
        connection.executemany("insert into rows values (?)", [("x" * 10,)] * 100)
    return f"sqlite:///{tmp_path}/rows.db"


def test_nothing_is_changed_by_any_of_them(tmp_path: Path, database: str) -> None:
    for query in (*MORE, *WRITES):
        with pytest.raises(ConfigError):
            read(source_of(kind="sql", url=database, query=query), tmp_path)
    with closing(sqlite3.connect(tmp_path / "rows.db")) as connection:
        assert connection.execute("select count(*) from rows").fetchone() == (100,)


def test_large_rows_are_fetched_few_at_a_time(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import CursorResult

    asked: list[int] = []
    fetch = CursorResult.fetchmany
    monkeypatch.setattr(CursorResult, "fetchmany", lambda self, size: asked.append(size) or fetch(self, size))
    counted = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)"
    query = counted + " select hex(zeroblob({})) as t from n"
    source = source_of(kind="sql", url=database, query=query.format(8))
    assert len(read(source, tmp_path)[0]["all"]) == 3000
    assert max(asked) > 1000
    asked.clear()
    monkeypatch.setattr("kubetune.data.sources.sql.CHUNK_BYTES", 50_000)
    assert len(read(source_of(kind="sql", url=database, query=query.format(2000)), tmp_path)[0]["all"]) == 3000
    assert max(asked) <= 16


def test_a_result_has_a_largest_size(tmp_path: Path, database: str) -> None:
    source = source_of(kind="sql", url=database, query="select a.text from rows a, rows b")
    with pytest.raises(DataError, match="KUBETUNE_SOURCE_MAX_BYTES"):
        read(source, tmp_path, bounds=SourceBounds(most_bytes=100_000))

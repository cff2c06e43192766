"""Source `sql`: the rows of one SELECT, read in chunks.

A query can be read only once and the types of its values are known only at its end, so its rows lie as JSON lines in
scratch meanwhile and get their types by the same rules as a JSON lines file.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kubetune.config.data_sources import SqlData
from kubetune.data.bounds import SourceBounds, bounds_of, check_allowed, check_host, check_size
from kubetune.data.cells import cell_text
from kubetune.data.sources.base import Facts, Reading, is_file
from kubetune.data.sources.sql_text import check_query
from kubetune.errors import ConfigError, DataError, TemporaryError
from kubetune.redaction import quoted, redact

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

SPLITS = ("train", "validation", "test", "unsupervised")
CHUNK_BYTES = 32 << 20
"""Bytes of the rows that are fetched at a time, as far as the rows before them tell."""
FIRST_ROWS = 16
READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON",),
    # The session too: what ended the transaction would begin another one.
    "postgresql": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET TRANSACTION READ ONLY"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY",),
    "mariadb": ("SET SESSION TRANSACTION READ ONLY",),
}
"""What makes a connection refuse to write: a WITH may hold a DELETE. Whatever it does is never committed either."""
ELSEWHERE = frozenset({"host", "hostaddr", "service", "unix_socket", "odbc_connect", "dsn", "uri", "read_default_file"})
"""Parameters of a URL that say where the database is, past its host."""


def identify(source: SqlData, platform: Mapping[str, Any]) -> str | None:
    """Return None: only reading a query again tells whether its rows changed."""
    return None


def read(source: SqlData, encoding: str, platform: Mapping[str, Any], scratch: Path) -> Reading:
    """Return the rows of the query.

    Raises:
        ConfigError: There is no usable URL or driver, or the database refuses the query.
        DataError: A value is no text (bytes, lists), a column is named twice, or the split column holds something else.
        TemporaryError: The database does not answer.
    """
    from kubetune.data.sources.dialect import Dialect
    from kubetune.data.sources.tables import TableFile, TableReader

    if encoding != "utf-8":
        raise ConfigError(f"data.encoding {encoding!r:.60} cannot be used with a query: leave it utf-8.")
    check_allowed("sql", "A database", platform)
    check_query(source.query)
    engine, facts = _engine(_url(source, platform)), Facts()
    try:
        splits = _spool(engine, source, scratch, bounds_of(platform), facts.decoded)
    finally:
        engine.dispose()
    files = [TableFile(split, f"{split}.jsonl", scratch / f"{split}.jsonl") for split in splits]
    return Reading(TableReader(Dialect("jsonl"), scratch, facts, bounds_of(platform)).read(files), facts)


def _url(source: SqlData, platform: Mapping[str, Any]) -> "URL":
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    given = source.url or platform.get("sql_url")
    if not given:
        raise ConfigError("The sql source has no address: set data.source.url, or KUBETUNE_SQL_URL with its password.")
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "The address of the sql source is no SQLAlchemy URL: allowed is dialect[+driver]://user@host:port/database."
        ) from None
    if source.url:
        _check_place(url, platform)
    in_file = url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}
    if in_file and not str(url.database).startswith("file:") and not is_file(Path(str(url.database))):
        raise DataError("missing-file", f"Database {url.database:.300} does not exist: name an existing file.")
    return url


def _check_place(url: "URL", platform: Mapping[str, Any]) -> None:
    """Refuse a recipe's database that is a file or process of this machine, where recipes may not read those.

    Raises:
        ConfigError: It is one, or where it is does not follow from its host.
    """
    if not url.host or ELSEWHERE & {name.lower() for name in url.query}:
        check_allowed("path", f"A database of {url.drivername} that no host names", platform)
    else:
        check_host(url.host, f"The database at {quoted(url.host)}", platform)


def _engine(url: "URL") -> "Engine":
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError

    try:
        return create_engine(url)
    except (NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"No driver for {url.drivername} is installed ({str(error).splitlines()[0]:.120}): install it, or name "
            "another one as dialect+driver."
        ) from None


def _spool(engine: "Engine", source: SqlData, scratch: Path, bounds: SourceBounds, decoded: set[str]) -> list[str]:
    """Write the rows of each split as JSON lines; returns the splits, and adds to `decoded` what columns hold bytes."""
    from kubetune.data.sources.batches import check_columns

    opened: dict[str, TextIO] = {}
    with _errors(), ExitStack() as files, engine.connect() as connection:
        for statement in READ_ONLY.get(engine.dialect.name, ()):
            connection.exec_driver_sql(statement)
        # Without parameters no driver reads a `%` of the query as one.
        chunked = {"stream_results": True, "max_row_buffer": FIRST_ROWS, "no_parameters": True}
        result = connection.exec_driver_sql(source.query, execution_options=chunked)
        columns = list(result.keys())
        check_columns(columns, "The query's result")
        place = _place_of(source.split_column, columns)
        size = 0
        for row in _fetched(result, source.chunk_rows):
            split = "all" if place is None else _split(row[place])
            if split not in opened:
                stream = (scratch / f"{split}.jsonl").open("w", encoding="ascii")
                opened[split] = files.enter_context(stream)
            size += opened[split].write(_line(columns, row, place, decoded))
            check_size(size, "The query's result", bounds)
    return [name for name in ("all", *SPLITS) if name in opened]


def _fetched(result: Any, most: int) -> Iterator[Any]:
    """Yield rows, fetched at most `most` at a time and fewer where they are large."""
    wanted = min(FIRST_ROWS, most)
    while rows := result.fetchmany(wanted):
        yield from rows
        largest = max(sum(len(value) for value in row if isinstance(value, str | bytes)) for row in rows)
        wanted = max(1, min(4 * wanted, most, CHUNK_BYTES // max(largest, 1)))


def _place_of(column: str | None, columns: Sequence[str]) -> int | None:
    if column is None:
        return None
    if column not in columns:
        raise DataError(
            "missing-column", f"The query's result has no column {column!r:.80}: it has {', '.join(columns):.400}."
        )
    return columns.index(column)


def _split(value: Any) -> str:
    if value not in SPLITS:
        raise DataError(
            "unknown-split", f"The split column holds {value!r:.80}: allowed are {', '.join(SPLITS)}, lower case."
        )
    return str(value)


def _line(columns: Sequence[str], row: Sequence[Any], without: int | None, binary: set[str]) -> str:
    pairs = list(zip(columns, row, strict=True))
    binary |= {name for name, value in pairs if isinstance(value, bytes | bytearray | memoryview)}
    kept = {name: _plain(name, value) for place, (name, value) in enumerate(pairs) if place != without}
    return json.dumps(kept) + "\n"


def _plain(column: str, value: Any) -> Any:
    """Return a value as JSON has it; what JSON has not becomes its usual notation."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return cell_text(value, column)


@contextmanager
def _errors() -> Iterator[None]:
    from sqlalchemy import exc

    try:
        yield
    except exc.DBAPIError as error:
        message = redact(str(error.orig)).strip()
        reason = message.splitlines()[0][:200] if message else type(error).__name__
        # Before a statement was sent, the failure is of the connection.
        if error.connection_invalidated or error.statement is None:
            raise TemporaryError(
                f"The database does not answer ({reason}): run the same command again when it does, or correct its URL."
            ) from None
        raise ConfigError(f"The database refused the query ({reason}): correct data.source.query.") from None
    except exc.ResourceClosedError:
        raise ConfigError("data.source.query gives no rows to read: allowed is one SELECT.") from None

"""Text files as lines: streamed, strictly decoded, and every refusal says where in the file."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from kubetune.data.bounds import STANDARD, Bounds, check_expansion
from kubetune.data.sources.base import CHUNK
from kubetune.errors import ConfigError, DataError

LONGEST_LINE = 64 << 20
"""Characters of one line or one quoted field. Longer is an unclosed quote or no text file, and must not fill memory."""
MOST_COLUMNS = 10_000
WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
GZIP_MARK, PARQUET_MARK = b"\x1f\x8b", b"PAR1"


def check_encoding(encoding: str) -> str:
    """Return the codec's own name if text in it can be cut at line ends.

    Raises:
        ConfigError: Python has no such codec, or ASCII characters are not single bytes in it.
    """
    # The backslash last and as an escape, so that a codec of escapes gives something else and warns of nothing.
    plain = bytes(range(92)) + bytes(range(93, 128)) + b"\\u0041"
    try:
        name = codecs.lookup(encoding).name
        fits = plain.decode(encoding) == plain.decode("ascii") and name != "idna"
    except (LookupError, UnicodeError, ValueError):
        name, fits = encoding, False
    if not fits:
        raise ConfigError(
            f"data.encoding {encoding!r:.60} cannot be read: allowed are Python codecs that keep ASCII as single bytes "
            "(utf-8, latin-1, cp1252, mac_roman, shift_jis, …); convert other files to UTF-8 first, for example with "
            "iconv."
        )
    return name.removesuffix("-sig")  # the mark is removed anyway


def read_bytes(path: Path, name: str, bounds: Bounds = STANDARD) -> Iterator[bytes]:
    """Stream a file in chunks, unpacked where the name ends in `.gz`.

    Raises:
        DataError: It cannot be read, is no whole gzip file, or becomes far larger than it is.
    """
    size = 0
    try:
        packed = path.stat().st_size
        with gzip.open(path) if name.endswith(".gz") else path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                check_expansion(size, packed, name, bounds)
                yield chunk
    except EOFError:
        raise DataError("gzip", f"{name} is truncated: the gzip stream has no end; copy the file again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError("gzip", f"{name} is no whole gzip file ({error}): repack it, or drop the .gz.") from None
    except OSError as error:
        raise DataError("unreadable-file", f"{name} cannot be read: {error.strerror or error}.") from None


def read_lines(path: Path, name: str, encoding: str, bounds: Bounds = STANDARD) -> Iterator[str]:
    r"""Stream the lines of a text file with their ends (`\n`, `\r\n` or `\r`), a UTF-8 byte order mark removed.

    Raises:
        DataError: It is empty or not in that encoding (names byte and line), or a line is longer than 64 Mi characters.
        ConfigError: There is no such encoding.
    """
    pending = ""
    for text in _decode(path, name, check_encoding(encoding), bounds):
        pending += text
        lines = io.StringIO(pending, newline="").readlines()
        # A \r at the end may be the first half of \r\n.
        pending = lines.pop() if lines and not lines[-1].endswith("\n") else ""
        yield from lines
        if len(pending) > LONGEST_LINE:
            raise DataError(
                "long-line",
                f"{name} has a line of more than {LONGEST_LINE >> 20} Mi characters: a text file of one row a line is "
                "needed.",
            )
    if pending:
        yield pending


def _decode(path: Path, name: str, encoding: str, bounds: Bounds) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    place = _Place(name, encoding)
    for chunk in read_bytes(path, name, bounds):
        data = chunk
        if place.before == 0:
            _check_start(chunk, name)
            if encoding == "utf-8" and chunk.startswith(codecs.BOM_UTF8):
                data = chunk[len(codecs.BOM_UTF8) :]
                place.before = len(codecs.BOM_UTF8)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data)
        except UnicodeDecodeError as error:
            raise place.error(data, error, pending) from None
        place.passed(data)
        yield text
    if place.before == 0:
        raise DataError("empty-file", f"{name} is empty: a file with rows is needed.")
    try:
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise place.error(b"", error, len(error.object)) from None


class _Place:
    """Where in the file decoding has come to."""

    def __init__(self, name: str, encoding: str) -> None:
        self.name = name
        self.encoding = encoding
        self.before = 0  # bytes before the chunk that is being decoded
        self.lines = 0  # line ends in them
        self.ended_in_return = False

    def passed(self, data: bytes) -> None:
        self.lines += self.line_ends(data)
        self.before += len(data)
        self.ended_in_return = data.endswith(b"\r")

    def line_ends(self, data: bytes) -> int:
        split_pair = self.ended_in_return and data.startswith(b"\n")
        return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n") - split_pair

    def error(self, data: bytes, error: UnicodeDecodeError, pending: int) -> DataError:
        """The refusal of a chunk, of whose predecessor the decoder still held `pending` bytes."""
        inside = error.start - pending
        line = 1 + self.lines + self.line_ends(data[: max(inside, 0)])
        return DataError(
            "encoding",
            f"{self.name} is not {self.encoding} throughout: byte 0x{error.object[error.start]:02x} at offset "
            f"{self.before + inside}, line {line}, cannot be decoded ({error.reason}); set data.encoding to the file's "
            "encoding or repair the file.",
        )


def _check_start(chunk: bytes, name: str) -> None:
    """Recognise files that no choice of `data.encoding` would read."""
    head = chunk[:4096]
    if head.startswith(WIDE_MARKS) or head.count(0) * 4 > len(head):
        found = "UTF-16 or UTF-32 text, or binary"
    elif head.startswith(GZIP_MARK):
        found = "gzip data without .gz in its name"
    elif head.startswith(PARQUET_MARK):
        found = "a Parquet file, to be read with format=parquet"
    else:
        return
    raise DataError("encoding", f"{name} looks like {found}: convert it to UTF-8 text, or name it as what it is.")

"""Text files as lines: streamed, strictly decoded, and every refusal says where in the file."""

import codecs
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from kubetune.data.bounds import STANDARD, SourceBounds, check_expansion
from kubetune.data.sources.base import CHUNK, Facts
from kubetune.errors import ConfigError, DataError

LONGEST_LINE = 64 << 20
"""Characters of one line or one quoted field. Longer is an unclosed quote or no text file, and must not fill memory."""
MOST_COLUMNS = 10_000
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
WIDE = frozenset({"utf-16", "utf-16-le", "utf-16-be"})
CONTROLS = re.compile("[\x80-\x9f]")
WIDEST_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
GZIP_MARK, PARQUET_MARK = b"\x1f\x8b", b"PAR1"


def check_encoding(encoding: str) -> str:
    """Return the codec's own name if text in it can be cut at line ends.

    Raises:
        ConfigError: Python has no such codec, or it is not UTF-16 and ASCII characters are not single bytes in it.
    """
    # The backslash last and as an escape, so that a codec of escapes gives something else and warns of nothing.
    plain = bytes(range(92)) + bytes(range(93, 128)) + b"\\u0041"
    try:
        name = codecs.lookup(encoding).name
        fits = name in WIDE or (plain.decode(encoding) == plain.decode("ascii") and name != "idna")
    except (LookupError, UnicodeError, ValueError):
        name, fits = encoding, False
    if not fits:
        raise ConfigError(
            f"data.encoding {encoding!r:.60} cannot be read: allowed are Python codecs that keep ASCII as single bytes "
            "(utf-8, latin-1, cp1252, mac_roman, shift_jis, …) and UTF-16; convert other files to UTF-8 first, for "
            "example with iconv."
        )
    return name.removesuffix("-sig")  # the mark is removed anyway


def read_bytes(path: Path, name: str, bounds: SourceBounds = STANDARD) -> Iterator[bytes]:
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


def read_lines(
    path: Path, name: str, encoding: str, bounds: SourceBounds = STANDARD, facts: Facts | None = None
) -> Iterator[str]:
    r"""Stream the lines of a text file with their ends (`\n`, `\r\n` or `\r`), a byte order mark removed.

    A byte order mark of UTF-8 or UTF-16 says what a file is, whatever `encoding` says.

    Args:
        path: The file.
        name: Its name for messages; `.gz` at its end is unpacked.
        encoding: Its encoding.
        bounds: How much it may become.
        facts: Where it is kept that a mark overruled `encoding`.

    Raises:
        DataError: It is empty or not in that encoding (names byte and line), or a line is longer than 64 Mi characters.
        ConfigError: There is no such encoding.
    """
    pending = ""
    for text in decoded(path, name, encoding, bounds, facts):
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


def decoded(
    path: Path, name: str, encoding: str, bounds: SourceBounds = STANDARD, facts: Facts | None = None
) -> Iterator[str]:
    """Stream the text of a file in pieces; arguments and errors are those of `read_lines`."""
    wanted = check_encoding(encoding)
    chunks = read_bytes(path, name, bounds)
    first = next(chunks, b"")
    if not first:
        raise DataError("empty-file", f"{name} is empty: a file with rows is needed.")
    mark, found = _check_start(first, name, wanted)
    if found != wanted and facts is not None:
        facts.decided(name, f"read as {found}, as its byte order mark says, and not as {wanted}")
    decoder = codecs.getincrementaldecoder(found)("strict")
    place = _Place(name, found, before=len(mark))
    doubt = _Doubt(found)
    for data in itertools.chain([first[len(mark) :]], chunks):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data)
        except UnicodeDecodeError as error:
            raise place.error(error, pending) from None
        place.passed(data, text)
        doubt.look(data, text)
        yield text
    try:
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise place.error(error, len(error.object)) from None
    if facts is not None and (sentence := doubt.sentence()):
        facts.decided(name, sentence)


class _Doubt:
    """Whether text in an encoding that takes any byte was written in another one."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.ascii = True
        self.controls = 0  # U+0080 to U+009F, which no text has and cp1252 has quotes, dashes and the euro for
        plain = encoding.startswith("utf")
        self.as_utf_8 = None if plain else codecs.getincrementaldecoder("utf-8")("strict")

    def look(self, data: bytes, text: str) -> None:
        if self.encoding == "iso8859-1":
            self.controls += len(CONTROLS.findall(text))
        if self.as_utf_8 is not None:
            self.ascii = self.ascii and data.isascii()
            try:
                self.as_utf_8.decode(data)
            except UnicodeDecodeError:
                self.as_utf_8 = None

    def sentence(self) -> str:
        """Say what to try; nothing where there is no doubt."""
        if self.as_utf_8 is not None and not self.ascii and not self.as_utf_8.getstate()[0]:
            return (
                f"read as {self.encoding}, and each of its bytes fits utf-8: is it that? then set data.encoding=utf-8"
            )
        if self.controls:
            found = f"{self.controls:,} control characters, as of a file in cp1252"
            return f"{found}: is it that? then set data.encoding=cp1252"
        return ""


class _Place:
    """Where in the file decoding has come to."""

    def __init__(self, name: str, encoding: str, before: int) -> None:
        self.name = name
        self.encoding = encoding
        self.before = before  # bytes before the chunk that is being decoded
        self.lines = 0  # line ends in them
        self.ended_in_return = False
        self.ascii = True

    def passed(self, data: bytes, text: str) -> None:
        self.lines += self.line_ends(text)
        self.before += len(data)
        self.ended_in_return = text.endswith("\r") if text else self.ended_in_return
        self.ascii = self.ascii and text.isascii()

    def line_ends(self, text: str) -> int:
        split_pair = self.ended_in_return and text.startswith("\n")
        return text.count("\n") + text.count("\r") - text.count("\r\n") - split_pair

    def error(self, error: UnicodeDecodeError, pending: int) -> DataError:
        """The refusal of a chunk, of whose predecessor the decoder still held `pending` bytes."""
        before = error.object[: error.start].decode(self.encoding, "ignore")
        return DataError(
            "encoding",
            f"{self.name} is not {self.encoding} throughout: byte 0x{error.object[error.start]:02x} at offset "
            f"{self.before + error.start - pending}, line {1 + self.lines + self.line_ends(before)}, cannot be decoded "
            f"({error.reason}); {self.advice(error, before)}.",
        )

    def advice(self, error: UnicodeDecodeError, before: str) -> str:
        """What to do; a file that was UTF-8 until here is damaged, another has an encoding of its own."""
        if self.encoding == "utf-8" and not (self.ascii and before.isascii()):
            return "what stands before it is UTF-8 with other than ASCII characters: repair that line"
        around = re.split(rb"[\r\n]", error.object[max(error.start - 12, 0) : error.start])[-1]
        around += re.split(rb"[\r\n]", error.object[error.start : error.start + 12])[0]
        try:
            sample = around.decode("cp1252")
        except UnicodeDecodeError:
            sample = ""
        example = f" (data.encoding=cp1252 reads {sample!r} there)" if sample and self.encoding == "utf-8" else ""
        return f"set data.encoding to the file's encoding{example} or repair the file"


def _check_start(chunk: bytes, name: str, wanted: str) -> tuple[bytes, str]:
    """Return the byte order mark and the encoding; refuse files that no choice of `data.encoding` would read."""
    head = chunk[:4096]
    marked = None if head.startswith(WIDEST_MARKS) else next((mark for mark in MARKS if head.startswith(mark)), None)
    if marked is not None:
        return marked, MARKS[marked]
    if wanted in WIDE - {"utf-16"}:
        return b"", wanted
    if head.startswith(GZIP_MARK):
        found = "gzip data without .gz in its name"
    elif head.startswith(PARQUET_MARK):
        found = "a Parquet file, to be read with format=parquet"
    elif wanted in WIDE and head.count(0) * 4 <= len(head):
        found = "no UTF-16 text, as data.encoding says"
    elif head.startswith(WIDEST_MARKS) or head.count(0) * 4 > len(head):
        raise DataError(
            "encoding",
            f"{name} looks like UTF-16 or UTF-32 text without a mark of UTF-16, or binary: set data.encoding to "
            "utf-16-le or utf-16-be if it is that, or convert it to UTF-8 text.",
        )
    else:
        return b"", wanted
    raise DataError("encoding", f"{name} looks like {found}: convert it to UTF-8 text, or name it as what it is.")

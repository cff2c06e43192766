"""Unicode normalisation in linear time.

The standard library sorts the combining marks after a letter by insertion: a text of some million marks takes hours.
Runs are therefore cut by a combining grapheme joiner every 30 marks, which is the Stream-Safe Text Format of
Unicode Standard Annex 15; no written language has runs that long.
"""

import re
import unicodedata
from functools import cache
from typing import Literal

Form = Literal["NFC", "NFKC"]
LONGEST_RUN = 30
LAST_MARK = 0x1FFFF
"""The planes above hold ideographs, variation selectors and private characters, none of which combines."""
JOINER = "\u034f"


def normalize(form: Form, text: str) -> str:
    """Return `text` in the Unicode form; idempotent, linear in its length.

    Args:
        form: `NFC` (composed) or `NFKC` (composed, compatibility characters replaced).
        text: Any string.
    """
    if text.isascii():
        return text
    once = unicodedata.normalize(form, _cut_runs(text))
    # A mark can decompose into two, so the first pass may have lengthened a run; a second one settles it.
    return unicodedata.normalize(form, _cut_runs(once))


def normal_form(text: str) -> str:
    """Return the form in which equal texts are equal: NFKC, case and white space do not count."""
    return " ".join(normalize("NFKC", normalize("NFKC", text).casefold()).split())


def _cut_runs(text: str) -> str:
    return _long_run().sub(lambda run: run.group() + JOINER, text)


@cache
def _long_run() -> re.Pattern[str]:
    """Return a pattern of `LONGEST_RUN` marks that are followed by one more."""
    ranges: list[list[int]] = []
    for code in range(0x300, LAST_MARK + 1):
        if _starts_nothing(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    marks = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
    return re.compile(f"[{marks}]{{{LONGEST_RUN}}}(?=[{marks}])")


def _starts_nothing(character: str) -> bool:
    """Whether the character, or the first of what it decomposes to, is a combining mark."""
    if unicodedata.combining(character):
        return True
    if 0xD800 <= ord(character) <= 0xDFFF or not unicodedata.decomposition(character):
        return False
    return bool(unicodedata.combining(unicodedata.normalize("NFKD", character)[0]))

"""Cleaning steps by name. `prepare` runs them over the data set, the server over each request.

Each step is pure, idempotent and linear in the length of the text, hostile text included. Together they run until none
of them changes what another left, so that a cleaned text cleans to itself under any choice of steps. URLs and mentions
become the plain words that encoders trained on tweets know (`http`, `@user`): they say that something was there without
teaching the model names, and any word-piece vocabulary can spell them.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

from kubetune.errors import ConfigError
from kubetune.text.markup import strip_html
from kubetune.text.unicode_forms import normalize

BLANKLESS = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff"  # Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf"  # Tai Le, New Tai Lue, Tai Tham
    "\ua980-\ua9df"  # Javanese
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b"  # marks that repeat ideographs, and numerals
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Hiragana, Katakana
    "\u3100-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\ua000-\ua4cf"  # Yi
)
"""Inside of a character class: scripts that are written without blanks between words."""

LAST_MARK = 0x1FFFF


@cache
def marks() -> str:
    """Return the inside of a character class: vowel signs and accents, which Python's word class leaves out."""
    ranges: list[list[int]] = []
    for code in range(0x300, LAST_MARK + 1):
        if unicodedata.category(chr(code)) in {"Mn", "Mc"}:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@cache
def spaced_word() -> str:
    """Return a pattern of one letter, mark, digit or underscore of a script that parts words by blanks."""
    return f"(?:(?![{BLANKLESS}])[\\w{marks()}])"


LONGEST_NAME, LONGEST_OPEN_NAME = 30, 8
"""Characters of a name in a script without blanks: before a colon, which ends it for certain, and before a blank."""

ROUNDS = 4
"""Of all steps. A second one is needed where a step makes work for an earlier one: `emoji-spell` writes capitals after
`lower-case`, `html` decodes an address after `urls`. More than a few need markup that was built to hide markup, which
would cost quadratic time without a bound."""


def clean(text: str, steps: Sequence[str]) -> str | None:
    """Return `text` after the named steps, in their order, as often as it takes until none changes it.

    Args:
        text: Any string.
        steps: Names from `STEPS`.

    Returns:
        A text that cleans to itself; None where `ROUNDS` rounds do not lead to one.

    Raises:
        ConfigError: A name is unknown.
    """
    if unknown := [name for name in steps if name not in STEPS]:
        raise ConfigError(f"Cleaning step {unknown[0]!r} does not exist: allowed are {', '.join(STEPS)}.")
    left: dict[str, str] = {}  # what each step left last: a step is idempotent, so the same text need not go through it
    for _ in range(ROUNDS):
        for name in steps:
            if left.get(name) != text:
                text = left[name] = STEPS[name](text)
        if all(cleaned == text for cleaned in left.values()):
            return text
    return None


def compose(text: str) -> str:
    """Unicode NFC: one form for letters that can be written in several."""
    return normalize("NFC", text)


def replace_urls(text: str) -> str:
    """`https://…` and `www.…`, up to the first character that no URL has, become `http`.

    Letters of scripts that part words by blanks may stand in a path (`/wiki/Käse`); in a script without blanks nothing
    else tells where the URL ends and the text goes on.
    """
    return url_pattern().sub("http", text) if "://" in text or "." in text else text


def replace_mentions(text: str) -> str:
    """`@name` becomes `@user`; the `@` of a mail address is none.

    A name ends where a script without blanks begins. A name *in* such a script is replaced only where a colon (at
    most 30 characters on) or white space (at most 8) ends it: elsewhere the rest of the sentence would go with it.
    """
    return mention_pattern().sub("@user", text) if "@" in text else text


def unmark_hashtags(text: str) -> str:
    """`#word` becomes `word`: the word often carries the label, the mark only splits it off."""
    return _hashes().sub("", text) if "#" in text else text


@cache
def url_pattern() -> re.Pattern[str]:
    """Return what `urls` replaces."""
    ascii_part = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]"
    return re.compile(f"(?<![A-Za-z0-9_])(?:https?://|www\\.)(?:{ascii_part}|{spaced_word()})+", re.IGNORECASE)


@cache
def mention_pattern() -> re.Pattern[str]:
    """Return what `mentions` replaces."""
    name = f"[{BLANKLESS}\\w]"
    bounded = f"{name}{{1,{LONGEST_NAME}}}(?=[:\uff1a])|{name}{{1,{LONGEST_OPEN_NAME}}}(?=\\s)"
    return re.compile(f"@(?<!{spaced_word()}@)(?<!@@)(?:{spaced_word()}+|(?=[{BLANKLESS}])(?:{bounded}))")


@cache
def _hashes() -> re.Pattern[str]:
    return re.compile(f"#(?<!{spaced_word()}#)(?<!##)#*(?=\\w)")


def collapse_whitespace(text: str) -> str:
    """Each run of white space (line ends included) becomes one space; none is left at the ends."""
    return " ".join(text.split())


def lower_case(text: str) -> str:
    """Lower case by Unicode's rules."""
    return text.lower()


def keep_emoji(text: str) -> str:
    """Emoji stay, with a space on each side: glued to a word they would make a word piece of both unknown."""
    return _each_emoji(text, lambda emoji, name: emoji)


def spell_emoji(text: str) -> str:
    """Emoji become their English names: `grinning face`."""
    return _each_emoji(text, lambda emoji, name: name.strip(":").replace("_", " "))


def _each_emoji(text: str, write: Callable[[str, str], str]) -> str:
    """Replace each emoji, the longest sequence first, and part it from its neighbours by white space.

    The package's own tokenizer is quadratic on chains of joined emoji, so only its table is used.
    """
    if text.isascii():
        return text
    first, longest, names = _emoji_table()
    pieces: list[str] = []
    done = 0
    for start in (found.start() for found in first.finditer(text)):
        if start < done:
            continue
        size = next((n for n in range(longest[text[start]], 0, -1) if text[start : start + n] in names), 0)
        if size:
            _part(pieces, text[done:start])
            _part(pieces, write(text[start : start + size], names[text[start : start + size]]))
            done = start + size
    _part(pieces, text[done:])
    return "".join(pieces)


def _part(pieces: list[str], piece: str) -> None:
    """Append `piece`, with a space before it unless one of the two sides has white space there."""
    if not piece:
        return
    if pieces and not pieces[-1][-1].isspace() and not piece[0].isspace():
        pieces.append(" ")
    pieces.append(piece)


@cache
def _emoji_table() -> tuple[re.Pattern[str], dict[str, int], dict[str, str]]:
    """Return a pattern of what can begin an emoji, the longest emoji by first character, and each one's name."""
    import emoji

    names = {chars: str(data["en"]) for chars, data in emoji.EMOJI_DATA.items()}
    longest: dict[str, int] = {}
    for chars in names:
        longest[chars[0]] = max(longest.get(chars[0], 0), len(chars))
    first = "".join(sorted(map(re.escape, longest)))
    return re.compile(f"[{first}]"), longest, names


STEPS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "unicode-nfc": compose,
        "html": strip_html,
        "urls": replace_urls,
        "mentions": replace_mentions,
        "hashtags": unmark_hashtags,
        "whitespace": collapse_whitespace,
        "lower-case": lower_case,
        "emoji-keep": keep_emoji,
        "emoji-spell": spell_emoji,
    }
)
"""Every step of `data.cleaning`, by name."""

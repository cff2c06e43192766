"""One form for the name of a class, whether it was written in a recipe, a file or a data set's own description."""

from kubetune.text.unicode_forms import normalize

INVISIBLE = (
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
"""Characters without a width or a sign; inside a name some of them join letters, at its ends they mean nothing."""
BLANK = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""All that `str.split` takes for white space."""
TRUTH = frozenset({"true", "false"})


def label_name(text: str) -> str:
    """Return the name that a label cell holds; names that look alike are equal.

    Unicode NFC, white space and zero-width characters at the ends taken off, runs of white space inside one space.
    Truth values are `true` and `false` in any case, as programs write them differently (`True`, `TRUE`).

    Args:
        text: Any string.
    """
    name = " ".join(normalize("NFC", text).strip(INVISIBLE + BLANK).split())
    return name.lower() if name.lower() in TRUTH else name

"""What a text must not hold. One rule for training rows and for requests, so that both refuse the same."""

import re

NUL = "nul-character"
LONE_SURROGATE = "lone-surrogate"
SURROGATES = re.compile("[\ud800-\udfff]")


def text_problem(text: str) -> str | None:
    """Return the name of the first rule that `text` breaks, or None.

    Args:
        text: Any string, also one that cannot be encoded as UTF-8.

    Returns:
        `nul-character` (U+0000, which many stores and C libraries cut at), `lone-surrogate` (half of a UTF-16
        pair: not a character, tokenizers raise on it), or None.
    """
    if "\x00" in text:
        return NUL
    if not text.isascii() and SURROGATES.search(text) is not None:
        return LONE_SURROGATE
    return None

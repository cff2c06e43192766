"""What can be read: one answer for training rows and for requests."""

import unicodedata

import pytest

from kubetune.text.checks import is_blank
from kubetune.text.gate import readable_text

NOTHING = {
    "empty": "",
    "white space": " \t\r\n\u00a0\u3000\u2028",
    "zero width": "\u200b\u200c\u200d\ufeff\u2060",
    "variation selector": "\ufe0f\ufe0e",
    "soft hyphen": "\u00ad",
    "direction marks": "\u200e\u200f\u202a\u202c",
    "tags": "\U000e0041\U000e007f",
    "Hangul fillers": "\u3164\u115f\uffa0",
    "braille without dots": "\u2800",
    "controls": "\x01\x1b\x7f\x85",
    "private use": "\ue000\U0010fffd",
    "a mark without a letter": "\u0301\u034f",
    "lost characters": "\ufffd \ufffd",
}
SOMETHING = {
    "letter": "a",
    "ideograph": "不",
    "plane 2": "\U00020000",
    "Hangul": "한",
    "joined emoji": "\U0001f469\u200d\U0001f4bb",
    "heart": "\u2764\ufe0f",
    "points": "...",
    "digit in blanks": "\u200b 7 \u200b",
    "Arabic with direction": "\u200fنعم",
    "accent apart from its letter": "e\u0301",
    "lost in between": "caf\ufffd",
}


@pytest.mark.parametrize("text", NOTHING.values(), ids=NOTHING)
def test_a_text_without_anything_to_read_is_refused(text: str) -> None:
    assert readable_text(text, ()) == ("", "blank-text")


@pytest.mark.parametrize("text", SOMETHING.values(), ids=SOMETHING)
def test_a_text_with_something_to_read_passes_as_it_is(text: str) -> None:
    assert readable_text(text, ()) == (text, None)


def test_a_text_is_judged_as_its_cleaning_leaves_it() -> None:
    assert readable_text("<br><p>\u200b</p>", ("html",)) == ("", "blank-text")
    assert readable_text("<br>fine", ("html", "whitespace")) == ("fine", None)
    assert readable_text("a\x00b", ()) == ("", "nul-character")


def test_every_letter_digit_and_symbol_can_be_read() -> None:
    drawn = [chr(n) for n in range(0x20000) if unicodedata.category(chr(n))[0] in "LNPS"]
    assert [f"U+{ord(c):04X}" for c in drawn if is_blank(c)] == [
        "U+115F",
        "U+1160",
        "U+2800",
        "U+3164",
        "U+FFA0",
        "U+FFFD",
    ]

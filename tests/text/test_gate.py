"""What can be read, and that what was cleaned reads as itself under any choice of cleaning steps."""

import time
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from any_text import FRAGMENTS, any_steps, any_text, examples, row_of_fragments
from kubetune.text.cleaning import STEPS, clean
from kubetune.text.gate import RAW, TextGate, Unreadable
from kubetune.text.joining import Joined

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
    assert RAW.read(text) is Unreadable.BLANK


@pytest.mark.parametrize("text", SOMETHING.values(), ids=SOMETHING)
def test_a_text_with_something_to_read_passes_as_it_is(text: str) -> None:
    assert RAW.read(text) == text


def test_a_text_is_judged_as_its_cleaning_leaves_it() -> None:
    assert TextGate(("html",)).read("<br><p>\u200b</p>") is Unreadable.BLANK
    assert TextGate(("html", "whitespace")).read("<br>fine") == "fine"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "missing-text"),
        ("x" * 11, "over-limit"),
        ("a\x00b", "nul-character"),
        ("\ud800", "lone-surrogate"),
        ("good \udfff", "lone-surrogate"),
        ("\x00\ud800", "nul-character"),
        ("\x00" * 11, "over-limit"),
        (" ", "blank-text"),
        ("\ufffd", "blank-text"),
    ],
)
def test_the_first_reason_is_named(text: str | None, reason: str) -> None:
    found = TextGate(most=10).read(text)
    assert isinstance(found, Unreadable)
    assert found.value == reason


@pytest.mark.parametrize("text", ["plain", "caf\u00e9 \U0001f600", "caf\ufffd", "\x1b[31m", "x" * 10])
def test_a_text_without_a_problem_passes(text: str) -> None:
    assert TextGate(most=10).read(text) == text


def test_an_item_is_refused_for_its_first_bad_text() -> None:
    gate = TextGate(("whitespace",))
    assert gate.read_item(("a  b", " c")) == ("a b", "c")
    assert gate.read_item(("a", "\u200b", None)) is Unreadable.BLANK
    assert gate.read_item((None, "\u200b")) is Unreadable.MISSING


def test_every_letter_digit_and_symbol_can_be_read() -> None:
    drawn = [chr(n) for n in range(0x20000) if unicodedata.category(chr(n))[0] in "LNPS"]
    assert [f"U+{ord(c):04X}" for c in drawn if RAW.read(c) is Unreadable.BLANK] == [
        "U+115F",
        "U+1160",
        "U+2800",
        "U+3164",
        "U+FFA0",
        "U+FFFD",
    ]


def test_the_reasons_are_few_and_stay() -> None:
    assert [reason.value for reason in Unreadable] == [
        "missing-text",
        "over-limit",
        "nul-character",
        "lone-surrogate",
        "unstable-text",
        "blank-text",
    ]


REVEALED = {
    "an emoji that was an entity": (("emoji-spell", "html"), "&#x1F600;", "grinning face"),
    "an emoji's capital": (("lower-case", "emoji-spell"), "\U0001f1eb\U0001f1f7", "france"),
    "an address that was an entity": (("urls", "html"), "&#104;ttps://x.yz", "http"),
    "an accent that was an entity": (("unicode-nfc", "html"), "e&#769;", "\u00e9"),
    "a tag behind a hash": (("html", "hashtags", "whitespace"), "<#br>fine", "fine"),
    "a Greek question mark": (("html", "unicode-nfc"), "a &amp\u037e b", "a & b"),
}


@pytest.mark.parametrize(("steps", "text", "cleaned"), REVEALED.values(), ids=REVEALED)
def test_what_a_step_reveals_an_earlier_one_cleans(steps: tuple[str, ...], text: str, cleaned: str) -> None:
    assert TextGate(steps).read(text) == cleaned


def hidden(levels: int) -> str:
    """An entity that only a hash hides, in an entity that only a hash hides, and so on."""
    return "&#" * levels + "fjlig;" + "lig;" * (levels - 1)


def test_markup_hidden_in_markup_is_refused_in_linear_time() -> None:
    gate = TextGate(("html", "hashtags"))
    assert gate.read(hidden(3)) == "fj"
    assert gate.read(hidden(50)) is Unreadable.UNSTABLE
    assert gate.read_item(("good", hidden(50))) is Unreadable.UNSTABLE
    small, large = (min(_seconds(gate, hidden(levels)) for _ in range(3)) for levels in (200, 800))
    assert large < 9 * small + 0.02


def _seconds(gate: TextGate, text: str) -> float:
    started = time.process_time()
    gate.read(text)
    return time.process_time() - started


@pytest.mark.parametrize("name", STEPS)
def test_each_step_alone_is_idempotent_on_any_neighbours(name: str) -> None:
    """What `clean` takes for granted; on each pair of fragments, as most faults are of two that touch."""
    for first, second in pairwise([*FRAGMENTS, *FRAGMENTS[::2], *FRAGMENTS[::3]]):
        once = STEPS[name](first + second)
        assert STEPS[name](once) == once, ascii(first + second)


def reads_as_itself(text: str, steps: tuple[str, ...]) -> None:
    gate = TextGate(steps)
    for name in steps:
        once = STEPS[name](text)
        assert STEPS[name](once) == once, name
    cleaned = gate.read(text)
    assert isinstance(cleaned, Unreadable) or (gate.read(cleaned) == cleaned and cleaned.encode())
    if not isinstance(cleaned, Unreadable):
        assert all(STEPS[name](cleaned) == cleaned for name in steps), "a step would change it still"
        assert clean(cleaned, steps[::-1]) == cleaned, "the order matters still"


@examples(100)
@given(any_text(), any_steps())
def test_any_text_once_cleaned_reads_as_itself(text: str, steps: tuple[str, ...]) -> None:
    reads_as_itself(text, steps)


@examples(100)
@given(row_of_fragments(), st.permutations(list(STEPS)).map(tuple))
def test_what_cleaning_changes_reads_as_itself_once_cleaned(text: str, steps: tuple[str, ...]) -> None:
    reads_as_itself(text, steps)


@pytest.mark.slow
@examples(2_000)
@given(any_text(30) | row_of_fragments(30), any_steps())
def test_many_texts_once_cleaned_read_as_themselves(text: str, steps: tuple[str, ...]) -> None:
    reads_as_itself(text, steps)


def test_a_blank_part_of_a_joined_text_is_left_out_and_a_bad_one_is_not() -> None:
    mail = Joined(("subject", "body"), " | ")
    assert mail.join(("\u200b", "hello")) == "hello"
    assert mail.join((" \u3164", "\ufeff")) == ""
    for bad in ("\x00", "\ud800"):
        assert mail.join((bad, "hello")) == f"{bad} | hello"

import pytest

from kubetune.text.shown import digits_for, number, one_line, signed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\r\nb\x00c\td", "a b c d"),
        ("\x1b[2Jgone", "[2Jgone"),
        ("safe\u202etxt.exe\u2066\u200f", "safetxt.exe"),
        ("line\u2028break", "line break"),
        ("lone \ud800 half", "lone half"),
        ("👩\u200d🚀 flies", "👩\u200d🚀 flies"),
        ("日本語 العربية", "日本語 العربية"),
        ("<script>", "<script>"),
        ("", ""),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize("text", ["x" * 201, "word " * 100, "\x00" * 5000 + "end", "y" * 10_000_000])
def test_long_text_is_cut_at_200_characters_with_an_ellipsis(text: str) -> None:
    shown = one_line(text)
    assert len(shown) <= 200
    assert shown.endswith("…")


def test_200_characters_are_not_cut() -> None:
    assert one_line("x" * 200) == "x" * 200


def test_numbers() -> None:
    assert (number(-0.00001), number(0.5, 2), signed(-0.25, 2), signed(-0.00001)) == (
        "0.0000",
        "0.50",
        "-0.25",
        "+0.0000",
    )
    assert [digits_for(gap) for gap in (0.1, 0.0003, 0.00003, 0.0, 1e-40)] == [4, 5, 6, 4, 12]

"""Each cleaning step: what it does, that doing it twice changes nothing, and that no text makes it slow."""

import random
import time
import unicodedata

import pytest

from kubetune.errors import ConfigError
from kubetune.text.cleaning import STEPS, clean
from kubetune.text.unicode_forms import LONGEST_RUN, normalize


@pytest.mark.parametrize(
    ("step", "text", "cleaned"),
    [
        ("unicode-nfc", "cafe\u0301", "caf\u00e9"),
        ("html", "Tom &amp; Jerry &#39;s &lt;3", "Tom & Jerry 's <3"),
        ("html", "a<br/>b <a href='x'>link</a>", "a b  link "),
        ("html", "&amp;amp;lt;b&amp;gt; twice", "  twice"),
        ("html", "I <3 you and a < b > c", "I <3 you and a < b > c"),
        ("html", "a<!-- x > <b> y -->b", "a b"),
        ("html", "?a=1&copy=2 &notanentity;", "?a=1&copy=2 &notanentity;"),
        ("html", "&#0;|&#xD800;|&#x110000;", "\ufffd|\ufffd|\ufffd"),
        (
            "html",
            "<USER> said <unk> to <bob@example.org>, List<String> and <b>bold</b>",
            "<USER> said <unk> to <bob@example.org>, List<String> and  bold ",
        ),
        ("html", "<!DOCTYPE html><?xml v?><h1 class=x>T</h1><BR/>", "   T  "),
        ("html", "&lt;b&gt;x&lt;/b&gt; &lt;name&gt;", " x  <name>"),
        ("urls", "看http://t.cn/a，不好", "看http，不好"),
        ("urls", "見てhttps://t.co/Ab1とても悪い。www.a.jp/x「はい」", "見てhttpとても悪い。http「はい」"),
        ("urls", "ดูhttps://t.co/abแย่มาก", "ดูhttpแย่มาก"),
        (
            "urls",
            "zu https://de.example.org/wiki/Käse_und_Öl und пример www.пример.рф/путь!",
            "zu http und пример http",
        ),
        ("urls", "nohttp://x stays", "nohttp://x stays"),
        ("mentions", "@用户0今天的电影很糟糕", "@用户0今天的电影很糟糕"),
        ("mentions", "@bob今天的电影很糟糕，@Al_1さんへ", "@user今天的电影很糟糕，@userさんへ"),
        ("mentions", "回复@张三:今天//@李四：糟糕 @人民日报 你好", "回复@user:今天//@user：糟糕 @user 你好"),
        ("mentions", "好@bob不 ก@bob", "好@user不 ก@user"),
        ("mentions", "@हिन्दी नमस्ते @имя привет @José! é@b.c", "@user नमस्ते @user привет @user! é@b.c"),
        ("hashtags", "今天#心情 C#语言 é#b", "今天心情 C#语言 é#b"),
        ("urls", "see https://t.co/x?y=1 and WWW.example.org/z", "see http and http"),
        ("urls", 'in "http://a.b" quotes', 'in "http" quotes'),
        ("mentions", "@bob hi @alice_1: a@b.c", "@user hi @user: a@b.c"),
        ("hashtags", "#SoHappy ##twice a#b # alone", "SoHappy twice a#b # alone"),
        ("whitespace", "  a\t\r\n b\u2003c ", "a b c"),
        ("lower-case", "\u00c9T\u00c9", "\u00e9t\u00e9"),
        ("emoji-keep", "yes\U0001f600\U0001f600no \u2764\ufe0f", "yes \U0001f600 \U0001f600 no \u2764\ufe0f"),
        ("emoji-spell", "yes\U0001f600 ok", "yes grinning face ok"),
        ("emoji-spell", "1\ufe0f\u20e3 and 1", "keycap 1 and 1"),
    ],
)
def test_a_step_does_what_its_name_says(step: str, text: str, cleaned: str) -> None:
    assert clean(text, [step]) == cleaned


def test_the_steps_run_in_the_order_of_the_recipe() -> None:
    assert clean("&lt;B&gt;X", ["html", "lower-case"]) == " x"
    assert clean("A https://B", ["lower-case", "urls", "whitespace"]) == "a http"
    assert clean("\U0001f600", ["emoji-spell", "emoji-keep"]) == "grinning face"
    assert clean("\U0001f600!", ["emoji-keep", "emoji-spell"]) == "grinning face !"


def test_an_unknown_step_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'upper-case' does not exist: allowed are unicode-nfc, html"):
        clean("a", ["upper-case"])


PIECES = [
    *"<>&;#@ab1 \n\"'/!-",
    "&amp;",
    "&lt;",
    "&#35;",
    "amp;",
    "<b",
    "<!--",
    "-->",
    "http",
    "https://",
    "www.",
    "\u0301",
    "\u0316",
    "\u0344",
    "e",
    "\U0001f600",
    "\u200d",
    "\ufe0f",
    "\U0001f1e9",
    "\U0001f468",
    "\u20e3",
    "\u0130",
    "\u03a3",
    "\ud800",
    "用",
    "ก",
    "ि",
    "：",
    ":",
    "<br",
    "<user",
    "名前 ",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_second_time_changes_nothing(step: str) -> None:
    draw = random.Random(7)
    for _ in range(1500):
        text = "".join(draw.choices(PIECES, k=draw.randint(1, 40)))
        once = clean(text, [step])
        assert clean(once, [step]) == once, ascii(text)


HOSTILE = {
    "opened tags": "<" * 2,
    "nested tags": "<a ",
    "ampersands": "&",
    "entities in entities": "&amp;",
    "entity tails": "#35;",
    "comment": "<!-- >",
    "marks": "\u0301\u0316",
    "at signs": "@",
    "mentions": "@a",
    "hashes": "#",
    "urls": "http://",
    "emoji": "\U0001f600",
    "joined emoji": "\U0001f468\u200d",
    "flags": "\U0001f1e9",
    "spaces": " ",
    "letters": "\u00e9",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_costs_linear_time(name: str) -> None:
    """Four times the text may cost about four times as much; quadratic steps would cost sixteen times."""
    unit = HOSTILE[name]
    small, large = (unit * (size // len(unit)) for size in (4_000, 16_000))
    for step in STEPS:
        clean(small, [step])  # tables are built once
        cost = [min(_seconds(step, text) for _ in range(3)) for text in (small, large)]
        assert cost[1] < 9 * cost[0] + 0.02, (step, cost)


def test_nested_entities_cost_linear_time() -> None:
    small, large = ("&" * n + "#35;" + "35;" * (n - 1) for n in (4_000, 16_000))
    assert clean(large, ["html"]) == "#"
    assert min(_seconds("html", large) for _ in range(3)) < 9 * min(_seconds("html", small) for _ in range(3)) + 0.02


@pytest.mark.slow
def test_ten_megabytes_pass_every_step() -> None:
    text = "so <b>happy</b> &amp; glad @you #now https://x.y/z " * 210_000
    assert len(text.encode()) > 10_000_000
    started = time.process_time()
    cleaned = clean(text, ["unicode-nfc", "urls", "mentions", "hashtags", "whitespace", "lower-case"])
    assert cleaned.startswith("so <b>happy</b> &amp; glad @user now http so")
    assert time.process_time() - started < 30


def test_long_runs_of_marks_are_cut_and_short_ones_are_not() -> None:
    short = "e" + "\u0323\u0301" * (LONGEST_RUN // 2)
    assert normalize("NFC", short) == unicodedata.normalize("NFC", short)
    long = normalize("NFC", "e" + "\u0323\u0301" * 1000)
    assert long.count("\u034f") >= 2000 // LONGEST_RUN - 1


def _seconds(step: str, text: str) -> float:
    started = time.process_time()
    clean(text, [step])
    return time.process_time() - started

"""Comparison and Behaviour in the page, from decisions that were really made."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from kubetune.comparison.decision import Comparison, decide
from kubetune.comparison.paired import Discordance
from kubetune.comparison.report_parts import CONTENTS, SECTIONS, insert, with_parts
from kubetune.config.promotion import PromotionSection
from kubetune.contract import Verdict
from kubetune.errors import KubetuneError

PAGE = f"<html><body><ul>{CONTENTS}<li></li></ul>{SECTIONS}</body></html>"
HOSTILE = "<script>alert(1)</script> \u202e\x1b[31m " + SECTIONS
NOTHING: dict[str, Any] = {"suite": None, "outcomes": [], "left_out": [], "capabilities": {}, "scored": 0}
NOTHING["verdict"] = {"code": 0, "reasons": []}


class Page(HTMLParser):
    """Collects tags and text; complains of tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.open, self.text = list[str](), list[str](), ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def outcome(**more: Any) -> dict[str, Any]:
    failure = {"text": "not good", "changed": None, "answer": "positive", "why": "negative is right", "clearness": 0.9}
    values = {
        "capability": "negation",
        "test": "not good",
        "kind": "mft",
        "inputs": 50,
        "count": 40,
        "sources": 4,
        "failures": 10,
    }
    return values | {"rate": 0.25, "low": 0.142, "high": 0.402, "clearest": [failure]} | more


def behaved(*outcomes: dict[str, Any], **more: Any) -> dict[str, Any]:
    whole = {"count": 40, "sources": 4, "failures": 10, "rate": 0.25, "low": 0.142, "high": 0.402}
    values = {"suite": "sentiment", "scored": 1234, "capabilities": {"negation": whole}}
    return NOTHING | values | {"outcomes": list(outcomes or [outcome()])} | more


@pytest.fixture
def decided(compared: Callable[..., Comparison]) -> Callable[..., dict[str, Any]]:
    """Return a function that makes a decision.json."""

    def make(champion: bool = True, thresholds: Verdict | None = None, **more: Any) -> dict[str, Any]:
        section = {"resamples": 400, "slices": [{"column": "place"}]} | more.pop("rules", {})
        rules = PromotionSection.model_validate(section)
        found = decide(thresholds or Verdict(), compared(**more) if champion else None, rules)
        who = {"name": "tweets", "version": 7, "run": "a-run", "archive": "ab"}
        document = {
            "outcome": found.outcome,
            "reasons": list(found.reasons),
            "rows_wanted": found.rows_wanted,
            "test_digest": "ab" * 32,
            "champion": who if champion else None,
            "champion_scored": "again" if champion else None,
            "rules": rules.model_dump(mode="json"),
            "document": dict(found.document),
        }
        return json.loads(json.dumps(document))

    return make


def test_a_promotion_says_against_whom_and_by_how_much(decided) -> None:
    document = decided(rows=4000, gain=0.05)
    text = " ".join(Page(with_parts(PAGE, document, NOTHING)).text.split())
    assert "Champion: version 7 of tweets, made by run a-run; it was scored again" in text
    assert "Promote" in text
    assert document["reasons"][0] in text
    gain = document["document"]["metric"]["gain"]
    assert f"{gain['value']:+.3f} {gain['low']:+.3f} to {gain['high']:+.3f}" in text
    assert "0.05 for all of them together; 0.025 spent on this one, 0.025 left" in text
    assert "No suite is named in behaviour.suite ," in text


def test_every_guard_has_a_line_with_its_margin_and_outcome(decided) -> None:
    document = decided(rows=4000, places=(0.05, 0.05, -0.15))
    page = with_parts(PAGE, document, NOTHING)
    lines = re.findall(r"<tr><th scope=\"row\">.*?</tr>", page, re.DOTALL)
    assert len(lines) == 1 + 3 + 1
    lost = next(line for line in lines if "part 2" in line)
    assert ">lost<" in lost
    assert "of 0.05<" in lost  # a loss is read at the whole alpha
    places = {name: float(value) for name, value in re.findall(r"--(at|from|to):([0-9.]+)%", lost)}
    assert places["from"] < places["at"] < places["to"] < 50
    bars = [float(place) for place in re.findall(r'bar-mark" style="--at:([0-9.]+)%', page)]
    assert len(bars) == 4  # the metric has no margin to lose
    assert all(0 < bar < 50 for bar in bars)
    ends = document["document"]["calibration"]
    assert f">{-ends['high']:+.3f} to {-ends['low']:+.3f}<" in lines[-1]
    assert Page(page).text.count("holds") == 3
    assert "Keep the champion" in page


def test_the_axis_shows_each_end_of_what_was_judged(decided) -> None:
    small = {"fairness": Discordance(0, 0, 3)}
    page = with_parts(PAGE, decided(rows=4000, gain=0.05, capabilities=small), NOTHING)
    limit = float(re.findall(r"runs from −([0-9.]+) to", page)[0])
    ends = [float(end) for span in re.findall(r">([+-][0-9.]+) to ([+-][0-9.]+)<", page) for end in span]
    assert 0.05 <= limit <= 0.1 < max(map(abs, ends))  # three cases may have any difference, and do not set the axis
    assert "too few, not judged" in page


def test_undecided_says_how_many_rows(decided) -> None:
    document = decided(rows=500, seed=1, gain=0.01, rules={"calibration_margin": None})
    assert document["outcome"] == "undecided"
    text = Page(with_parts(PAGE, document, NOTHING)).text
    assert f"{document['rows_wanted']:,} more labelled test rows" in text
    assert "shown, not judged" in text


@pytest.mark.parametrize("passed", [True, False])
def test_without_a_champion_there_is_no_table(decided, passed: bool) -> None:
    verdict = None if passed else Verdict(77, ("accuracy is 0.6, at least 0.7 is required.",))
    found = Page(with_parts(PAGE, decided(champion=False, thresholds=verdict), NOTHING))
    assert "table" not in found.tags
    assert ("Promote" in found.text) == passed
    assert ("Not promoted" in found.text) != passed


def test_behaviour_is_shown_by_capability_with_its_clearest_failures(decided) -> None:
    empty = outcome(capability="typos", test="swap", kind="inv", count=0, failures=0, rate=0.0, clearest=[])
    moved = outcome(test="not added", kind="dir")
    moved["clearest"] = [moved["clearest"][0] | {"changed": "is not good"}]
    missed = {"code": 77, "reasons": ["negation: missed by 0.1."]}
    behaviour = behaved(outcome(), moved, empty, left_out=["order needs a pair."], verdict=missed)
    text = " ".join(Page(with_parts(PAGE, decided(champion=False), behaviour)).text.split())
    for shown in (
        "Suite sentiment",
        "on 1,234 texts",
        "not good the expected answer 25.0% 14.2% to 40.2%",
        "not added a probability must move",
        "swap the answer must not change no case",
        "negation: the clearest failures",
        "became is not good",
        "answered positive · negative is right",
        "order needs a pair.",
        "negation: missed by 0.1.",
    ):
        assert shown in text, shown
    assert "typos: the clearest failures" not in text


def test_hostile_text_is_shown_harmless(decided) -> None:
    document = decided(champion=False)
    document |= {"reasons": [HOSTILE], "champion": {"name": HOSTILE, "version": 1, "run": HOSTILE, "archive": "ab"}}
    failure = {"text": HOSTILE, "changed": HOSTILE, "answer": HOSTILE, "why": HOSTILE, "clearness": 1.0}
    hostile = outcome(capability=HOSTILE, test=HOSTILE, kind=HOSTILE, clearest=[failure])
    behaviour = behaved(hostile, suite=HOSTILE, left_out=[HOSTILE], verdict={"code": 77, "reasons": [HOSTILE]})
    page = with_parts(PAGE, document, behaviour)
    assert "script" not in Page(page).tags
    assert SECTIONS not in page
    assert not {"\x1b", "\u202e"} & set(page)


def test_a_page_without_the_places_is_refused() -> None:
    for page in ("<html></html>", PAGE + SECTIONS, PAGE.replace(CONTENTS, "")):
        with pytest.raises(KubetuneError, match="no place for further sections"):
            insert(page, "<li></li>", "<section></section>")
    assert insert(PAGE, "one", "two") == "<html><body><ul>one<li></li></ul>two</body></html>"

"""The report's parts Comparison and Behaviour: two sections put into the page that `evaluate` made."""

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from kubetune.comparison.sentences import counted_rows, guarded, probability
from kubetune.errors import KubetuneError
from kubetune.text.shown import one_line, signed

CONTENTS = "<!-- further contents -->"
SECTIONS = "<!-- further sections -->"
"""Marks in `report.html.j2`; text of the data is escaped, so it never holds one."""


def insert(page: str, contents: str, sections: str) -> str:
    """Return the page with further entries of its table of contents, and further sections.

    Args:
        page: `report.html`.
        contents: `<li>` elements.
        sections: `<section>` elements.

    Raises:
        KubetuneError: The page has no single place for them.
    """
    for mark, addition in ((CONTENTS, contents), (SECTIONS, sections)):
        before, found, after = page.partition(mark)
        if not found or mark in after:
            raise KubetuneError("report.html has no place for further sections: evaluate the run again.")
        page = before + addition + after
    return page


OUTCOMES = {
    "promote": ("passed", "✓", "Promote"),
    "keep": ("refused", "✗", "Keep the champion"),
    "undecided": ("undecided", "?", "Undecided"),
}
STATES = {"holds": "holds", "lost": "lost", "open": "not shown to hold", "small": "too few, not judged"}
KINDS = {
    "mft": "the expected answer",
    "inv": "the answer must not change",
    "kept": "the answer must point at the same places",
    "dir": "a probability must move",
}


def with_parts(page: str, decision: Mapping[str, Any], behaviour: Mapping[str, Any]) -> str:
    """Return the page with both sections and their entries in the table of contents.

    Args:
        page: `report.html` of `evaluate`.
        decision: `decision.json`.
        behaviour: `behaviour.json`.

    Raises:
        KubetuneError: The page has no place for them.
    """
    tone, mark, title = OUTCOMES[decision["outcome"]]
    lines = _lines(decision["document"], decision["rules"])
    shown = {
        "decision": decision,
        "outcome": {"tone": tone, "mark": mark, "title": title if decision["champion"] else _alone(decision)},
        "against": _against(decision),
        "lines": [_placed(line, _limit(lines)) for line in lines],
        "limit": _limit(lines),
        "behaviour": behaviour,
        "capabilities": _capabilities(behaviour),
        "kinds": KINDS,
    }
    macros = _template().module
    # Plain strings: joined to them, jinja's own type would escape the page.
    return insert(page, str(macros.contents()), str(macros.sections(shown)))


def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    filters: dict[str, Any] = {
        "signed": lambda value: signed(value, 3),
        "count": lambda value: f"{value:,}",
        "pct": lambda value: f"{value:.1%}",
        "line": one_line,
        "p": probability,
    }
    environment.filters |= filters
    source = files("kubetune.comparison").joinpath("report_parts.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def _alone(decision: Mapping[str, Any]) -> str:
    return "Promote" if decision["outcome"] == "promote" else "Not promoted"


def _against(decision: Mapping[str, Any]) -> str:
    champion, how = decision["champion"], decision["champion_scored"]
    if champion is None:
        return "There is no champion to compare with: the thresholds alone decide."
    who = f"Champion: version {champion['version']} of {one_line(champion['name'], 80)}"
    if champion["run"]:
        who += f", made by run {one_line(champion['run'], 80)}"
    answers = {
        "stored": "its answers are those of its own evaluation, on the same rows",
        "again": "it was scored again, on this run's test rows",
        None: "it was not compared",
    }
    return f"{who}; {answers[how]}."


def _lines(document: Mapping[str, Any], rules: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the differences to draw, above 0 is better: name, rows, value, low, high, bar, p, level, tone, word."""
    if not document:
        return []
    metric, spending = document["metric"], document["spending"]
    level, alpha = spending["level"], spending["alpha"]
    word = "a gain is shown" if metric["shown"] else "a gain is not shown"
    found = [
        {
            "name": metric["title"],
            "rows": counted_rows(metric["rows"], metric["texts"]),
            **metric["gain"],
            "bar": None,
            "p": metric["against"] if metric["ruled_out"] else metric["p"],
            "level": alpha if metric["ruled_out"] else level,
            "tone": "good" if metric["shown"] else "bad" if metric["ruled_out"] else "",
            "word": "a gain that matters is ruled out" if metric["ruled_out"] else word,
        }
    ]
    calibration = document["calibration"]
    found += [_guard(judged, level, alpha) for judged in document["guards"]]
    if rules["calibration_margin"] is None and calibration is not None:
        ends = {"value": -calibration["value"], "low": -calibration["high"], "high": -calibration["low"]}
        rows = counted_rows(document["rows"], document["texts"])
        shown = {"name": "calibration error", "rows": rows, "word": "shown, not judged"}
        found.append(shown | ends | {"bar": None, "p": None, "level": None, "tone": ""})
    return found


def _guard(judged: Mapping[str, Any], level: float, alpha: float) -> dict[str, Any]:
    guard = judged["guard"]
    low, high = guard["interval"]
    return {
        "name": guard["name"],
        "rows": guarded(guard["unit"], guard["rows"], guard["clusters"]),
        "value": guard["difference"],
        "low": low,
        "high": high,
        "bar": -guard["margin"],
        "p": {"small": None, "lost": judged["worse"]}.get(judged["state"], judged["within"]),
        "level": alpha if judged["state"] == "lost" else level,
        "tone": {"holds": "good", "lost": "bad"}.get(judged["state"], ""),
        "word": STATES[judged["state"]],
    }


def _limit(lines: Sequence[Mapping[str, Any]]) -> float:
    """Return the end of the common axis: one digit, so that it can be read."""
    judged = [line for line in lines if line["word"] != STATES["small"]]  # few rows have wide intervals, which are cut
    ends = [abs(line[name]) for line in judged for name in ("low", "high", "bar") if line[name]]
    largest = min(1.0, max(ends, default=0.1))
    step = 10.0 ** math.floor(math.log10(largest))
    return float(f"{min(1.0, math.ceil(largest / step) * step):.6g}")


def _placed(line: Mapping[str, Any], limit: float) -> dict[str, Any]:
    def place(value: float) -> str:
        return f"{100 * min(1.0, max(0.0, (value + limit) / (2 * limit))):.2f}%"

    places = {f"at_{name}": place(line[name]) for name in ("value", "low", "high")}
    return {**line, **places, "at_bar": None if line["bar"] is None else place(line["bar"])}


def _capabilities(behaviour: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each capability with its tests, in the order of the suite."""
    tests: dict[str, list[Mapping[str, Any]]] = {}
    for outcome in behaviour["outcomes"]:
        tests.setdefault(outcome["capability"], []).append(outcome)
    return [{"name": name, "tests": found, "all": behaviour["capabilities"].get(name)} for name, found in tests.items()]

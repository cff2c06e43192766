"""The notices there are, and the text of each. Pure: facts in, text out; a laptop and Airflow say the same.

A text never holds a row of data: sentences that may quote one are replaced by the name of the rule.
"""

import hashlib
import json
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal, get_args

from kubetune.redaction import LOOKED_AT, redact

Kind = Literal["started", "failed", "promote", "keep", "undecided", "promoted", "rolled back"]
TITLE, LINE, NAME, VALUE, LINK = 160, 500, 80, 120, 500
"""Longest texts, characters."""
LINES, ROWS = 12, 24
DIGEST = 80
CUT = "…"
RULE = re.compile(r"\[rule: ([a-z0-9-]{1,60})\]\s*$")
UNEXPECTED = re.compile(r"^(?:an error of kubetune: )?Unexpected ([A-Za-z_][A-Za-z0-9_]{0,60}):")
SPOKEN = frozenset({69, 75, 77, 78, 99})
"""Exit codes whose sentence is ours and made of names and numbers; that of 65 and 70 may quote what was read."""
OUTCOMES: Mapping[str, str] = {
    "promote": "is to be promoted",
    "keep": "is not promoted, the champion stays",
    "undecided": "is undecided, the champion stays",
}


def notice_line(text: object, width: int) -> str:
    """Return text as one line of at most `width` characters, without secrets, control or invisible characters.

    `@` becomes its wide form, so that no chat service reads a mention where only a text was meant.
    """
    known = redact(str(text)[:LOOKED_AT])
    plain = "".join(letter if letter.isprintable() else " " for letter in known[: 4 * width])
    plain = " ".join(plain.split()).replace("@", "\uff20")
    return plain if len(plain) <= width else plain[: width - 1] + CUT


@dataclass(frozen=True)
class Notice:
    """One notification. Texts are made safe and short when it is built.

    Attributes:
        kind: What happened.
        run: Run id, model name or whatever it happened to.
        stage: Stage it happened in; None: the whole.
        title: One line.
        lines: Sentences below it.
        link: `http(s)` address of the place to look at; None: there is none.
        rows: Table of (name, value).
        digest: Tells this happening from others of its kind: the attempt or the decision's digest.
    """

    kind: Kind
    run: str
    stage: str | None
    title: str
    lines: tuple[str, ...] = ()
    link: str | None = None
    rows: tuple[tuple[str, str], ...] = ()
    digest: str = ""

    def __post_init__(self) -> None:
        """Bound every text, so that no way of building a notice goes round it."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"{self.kind!r} is no kind of notice: allowed are {', '.join(get_args(Kind))}.")
        safe = {
            "run": notice_line(self.run, TITLE),
            "stage": None if self.stage is None else notice_line(self.stage, NAME),
            "title": notice_line(self.title, TITLE),
            "lines": tuple(line for line in (notice_line(text, LINE) for text in self.lines[:LINES]) if line),
            "link": _address(self.link),
            "rows": tuple((notice_line(name, NAME), notice_line(value, VALUE)) for name, value in self.rows[:ROWS]),
            # Whatever tells two happenings apart must survive being shortened.
            "digest": self.digest if len(self.digest) <= DIGEST else hashlib.sha256(self.digest.encode()).hexdigest(),
        }
        for name, value in safe.items():
            object.__setattr__(self, name, value)

    @property
    def key(self) -> str:
        """SHA-256 (hex) that names this happening: equal keys are one notice, sent once."""
        parts = json.dumps([self.kind, self.run, self.stage, self.digest])
        return hashlib.sha256(parts.encode()).hexdigest()

    def body(self) -> str:
        """Return the text below the title; the last line lets a reader see that two copies are one notice."""
        width = max((len(name) for name, _ in self.rows), default=0)
        table = [f"{name:<{width}}  {value}" for name, value in self.rows]
        return "\n".join([*self.lines, *table, *([self.link] if self.link else []), f"notice {self.key[:12]}"])

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values, for `of`."""
        return asdict(self)


def of(value: Mapping[str, Any]) -> Notice:
    """Build a notice from `Notice.plain`.

    Raises:
        KeyError, TypeError, ValueError: It is not one.
    """
    rows = tuple((str(name), str(text)) for name, text in value["rows"])
    lines = tuple(str(line) for line in value["lines"])
    return Notice(**{**{name: value[name] for name in Notice.__dataclass_fields__}, "rows": rows, "lines": lines})


def started_notice(run: str, *, recipe: str = "", link: str | None = None, digest: str = "") -> Notice:
    """Say that a run has begun; `digest` tells it from a former run of that name."""
    lines = (f"Recipe {recipe}.",) if recipe else ()
    return Notice("started", run, None, f"kubetune: {run} started", lines, link, digest=digest)


def failed_notice(run: str, stage: str | None, reason: str, *, link: str | None = None, digest: str = "") -> Notice:
    """Say that a stage failed. The reason must have gone through `safe_reason` unless it is ours."""
    what = f"{stage} of {run}" if stage else run
    return Notice("failed", run, stage, f"kubetune: {what} failed", (reason,), link, digest=digest)


def decision_notice(
    run: str,
    outcome: str,
    reasons: Iterable[str],
    rows: Iterable[tuple[str, object]],
    *,
    link: str | None = None,
    digest: str = "",
) -> Notice:
    """Say what stage `compare` decided.

    Raises:
        ValueError: The outcome is none of `OUTCOMES`.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"{outcome!r} is no outcome: allowed are {', '.join(OUTCOMES)}.")
    kind: Kind = "promote" if outcome == "promote" else "keep" if outcome == "keep" else "undecided"
    title = f"kubetune: {run} {OUTCOMES[outcome]}"
    return Notice(kind, run, "compare", title, tuple(reasons), link, text_table(rows), digest)


def promoted_notice(  # noqa: PLR0913 (the facts of one sentence)
    name: str,
    version: int | str,
    *,
    former: int | str | None = None,
    run: str = "",
    why: str = "",
    rows: Iterable[tuple[str, object]] = (),
    link: str | None = None,
    digest: str,
) -> Notice:
    """Say that `champion` of a model was moved; `digest` names this move, for example the registry record's epoch."""
    title = f"kubetune: {name} version {version} is the champion"
    lines = [f"Of run {run}." if run else "", f"Before: version {former}." if former is not None else "", why]
    return Notice("promoted", name, None, title, tuple(lines), link, text_table(rows), digest)


def rolled_back_notice(
    name: str,
    from_version: int | str,
    to_version: int | str,
    why: str,
    *,
    link: str | None = None,
    digest: str,
) -> Notice:
    """Say that `champion` of a model went back to its former version; `digest` as in `promoted_notice`."""
    title = f"kubetune: {name} is back from version {from_version} to version {to_version}"
    return Notice("rolled back", name, None, title, (why,), link, (), digest)


def slack_of(notice: Notice) -> str:
    """Return the text for a Slack webhook: what Slack reads as link, mention or channel is escaped."""
    text = f"{notice.title}\n{notice.body()}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def html_of(notice: Notice) -> str:
    """Return the body as HTML for a mail."""
    lines = [f"<p>{escape(line)}</p>" for line in notice.lines]
    rows = [f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in notice.rows]
    link = [f'<p><a href="{escape(notice.link)}">{escape(notice.link)}</a></p>'] if notice.link else []
    end = f"<p>notice {notice.key[:12]}</p>"
    return "\n".join([*lines, *(["<table>", *rows, "</table>"] if rows else []), *link, end])


def text_table(rows: Iterable[tuple[str, object]]) -> tuple[tuple[str, str], ...]:
    """Return rows as text, numbers with four significant digits."""
    return tuple((str(name), f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in rows)


def safe_reason(code: int | None, sentence: str) -> str:
    """Return why something failed, without what may be a row of data.

    Args:
        code: Exit code; None: it is not known.
        sentence: The stage's last one. Passed on only for codes whose sentences are made of names and numbers.
    """
    if code in SPOKEN:
        return sentence
    if code == 65:
        rule = RULE.search(sentence)
        return f"Bad data{f', rule {rule[1]}' if rule else ''}: the stage's log says where."
    if code == 70:
        kind = UNEXPECTED.match(sentence)
        return f"An error of kubetune{f' ({kind[1]})' if kind else ''}: the stage's log says where."
    if code is None:
        return "It ended without saying why: see its log."
    return f"It ended with {code}{_signal(code)}: see its log."


def _signal(code: int) -> str:
    try:
        return f" ({signal.Signals(code - 128).name})" if code > 128 else ""
    except ValueError:
        return ""


def _address(link: str | None) -> str | None:
    if not link or len(link) > LINK or not link.isprintable() or re.search(r"[\s<>\"|@]", link):
        return None
    return link if re.match(r"https?://", link) else None

"""The page on promotion shows the table that is carried out. `KUBETUNE_TEST_REGENERATE=1` writes it anew."""

import os
from collections.abc import Iterator
from pathlib import Path

from kubetune.models.event_rules import RULES
from kubetune.models.lifecycle import TABLE
from kubetune.models.transitions import Mark, Position, Transition, VersionEvent, VersionState

PAGE = Path(__file__).parents[2] / "docs" / "promotion.md"
BEGIN, END = "<!-- life of a version: begin -->\n", "<!-- life of a version: end -->"
NEVER = {(position, Mark.NOT_READY) for position in (Position.ABSENT, Position.FORMER, Position.CHAMPION)}
STATES = [state for position in Position for mark in Mark if (state := VersionState(position, mark)) not in NEVER]


def rows_of(state: VersionState, event: VersionEvent) -> list[Transition]:
    """The rows that a version in this state may meet: those with a condition, then the first without one."""
    found = []
    for row in TABLE:
        if row.fits(state, event, () if row.condition is None else (row.condition,)):
            found.append(row)
            if row.condition is None:
                break
    return found


def edges(part: int) -> Iterator[tuple[str, str, str]]:
    """From, to and event of each change of position (0) or mark (1), another version's among the former."""
    for event in VersionEvent:
        for state in STATES:
            for row in rows_of(state, event):
                if row.error is None and row.after(state)[part] != state[part]:
                    yield state[part], row.after(state)[part], event.value
                if part == 0 and row.error is None and row.other is not None:
                    yield row.other[0], row.other[1], f"{event.value} (another)"


def diagram(part: int) -> str:
    """A state diagram of positions (0) or marks (1); events that lead the same way share an arrow."""
    labels: dict[tuple[str, str], list[str]] = {}
    for before, after, event in edges(part):
        named = labels.setdefault((before, after), [])
        named += [event.replace(":", "")] if event.replace(":", "") not in named else []
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {identity((*Position,)[0] if part == 0 else Mark.NONE)}"]
    lines += [f'    state "{name.value}" as {identity(name)}' for name in (Position, Mark)[part]]
    lines += [
        f"    {identity(before)} --> {identity(after)}: {', '.join(named)}" for (before, after), named in labels.items()
    ]
    return "\n".join([*lines, "```"])


def identity(name: str) -> str:
    return name.replace(" ", "_")


def cell(state: VersionState, event: VersionEvent) -> str:
    """What an event does in a state: the state afterwards, `same`, or `no` with the exit code."""
    said = []
    for row in rows_of(state, event):
        if row.error is not None:
            text = f"no ({row.error('').exit_code})"
        else:
            after = row.after(state)
            text = "same" if after == state else ", ".join(part for part in after if part != Mark.NONE)
        said.append(f"{text} if {row.condition.value}" if row.condition else text)
    return "; else ".join(said) or "-"


def page() -> str:
    """The generated part."""
    lines = [diagram(0), "", diagram(1), "", "| event | by | caused by | model | endpoint | comparisons | statements |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for event, rule in RULES.items():
        written = (rule.model, rule.endpoint, rule.comparisons, rule.statements)
        lines.append(f"| {event} | {rule.by} | {rule.cause} | {' | '.join(text or '-' for text in written)} |")
    for position in Position:
        states = [state for state in STATES if state.position is position]
        lines += ["", f"| {position}: event | " + " | ".join(state.mark for state in states) + " |"]
        lines.append("| --- |" + " --- |" * len(states))
        for event in VersionEvent:
            cells = [cell(state, event) for state in states]
            if {*cells} - {"same", "-"}:
                lines.append(f"| {event} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def test_the_page_shows_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    wanted = head + BEGIN + page() + END + rest.partition(END)[2]
    if os.environ.get("KUBETUNE_TEST_REGENERATE"):
        PAGE.write_text(wanted, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == wanted


def test_the_diagrams_lead_everywhere() -> None:
    for part, names in enumerate((Position, Mark)):
        found = list(edges(part))
        start = next(iter(names))
        assert {after for _, after, _ in found} | {start} == set(names)
        assert {before for before, _, _ in found} == set(names)

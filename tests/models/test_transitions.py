"""The table alone, over every record of three versions that any sequence of events leads to."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest

from kubetune.errors import KubetuneError, RefusedError
from kubetune.models.event_rules import RULES, Actor
from kubetune.models.lifecycle import apply_event, conditions_of, transition_of, version_state
from kubetune.models.transitions import (
    DEMOTED,
    REPLACED,
    TABLE,
    Condition,
    Mark,
    Position,
    VersionEvent,
    VersionState,
)
from kubetune.storage.registry import RegisteredModel, Version

E = VersionEvent
VERSIONS = [
    Version(0, f"run-{name}", name, f"weights of {name}", "", "promote", "") for name in ("one", "two", "three")
]
TWIN = replace(VERSIONS[0], run="run-four", archive="four")
"""The weights of the first in another archive."""
NEVER = {(position, Mark.NOT_READY) for position in (Position.ABSENT, Position.FORMER, Position.CHAMPION)}
"""What is taken back leaves the line, and what comes back loses the mark."""
Move = tuple[RegisteredModel, VersionEvent, Version | None, RegisteredModel]


def events_of(model: RegisteredModel, version: Version) -> Iterator[tuple[VersionEvent, Version | None]]:
    """The events that may be about a version, as the operations ask for them."""
    state = version_state(model, version)
    for event in VersionEvent:
        of_champion = event in {E.ROLL_BACK, E.SERVE}
        if of_champion and state.position is not Position.CHAMPION:
            continue
        if (event in {E.OVERRIDE, E.DELETE} or event.startswith("decision")) and state.position is Position.ABSENT:
            continue
        if event in {E.TAKE_BACK, E.UNDO_ROLLBACK} and state.position is Position.CHAMPION:
            by_rollback = (model.last_move or {"event": ""})["event"] == "rolled-back"
            if by_rollback != (event is E.UNDO_ROLLBACK):
                continue
        same = model.champion is not None and model.champion.model == version.model
        if event is E.DECISION_SAME_WEIGHTS and not same:
            continue
        yield event, version


def moved(model: RegisteredModel, event: VersionEvent, version: Version | None) -> RegisteredModel:
    """The record after an event, with its line of the history; as it was where the event is refused."""
    facts = {"outcome": "keep", "met": "", "now": ""}
    try:
        applied = apply_event(model, event, version, **facts)
    except KubetuneError:
        return model
    if applied is None:
        return model
    changed, word = applied
    line = {
        "event": word,
        "version": changed.champion.number if changed.champion else None,
        "former": model.champion.number if model.champion else None,
    }
    return replace(changed, history=(*model.history, line) if word else model.history)


def essence(model: RegisteredModel) -> tuple[object, ...]:
    """What the next event depends on."""
    last, move = model.history[-1:], model.last_move
    taken_back = [line["former"] for line in last if line["event"] == "not-ready"]
    left = move["former"] if move is not None and move["event"] == "rolled-back" else None
    marks = tuple((version.archive, version.withdrawn) for version in model.versions)
    return model.line, marks, *taken_back, left


ALL = {"two": VERSIONS[:2], "two and a twin": [*VERSIONS[:2], TWIN]}


@pytest.fixture(scope="module", params=["two", pytest.param("two and a twin", marks=pytest.mark.slow)])
def moves(request: pytest.FixtureRequest) -> list[Move]:
    """Every event in every record of these versions that events lead to."""
    start = RegisteredModel("toy")
    seen, todo, found = {essence(start)}, deque([start]), list[Move]()
    while todo:
        model = todo.popleft()
        for fresh in ALL[request.param]:
            for event, version in events_of(model, model.of_archive(fresh.archive) or fresh):
                after = moved(model, event, version)
                found.append((model, event, version, after))
                if after != model and essence(after) not in seen:
                    seen.add(essence(after))
                    kept = [line for line in (after.last_move, after.history[-1]) if line is not None]
                    todo.append(replace(after, history=tuple(kept)))
    return found


def test_every_record_has_one_champion_at_most_and_nobody_twice_in_its_line(moves: list[Move]) -> None:
    assert len(moves) > 1_000
    for _, _, _, model in moves:
        assert len(set(model.line)) == len(model.line) <= len(model.versions)
        assert [version.number for version in model.versions] == list(range(1, len(model.versions) + 1))
        states = [version_state(model, version) for version in model.versions]
        assert sum(state.position is Position.CHAMPION for state in states) == bool(model.line)
        assert not NEVER & set(states)
        assert model.previous is None or version_state(model, model.previous).mark is not Mark.REVOKED


def test_every_row_and_every_state_is_met(moves: list[Move], request: pytest.FixtureRequest) -> None:
    met, states = set(), set()
    for model, event, version, _ in moves:
        states.add(version_state(model, version))
        met.add(id(transition_of(model, event, version)))
    everything = {VersionState(position, mark) for position in Position for mark in Mark}
    twin = "twin" in request.node.callspec.id
    foreign = {(Position.ABSENT, mark) for mark in (Mark.ROLLED_BACK, Mark.REVOKED)}  # by weights in another archive
    assert states == everything - NEVER - (set() if twin else foreign)
    unmet = [row for row in TABLE if id(row) not in met]
    outside = {Condition.KEEP_LAST, Condition.SERVED}  # what the record does not tell
    needs_twin = {E.DECISION_SAME_WEIGHTS} if not twin else set()
    assert [row for row in unmet if row.condition not in outside and Position.ABSENT not in row.positions
            and not needs_twin & {*row.events}] == []  # fmt: skip


def test_a_version_is_afterwards_where_its_row_says_and_so_is_the_other(moves: list[Move]) -> None:
    for model, event, version, after in moves:
        row, state = transition_of(model, event, version), version_state(model, version)
        if row.error is not None or event is E.DELETE:
            assert after == model
            continue
        now, wanted = version_state(after, version), row.after(state)
        assert now.position is wanted.position
        siblings = [item for item in model.versions if version and item.model == version.model and item != version]
        assert now.mark is wanted.mark or siblings, (event, state, now)
        if row.change is None:
            assert after == model
        if row.other == REPLACED and model.champion is not None:
            assert version_state(after, model.champion).position is Position.FORMER
        if row.other == DEMOTED and after.champion is not None:
            assert version_state(model, after.champion).position is Position.FORMER


def test_by_themselves_no_run_and_no_deployment_make_a_champion_of_what_a_person_took_back(moves: list[Move]) -> None:
    for model, event, version, after in moves:
        mark = version_state(model, version).mark
        if RULES[event].by is Actor.APPROVER or mark not in {Mark.ROLLED_BACK, Mark.REVOKED}:
            continue
        same_weights = event is E.DECISION_SAME_WEIGHTS and mark is Mark.ROLLED_BACK
        assert model.champion == after.champion or after.champion != version or same_weights, (event, version)


def test_nobody_makes_a_revoked_version_the_champion(moves: list[Move]) -> None:
    for model, event, version, after in moves:
        champion = after.champion
        if champion is None or (model.champion is not None and champion.archive == model.champion.archive):
            continue
        undone = event is E.TAKE_BACK  # what serves is revoked, and what should have come after it cannot be served
        assert version_state(after, champion).mark is not Mark.REVOKED or undone, (event, version)


def test_no_event_meets_a_state_for_which_the_table_has_no_row(moves: list[Move]) -> None:
    for event in VersionEvent:
        for state in (VersionState(position, mark) for position in Position for mark in Mark):
            fits = [row for row in TABLE if row.fits(state, event, ())]
            asked = state.position is Position.ABSENT or event in {E.ROLL_BACK, E.SERVE}
            assert fits or asked, (state, event)
    model = RegisteredModel("toy")
    for event in (E.OVERRIDE, E.DECISION_KEEP):
        with pytest.raises(KubetuneError, match="cannot be about a version that is absent, no mark: this is a bug"):
            transition_of(model, event, VERSIONS[0])


def test_a_version_of_another_failure_is_not_tried_again() -> None:
    """The last one that was taken back may try again, and not one before it: somebody chose since."""
    model = RegisteredModel("toy")
    first, second, third = VERSIONS
    for event, version in (
        (E.REGISTER, first), (E.PROMOTE, first), (E.REGISTER, second), (E.PROMOTE, second), (E.TAKE_BACK, second),
        (E.REGISTER, third), (E.PROMOTE, third), (E.TAKE_BACK, third),
    ):  # fmt: skip
        model = moved(model, event, model.of_archive(version.archive) or version)
    assert [version.withdrawn for version in model.versions] == ["", "not-ready", "not-ready"]
    assert Condition.OVERTAKEN in conditions_of(model, model.version(2))
    assert moved(model, E.TRY_AGAIN, model.version(2)) == model
    assert moved(model, E.TRY_AGAIN, model.version(3)).champion == replace(model.version(3), withdrawn="")


def test_a_rollback_passes_over_what_was_revoked_while_it_was_the_champion() -> None:
    model = RegisteredModel("toy")
    for version in VERSIONS[:2]:
        model = moved(model, E.REGISTER, version)
        model = moved(model, E.PROMOTE, model.of_archive(version.archive))
    model = moved(model, E.REVOKE, model.version(2))
    model = moved(moved(model, E.REGISTER, VERSIONS[2]), E.PROMOTE, replace(VERSIONS[2], number=3))
    assert model.line == (1, 2, 3) and model.previous == model.version(1)
    back = moved(model, E.ROLL_BACK, model.champion)
    assert back.line == (1,)
    with pytest.raises(RefusedError):
        apply_event(back, E.PROMOTE, back.version(2))

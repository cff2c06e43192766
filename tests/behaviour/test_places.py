"""Answers that point at characters: moved by what a perturbation did, kept by sound models, and not by faulty ones.

The models are rules, so that only the suite is on trial, not a training run.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetune.behaviour.cases import Row
from kubetune.behaviour.chosen import chosen_suite
from kubetune.behaviour.edits import AnswerPlace, Edit, edited, edits_between, moved_place
from kubetune.behaviour.load import parse_suite
from kubetune.behaviour.perturbations import perturb
from kubetune.behaviour.places import run_place_suite
from kubetune.behaviour.record import judge_behaviour
from kubetune.behaviour.renaming import rename
from kubetune.behaviour.run import SuiteResult
from kubetune.behaviour.suite import Suite
from kubetune.errors import ConfigError, KubetuneError

Item = tuple[str, ...]
Model = Callable[[Item], list[AnswerPlace]]
PEOPLE = ("Smith", "Okafor", "Lindqvist", "Jones", "Mehta", "Tanaka", "Alvarez", "Novak")
TOWNS = ("Rome", "Oslo", "Lagos", "Kyoto", "Lima", "Porto", "Cairo", "Quito")
SEEDS = range(5)


@given(
    st.text("ab .", max_size=12), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), st.text("xy", max_size=3)))
)
def test_characters_are_found_again_with_the_edits_inside_of_them(text: str, drawn: list[tuple[int, int, str]]) -> None:
    edits: list[Edit] = []
    for start, length, new in sorted(drawn):
        if start + length <= len(text) and (not edits or start > edits[-1].end):
            edits.append(Edit(start, start + length, new))
    after = edited(text, tuple(edits))
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            place = moved_place(start, end, tuple(edits))
            inside = [edit for edit in edits if edit.end > start and edit.start < end]
            whole = all(start <= edit.start and edit.end <= end for edit in inside)
            assert (place is not None) == whole
            if place is not None:
                shifted = tuple(Edit(edit.start - start, edit.end - start, edit.text) for edit in inside)
                assert after[slice(*place)] == edited(text[start:end], shifted)


def test_what_is_replaced_as_a_whole_stands_where_its_replacement_does() -> None:
    edits = (Edit(0, 3, "Grace"), Edit(13, 17, "Oslo"))
    assert edited("Ada lives in Rome", edits) == "Grace lives in Oslo"
    assert (moved_place(0, 3, edits), moved_place(13, 17, edits)) == ((0, 5), (15, 19))
    assert moved_place(1, 3, edits) is None and moved_place(4, 9, edits) == (6, 11)


@pytest.mark.parametrize("name", ["upper-case", "lower-case", "append-neutral", "prepend-neutral"])
def test_the_edit_of_a_perturbation_is_found(name: str) -> None:
    text = "It took place in Rome, and Ada wrote it "
    changed = perturb(name, text, "0")
    assert changed is not None
    edits = edits_between(text, changed)
    place = moved_place(17, 21, edits)
    assert place is not None and changed[slice(*place)].casefold() == "rome"
    assert not edits or edited(text, edits) == changed


def test_a_name_is_renamed_in_both_texts_or_not_at_all() -> None:
    item = ("Where does Ada live?", "Ada lives in Rome. Ada reads.")
    edits = rename(item, ["Grace", "Ada"], Random(0))
    assert edits is not None
    assert tuple(map(edited, item, edits)) == ("Where does Grace live?", "Grace lives in Rome. Grace reads.")
    assert rename(("Where does Ada live?", "She lives in Rome."), ["Grace"], Random(0)) is None
    assert rename(("Ada lives where?", "Ada lives in Rome."), ["Grace"], Random(0)) is None, "any word begins so"


# --- entities


def entity_rows() -> list[Row]:
    rows = []
    for number in range(40):
        person, town = PEOPLE[number % 8], TOWNS[(number * 3 + number // 8) % 8]
        text = f"Then {'old ' * (number % 3)}Mr {person} moved to {town} in the year {1900 + number}"
        marks = tuple(
            AnswerPlace(0, text.index(word), text.index(word) + len(word), kind)
            for word, kind in ((person, "person"), (town, "town"))
        )
        rows.append(Row((text,), None, None, marks))
    return rows


def sound_entities(item: Item) -> list[AnswerPlace]:
    """Reads the word before, in any case."""
    cues = (("mr", "person"), ("to", "town"))
    return [
        AnswerPlace(0, *found.span(1), kind, 0.9)
        for cue, kind in cues
        for found in re.finditer(rf"\b{cue} (\w+)", item[0], re.IGNORECASE)
    ]


def knows_by_heart(item: Item) -> list[AnswerPlace]:
    """Finds the people that it has met, by their names alone."""
    known = PEOPLE[:4]
    return [
        mark for mark in sound_entities(item) if mark.name == "town" or item[0][mark.start : mark.end].title() in known
    ]


def needs_capitals(item: Item) -> list[AnswerPlace]:
    return [mark for mark in sound_entities(item) if item[0][mark.start : mark.end].istitle()]


def counts_from_the_first_sentence(item: Item) -> list[AnswerPlace]:
    """Gives places in the last sentence as if it were the whole text."""
    before = item[0].rfind(". ") + 2 if ". " in item[0] else 0
    return [
        mark._replace(start=mark.start - before, end=mark.end - before)
        for mark in sound_entities(item)
        if before <= mark.start
    ]


def names_another_type(item: Item) -> list[AnswerPlace]:
    """Takes a short name for a town."""
    return [mark._replace(name="town") if mark.end - mark.start < 6 else mark for mark in sound_entities(item)]


# --- answers


def question_rows() -> list[Row]:
    rows = []
    for number in range(40):
        one, two = PEOPLE[number % 8], PEOPLE[(number + 1 + number // 8) % 8]
        first, second = TOWNS[number % 8], TOWNS[(number + 3) % 8]
        context = f"The report says that {one} lives in {first}. The letter says that {two} lives in {second}."
        rows.append(Row((f"Where does {(one, two)[number % 2]} live?", context)))
    return rows


def sound_answer(item: Item) -> list[AnswerPlace]:
    """Finds the name of the question in the context, and what it lives in."""
    asked = re.search(r"does (\w+) live", item[0], re.IGNORECASE)
    found = asked and re.search(rf"\b{asked[1]} lives in (\w+)", item[1], re.IGNORECASE)
    return [AnswerPlace(1, *found.span(1), "", 0.9)] if found else []


def takes_the_last(item: Item) -> list[AnswerPlace]:
    """Answers with the last `in …` of a context that does not end where it should."""
    found = list(re.finditer(r"\bin (\w+)", item[1], re.IGNORECASE))[-1]
    return sound_answer(item) if item[1].count(". ") == 1 else [AnswerPlace(1, *found.span(1), "", 0.8)]


def needs_the_question_word_first(item: Item) -> list[AnswerPlace]:
    return sound_answer(item) if item[0].startswith("Where") else []


def needs_a_known_name(item: Item) -> list[AnswerPlace]:
    return sound_answer(item) if any(name.lower() in item[0].lower() for name in PEOPLE) else []


SOUND: dict[str, tuple[Model, Callable[[], list[Row]]]] = {
    "entities": (sound_entities, entity_rows),
    "answers": (sound_answer, question_rows),
}
FAULTS: dict[str, tuple[str, Model, set[str]]] = {
    "learnt by heart": ("entities", knows_by_heart, {"other entities"}),
    "type by length": ("entities", names_another_type, {"other entities"}),
    "capitals": ("entities", needs_capitals, {"casing"}),
    "offsets of a part": ("entities", counts_from_the_first_sentence, {"sentence beside"}),
    "the last place": ("answers", takes_the_last, {"distraction"}),
    "question word": ("answers", needs_the_question_word_first, {"wording"}),
    "known names": ("answers", needs_a_known_name, {"other names"}),
}


@cache
def judged(name: str) -> Suite:
    shipped = chosen_suite(name, {})
    return chosen_suite(name, dict.fromkeys(shipped.capabilities, 0.1))


def result_of(suite: str, model: Model, seed: int) -> SuiteResult:
    rows = SOUND[suite][1]()
    return run_place_suite(judged(suite), lambda items: [model(item) for item in items], rows, seed)


@pytest.mark.parametrize("suite", SOUND)
def test_a_sound_model_passes_with_every_seed_and_each_test_has_cases(suite: str) -> None:
    for seed in SEEDS:
        found = result_of(suite, SOUND[suite][0], seed)
        assert judge_behaviour(judged(suite), found).passed, [outcome.clearest for outcome in found.outcomes]
        assert all(outcome.count >= 20 for outcome in found.outcomes), [(o.test, o.count) for o in found.outcomes]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_by_the_capability_for_it_alone(fault: str) -> None:
    suite, model, told = FAULTS[fault]
    verdict = judge_behaviour(judged(suite), result_of(suite, model, 0))
    assert verdict.code == 77
    assert {reason.partition(": ")[0] for reason in verdict.reasons} == told, verdict.reasons


def test_a_failure_says_what_had_to_stay_and_what_came_up() -> None:
    outcomes = {outcome.test: outcome for outcome in result_of("answers", takes_the_last, 0).outcomes}
    why = outcomes["sentence behind"].clearest[0].why
    assert re.search(r"'\w+' \(0\.90\) must stay, but '\w+' \(0\.80\) came up", why), why
    cases = [case for case in result_of("answers", takes_the_last, 0).cases if case.test == "renamed"]
    assert len({case.case for case in cases}) == len(cases) == outcomes["renamed"].count


def test_an_entity_that_the_model_did_not_know_before_is_not_judged() -> None:
    """Finding the new one is no failure: nothing was said of the old one."""
    rows = entity_rows()
    test = "  - {kind: kept, name: a, capability: words, rows: {}, perturb: swap-entity}\n"
    suite = parse_suite(f"name: toy\ndescription: A toy.\ncapabilities: {{words: {{at_most: 0}}}}\ntests:\n{test}")
    towns = lambda item: [mark for mark in sound_entities(item) if mark.name == "town"]  # noqa: E731
    found = run_place_suite(suite, lambda items: [towns(item) for item in items], rows, 0).outcomes[0]
    assert (found.count, found.failures) == (40, 0)


MIXED = "  - {kind: inv, name: b, capability: words, rows: {}, perturb: typo}\n"
KEPT = "  - {kind: kept, name: a, capability: words, rows: {}, perturb: rename}\n"
HEAD = "name: toy\ndescription: A toy.\ncapabilities: {words: {at_most: 0}}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + "labels: [a, b]\ntests:\n" + KEPT + MIXED, "write a suite of each"),
        (HEAD + "tests:\n" + MIXED, "at least two classes"),
        (HEAD + "tests:\n" + KEPT.replace("rename", "renam"), "'renam' is not declared"),
        (HEAD + "labels: [a, b]\ntests:\n" + MIXED.replace("typo", "swap-entity"), "'swap-entity' is not declared"),
    ],
)
def test_a_suite_that_judges_places_is_read_strictly(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_suite(text)


def test_wrong_uses_are_named() -> None:
    suite = parse_suite(HEAD + "tests:\n" + KEPT)
    with pytest.raises(ConfigError, match="its items have one text"):
        run_place_suite(suite, lambda items: [[] for _ in items], entity_rows(), 0)
    outside: Sequence[list[AnswerPlace]] = [[AnswerPlace(1, 0, 999, "")]]
    with pytest.raises(KubetuneError, match="outside of its text"):
        run_place_suite(suite, lambda items: outside * len(items), question_rows(), 0)
    with pytest.raises(KubetuneError, match="one each is needed"):
        run_place_suite(suite, lambda items: [], question_rows(), 0)

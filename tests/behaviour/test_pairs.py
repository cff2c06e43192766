"""Suites of similarity, of entailment and of several labels: sound models pass, a planted fault is found by its own.

The models are rules (`pair_rules.py`), so that only the suite is on trial, not a training run.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from behaviour import pair_rules as rules
from kubetune.behaviour.cases import Row, case_ids, cases_of
from kubetune.behaviour.chosen import chosen_suite
from kubetune.behaviour.label_sets import run_label_set_suite
from kubetune.behaviour.load import parse_suite
from kubetune.behaviour.record import judge_behaviour
from kubetune.behaviour.run import SuiteResult, run_suite
from kubetune.behaviour.similarity import run_similarity_suite
from kubetune.behaviour.suite import Suite
from kubetune.errors import ConfigError, KubetuneError

Item = tuple[str, ...]
Model = Callable[[Item], Any]
SOUND: dict[str, Model] = {"similarity": rules.alike, "entailment": rules.entailed, "several-labels": rules.chosen}
FAULTS = {
    (suite, capability): model
    for suite, models in {
        "similarity": rules.SIMILARITY_FAULTS,
        "entailment": rules.ENTAILMENT_FAULTS,
        "several-labels": rules.SEVERAL_FAULTS,
    }.items()
    for capability, model in models.items()
}
MOST = 60
SEEDS = range(3)


@cache
def judged(name: str) -> Suite:
    return chosen_suite(name, dict.fromkeys(chosen_suite(name, {}).capabilities, 0.1), MOST)


def result_of(name: str, model: Model, seed: int) -> SuiteResult:
    suite, rows = judged(name), rules.ROWS[name]()
    if name == "similarity":
        return run_similarity_suite(suite, lambda items: list(map(model, items)), rows, seed)
    if name == "several-labels":
        return run_label_set_suite(suite, lambda items: list(map(model, items)), rows, seed)

    def shares(items: Any) -> np.ndarray:
        numbers = [rules.CLASSES.index(model(item)) for item in items]
        return np.full((len(numbers), 3), 0.05) + 0.85 * np.eye(3)[numbers]

    return run_suite(suite, shares, rows, seed, rules.CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_model_passes_with_every_seed_and_each_test_has_cases(name: str) -> None:
    for seed in SEEDS:
        found = result_of(name, SOUND[name], seed)
        failed = [(outcome.test, outcome.clearest) for outcome in found.outcomes if outcome.failures]
        assert judge_behaviour(judged(name), found).passed and not failed, failed
        assert all(outcome.count >= 20 for outcome in found.outcomes), [(o.test, o.count) for o in found.outcomes]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "capability"), FAULTS)
def test_a_planted_fault_is_found_by_the_capability_for_it_alone(name: str, capability: str) -> None:
    verdict = judge_behaviour(judged(name), result_of(name, FAULTS[name, capability], 0))
    assert {reason.partition(": ")[0] for reason in verdict.reasons} == {capability}, verdict.reasons


def test_every_capability_has_a_planted_fault() -> None:
    assert {name: [each for suite, each in FAULTS if suite == name] for name in SOUND} == {
        name: list(judged(name).capabilities) for name in SOUND
    }


def test_of_three_texts_the_second_must_be_nearer_than_the_third() -> None:
    suite = parse_suite(
        OF_PAIRS + "  - {kind: similar, name: a, capability: words, templates: [[x, y, z]], moves: down}\n"
    )
    (found,) = cases_of(suite.tests[0], suite, (), 0).cases
    assert (found.item, found.variants) == (("x", "y"), (("x", "z"),))
    for far, failures in ((0.4, 0), (0.5, 1), (0.6, 1)):
        near: dict[Item, float] = {("x", "y"): 0.5, ("x", "z"): far}
        outcome = run_similarity_suite(suite, lambda items, near=near: [near[item] for item in items], (), 0).outcomes[
            0
        ]
        assert outcome.failures == failures
    assert outcome.clearest[0].why == "similarity must move down by more than 0, but went from 0.50 to 0.60 (+0.10)"


def test_a_similarity_stays_within_what_is_allowed_either_way() -> None:
    suite = parse_suite(OF_PAIRS + STAYS)
    rows = [Row((f"it is {number}", f"so is {number}"), "alike") for number in range(10, 40)]
    texts = {row.texts for row in rows}
    for moved, failures in ((0.1, 0), (-0.1, 0), (0.3, 30), (-0.3, 30)):
        compare = lambda items, by=moved: [0.5 if item in texts else 0.5 + by for item in items]  # noqa: E731
        assert run_similarity_suite(suite, compare, rows, 0).outcomes[0].failures == failures
    assert not run_similarity_suite(suite, compare, [Row(row.texts, "unlike") for row in rows], 0).outcomes[0].count


def test_what_was_chosen_of_a_text_stays_chosen_beside_another_row() -> None:
    suite = parse_suite(OF_SETS + JOINED)
    rows = [Row((f"{word} {number}",)) for number in range(20) for word in ("glad", "angry", "plain")]
    asked: list[Item] = []

    def forgets(items: Any) -> list[dict[str, float]]:
        """Chooses what the last words say, or the label that says that there is nothing."""
        asked.extend(items)
        return [dict(list(rules.chosen(item).items())[-1:]) or {"neutral": 0.8} for item in items]

    sound = run_label_set_suite(suite, lambda items: list(map(rules.chosen, items)), rows, 0).outcomes[0]
    found = run_label_set_suite(suite, forgets, rows, 0).outcomes[0]
    assert (sound.count, sound.failures, sound.sources) == (60, 0, 60)
    assert 0 < found.failures <= 40, "a label that is ignored is no loss"
    assert found.clearest[0].why in (
        "joy (0.90) must stay, but anger (0.90) is chosen",
        "anger (0.90) must stay, but joy (0.90) is chosen",
    )
    joined = [item[0] for item in asked if item not in {row.texts for row in rows}]
    assert all(
        text.count(". ") == 1 and {(part,) for part in text.split(". ")} <= {r.texts for r in rows} for text in joined
    )


def test_labels_that_come_up_are_a_failure_unless_they_may() -> None:
    rows = [Row((f"all {number}",)) for number in range(20)]
    more = lambda items: [{"joy": 0.9} | ({"fear": 0.6} if ". " in item[0] else {}) for item in items]  # noqa: E731
    for may_gain, failures in (("true", 0), ("false", 20)):
        suite = parse_suite(OF_SETS + JOINED.replace("may_gain: true", f"may_gain: {may_gain}"))
        found = run_label_set_suite(suite, more, rows, 0).outcomes[0]
        assert found.failures == failures
    assert found.clearest[0].why == "fear (0.60) came up" and found.clearest[0].answer == "joy (0.90), fear (0.60)"


def test_cases_that_ask_something_else_of_the_same_texts_are_not_paired() -> None:
    test = parse_suite(OF_PAIRS + STAYS).tests[0]
    suite, rows = parse_suite(OF_PAIRS + STAYS), [Row(("it is 11", "so is 11"), "alike")]
    cases = cases_of(test, suite, rows, 0).cases
    assert case_ids(test, cases) == case_ids(test.model_copy(update={"capability": "other"}), cases)
    for change in ({"by": 0.3}, {"moves": "not-up"}):
        assert case_ids(test, cases) != case_ids(test.model_copy(update=change), cases)


HEAD = "name: toy\ndescription: A toy.\ncapabilities: {words: {at_most: 0}}\n"
OF_PAIRS = OF_SETS = HEAD + "tests:\n"
STAYS = (
    "  - {kind: similar, name: a, capability: words, rows: {labels: [alike]}, perturb: swap-number, column: 1, "
    "moves: stays, by: 0.2}\n"
)
JOINED = (
    "  - {kind: chosen, name: a, capability: words, rows: {}, perturb: row-behind, may_gain: true, ignore: [neutral]}\n"
)
TRIPLE = "  - {kind: similar, name: b, capability: words, templates: [[x, y, z]], moves: down}\n"


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        (STAYS + JOINED.replace("name: a", "name: b"), "kind chosen judge label-sets and kind similar judge "),
        (TRIPLE.replace("moves: down", "moves: sideways"), r"`tests\.0\.moves`"),
        (TRIPLE.replace("moves: down", "moves: down, by: 2"), "less than 2"),
        (TRIPLE.replace("moves: down", "moves: down, perturb: typo"), "three texts are for kind similar without"),
        (TRIPLE.replace("moves: down", "moves: down, using: names"), "there is no perturbation to draw for"),
        (TRIPLE.replace("[[x, y, z]]", "[[x, y]]"), "or give templates of three texts"),
        (TRIPLE.replace("templates: [[x, y, z]]", "rows: {}"), "name a perturbation in `perturb`"),
        (TRIPLE.replace("[[x, y, z]]", "[[x, y, z, z]]"), r"`tests\.0\.templates\.0"),
        (JOINED.replace("row-behind", "row-beside"), "is not declared: allowed are .*row-before, row-behind"),
        (JOINED.replace("may_gain", "may_win"), "did you mean `may_gain`"),
        (STAYS.replace("swap-number", "row-behind"), "'row-behind' is not declared"),
        (STAYS.replace(", perturb: swap-number", ""), "name a perturbation in `perturb`"),
    ],
)  # fmt: skip
def test_what_is_refused(tests: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_suite(OF_PAIRS + tests)


def test_three_texts_are_refused_where_classes_are_asked() -> None:
    text = (
        HEAD
        + "labels: [a, b]\ntests:\n  - {kind: mft, name: a, capability: words, templates: [[x, y, z]], expect: a}\n"
    )
    with pytest.raises(ConfigError, match="of three texts are for kind similar"):
        parse_suite(text)


def test_wrong_uses_are_named() -> None:
    pairs, sets = parse_suite(OF_PAIRS + TRIPLE), parse_suite(OF_SETS + JOINED)
    rows = [Row(("one",)), Row(("other",))]
    with pytest.raises(KubetuneError, match="as many finite numbers"):
        run_similarity_suite(pairs, lambda items: [0.5], (), 0)
    with pytest.raises(KubetuneError, match="as many finite numbers"):
        run_similarity_suite(pairs, lambda items: [float("nan")] * len(items), (), 0)
    with pytest.raises(KubetuneError, match="one each is needed"):
        run_label_set_suite(sets, lambda items: [], rows, 0)
    with pytest.raises(KubetuneError, match="cannot be run on similarities"):
        run_similarity_suite(sets, lambda items: [], rows, 0)
    with pytest.raises(KubetuneError, match="cannot be run on sets of labels"):
        run_label_set_suite(pairs, lambda items: [], rows, 0)
    with pytest.raises(ConfigError, match="perturbs column 1, which rows lack"):
        run_label_set_suite(parse_suite(OF_SETS + JOINED.replace("rows: {}", "rows: {}, column: 1")), list, rows, 0)


def test_the_second_text_becomes_the_first() -> None:
    text = (
        HEAD
        + "labels: [a, b]\ntests:\n"
        + ("  - {kind: dir, name: a, capability: words, rows: {}, perturb: pair-same, label: a, moves: up}\n")
    )
    suite = parse_suite(text)
    found = cases_of(suite.tests[0], suite, [Row(("x", "y"), "b"), Row(("x", "x"), "a"), Row(("z", "y"), "b")], 0).cases
    assert [(case.item, case.variants) for case in found] == [(("x", "y"), (("x", "x"),)), (("z", "y"), (("z", "z"),))]

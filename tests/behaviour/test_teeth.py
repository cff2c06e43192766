"""Planted faults: each is found by the suite's capability for it, and sound classifiers pass.

The classifiers are rules (`rule_classifiers.py`), so that only the suite is on trial, not a training run.
"""

from functools import cache

import pytest

from behaviour import rule_classifiers as rules
from kubetune.behaviour.cases import Row, cases_of
from kubetune.behaviour.load import load_suite
from kubetune.behaviour.record import judge_behaviour
from kubetune.behaviour.run import SuiteResult, run_suite
from kubetune.behaviour.suite import Suite
from kubetune.behaviour.words import free_words

pytestmark = pytest.mark.slow

SEEDS = range(5)
MOST = 60
SOUND = {
    "sentiment": rules.sentiment(),
    "emotion": rules.emotion(),
    "acceptability": rules.acceptability,
    "topic": rules.topic(),
}
NEGATION, NAMES, TYPOS, WHOLE = "negation", "names and places", "typos", "whole text"
TOLD_OF: dict[str, set[str]] = {
    "sentiment": {NEGATION, NAMES, TYPOS, WHOLE},
    "emotion": {NEGATION, NAMES, TYPOS, WHOLE},
    "acceptability": {NAMES, WHOLE},
    "topic": {NAMES, TYPOS, WHOLE},
}
"""Which of the faults a suite has a capability for: neither grammar nor topic hangs on a negation, and a word with a
typo is no acceptable one."""
FAULTS = [(suite, capability) for suite, capabilities in TOLD_OF.items() for capability in sorted(capabilities)]


@cache
def suite_of(name: str) -> Suite:
    """The shipped suite with fewer cases out of templates, which makes a fault harder to prove, never easier."""
    suite = load_suite(name)
    return suite.model_copy(update={"tests": [test.model_copy(update={"most": MOST}) for test in suite.tests]})


@cache
def vocabulary(name: str) -> frozenset[str]:
    """Every word of the texts before they are perturbed, and of the lists that perturbations draw from."""
    suite, words = suite_of(name), set()
    for test in suite.tests:
        for case in cases_of(test, suite, rules.rows(name), 0).cases:
            items = (case.item,) if getattr(test, "perturb", "").startswith("typo") else (case.item, *case.variants)
            words |= {found.group().lower() for item in items for text in item for found in free_words(text)}
    return frozenset(words)


def faulty(suite: str, capability: str, seed: int) -> rules.Classifier:
    sound = SOUND[suite]
    if capability == NEGATION:
        return rules.ignores_negation(sound)
    if capability == NAMES:
        return rules.keys_on(rules.NAMED[seed % len(rules.NAMED)], sound)
    if capability == TYPOS:
        return rules.flips_on_typo(sound, set(vocabulary(suite)))
    return rules.reads_five_words(sound)


def result_of(suite: str, score: rules.Classifier, seed: int) -> SuiteResult:
    labels = getattr(SOUND[suite], "labels", None)
    return run_suite(suite_of(suite), score, rules.rows(suite), seed, labels)


@pytest.mark.parametrize("suite", SOUND)
def test_a_sound_classifier_passes_with_every_seed(suite: str) -> None:
    """The false-alarm rate is 0 of 20: 4 suites × 5 seeds. (Its 95 % interval reaches to 0.16.)"""
    alarms = {seed: judge_behaviour(suite_of(suite), result_of(suite, SOUND[suite], seed)).reasons for seed in SEEDS}
    assert not any(alarms.values()), alarms


@pytest.mark.parametrize(("suite", "capability"), FAULTS)
def test_a_fault_is_found_by_the_capability_for_it(suite: str, capability: str) -> None:
    seed = FAULTS.index((suite, capability))
    verdict = judge_behaviour(suite_of(suite), result_of(suite, faulty(suite, capability, seed), seed))
    assert verdict.code == 77
    told = {reason.partition(": ")[0] for reason in verdict.reasons}
    assert capability in told, verdict.reasons
    if capability == NAMES:  # in lower case the name is another word, so the answer turns there as well
        assert told <= {capability, "surface"}, verdict.reasons
    if capability in (NEGATION, TYPOS):  # a model that reads five words fails nearly everywhere
        assert told == {capability}, verdict.reasons


def test_a_model_without_neutral_is_held_to_the_other_right_answers() -> None:
    suite = suite_of("sentiment")
    found = run_suite(
        suite, rules.sentiment(("negative", "positive")), rules.rows("sentiment"), 0, ["negative", "positive"]
    )
    assert not found.left_out
    assert judge_behaviour(suite, found).passed


def test_a_suite_speaks_without_rows_and_says_what_it_does_not_know() -> None:
    found = run_suite(suite_of("emotion"), SOUND["emotion"], list[Row](), 0, SOUND["emotion"].labels)
    assert judge_behaviour(suite_of("emotion"), found).reasons == tuple(
        f"{name}: none of its tests applies to any row, so nothing is known; give it templates."
        for name in ("surface", "wording")
    )

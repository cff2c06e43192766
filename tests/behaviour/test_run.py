"""A suite run over small classifiers: rates, intervals, clearest failures, verdict, determinism."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest

from kubetune.behaviour.cases import Row
from kubetune.behaviour.load import parse_suite
from kubetune.behaviour.proportions import clustered_wilson, wilson
from kubetune.behaviour.record import judge_behaviour
from kubetune.behaviour.run import SuiteResult, run_suite
from kubetune.behaviour.suite import Suite
from kubetune.errors import ConfigError, KubetuneError

LABELS = ("bad", "good")


def suite_of(tests: str, capability: str = "at_most: 0.1, bound: point") -> Suite:
    return parse_suite(
        "name: toy\ndescription: A toy.\nlabels: [bad, good]\noptional_labels: [odd]\n"
        "lexicons: {thing: [room, egg, food, film, song], praise: [It was good.]}\n"
        f"capabilities: {{words: {{{capability}}}}}\ntests:\n{tests}"
    )


def by_share(items: Sequence[tuple[str, ...]]) -> np.ndarray:
    """P(good) is half the number of `good` in the text, at most 1."""
    good = np.array([min(1.0, " ".join(item).lower().count("good") / 2) for item in items])
    return np.column_stack([1 - good, good]).reshape(len(items), 2)


def run(tests: str, rows: Sequence[Row] = (), seed: int = 0) -> SuiteResult:
    return run_suite(suite_of(tests), by_share, rows, seed, LABELS)


MFT = "  - {kind: mft, name: a, capability: words, templates: ['{thing} good good', '{thing} so so'], expect: good}\n"


def test_minimum_functionality() -> None:
    found = run(MFT).outcomes[0]
    assert (found.capability, found.test, found.kind, found.inputs) == ("words", "a", "mft", 10)
    assert (found.count, found.failures, found.rate) == (10, 5, 0.5)
    assert (found.sources, list(found.clusters.values())) == (2, [(5, 0), (5, 5)])
    assert (found.low, found.high) == clustered_wilson([(5, 0), (5, 5)])
    assert [failure.text for failure in found.clearest] == [
        f"{t} so so" for t in ("Room", "Egg", "Food", "Film", "Song")
    ]
    assert found.clearest[0].why == "good is right, but bad has 1.00 against 0.00"
    assert found.clearest[0].changed is None
    assert found.clearest[0].answer == "bad"


def test_invariance_fails_where_any_variant_changes_the_answer() -> None:
    rows = [Row(("good good",)), Row(("good room",)), Row(("so so",))]
    test = "  - {kind: inv, name: a, capability: words, rows: {}, perturb: append, using: praise, times: 2}\n"
    found = run(test, rows).outcomes[0]
    assert (found.count, found.failures) == (3, 2)
    clearest = found.clearest[0]
    assert clearest.text == "so so"
    assert clearest.changed == "so so. It was good. It was good."
    assert clearest.why == "bad (1.00) must stay, but the answer became good (1.00)"


@pytest.mark.parametrize(
    ("moves", "by", "failures"),
    [("up", 0.0, 0), ("up", 0.4, 0), ("up", 0.6, 1), ("not-down", 0.0, 0), ("down", 0.0, 3), ("not-up", 0.1, 2)],
)
def test_direction(moves: str, by: float, failures: int) -> None:
    """The row that is at the ceiling already has no room to move up."""
    rows = [Row(("good good",)), Row(("good room",)), Row(("so so",))]
    test = (
        "  - {kind: dir, name: a, capability: words, rows: {}, perturb: append, using: praise, label: good, "
        f"moves: {moves}, by: {by}}}\n"
    )
    found = run(test, rows).outcomes[0]
    assert (found.count, found.failures) == (3, failures)
    if (moves, by) == ("down", 0.0):
        assert found.clearest[0].why == "good must move down by more than 0, but went from 0.50 to 1.00 (+0.50)"
    assert all(0 <= failure.clearness <= 1 for failure in found.clearest)


def test_a_pair_may_not_depend_on_its_order() -> None:
    def first_only(items: Sequence[tuple[str, ...]]) -> np.ndarray:
        return by_share([item[:1] for item in items])

    rows = [Row(("good good", "so")), Row(("so", "good good")), Row(("so", "so")), Row(("only one",))]
    test = "  - {kind: inv, name: a, capability: words, rows: {}, perturb: pair-order}\n"
    found = run_suite(suite_of(test), first_only, rows, 0, LABELS).outcomes[0]
    assert (found.inputs, found.count, found.failures) == (4, 2, 2)
    assert found.clearest[0].changed == "so ¶ good good"
    assert run(test, rows).outcomes[0].failures == 0


def test_the_second_text_of_a_pair_is_perturbed() -> None:
    test = "  - {kind: inv, name: a, capability: words, templates: [[one, two]], perturb: upper-case, column: 1}\n"
    seen: list[tuple[str, ...]] = []
    run_suite(suite_of(test), lambda items: seen.extend(items) or by_share(items), (), 0, LABELS)
    assert seen == [("one", "two"), ("one", "TWO")]
    with pytest.raises(ConfigError, match="set column to 0"):
        run(test.replace("[[one, two]]", "[one]"))


def test_every_distinct_item_is_scored_once_in_one_call() -> None:
    calls: list[list[tuple[str, ...]]] = []

    def score(items: Sequence[tuple[str, ...]]) -> np.ndarray:
        calls.append(list(items))
        return by_share(items)

    rows = [Row((f"number {n} is good",)) for n in range(10, 60)] * 2
    tests = (
        "  - {kind: inv, name: a, capability: words, rows: {}, perturb: upper-case}\n"
        "  - {kind: inv, name: b, capability: words, rows: {}, perturb: swap-number}\n"
    )
    found = run_suite(suite_of(tests), score, rows, 0, LABELS)
    assert [outcome.count for outcome in found.outcomes] == [50, 50]
    assert len(calls) == 1
    assert len(calls[0]) == len(set(calls[0])) == found.scored
    assert {row.texts for row in rows} <= set(calls[0])


def test_equal_seeds_give_equal_results_and_other_seeds_other_cases() -> None:
    rows = [Row((f"number {n} is good",)) for n in range(10, 60)]
    test = "  - {kind: inv, name: a, capability: words, rows: {}, perturb: typo}\n"
    seen: list[list[tuple[str, ...]]] = []
    score = lambda items: seen.append(list(items)) or by_share(items)  # noqa: E731
    results = [run_suite(suite_of(test), score, rows, seed, LABELS) for seed in (0, 0, 1)]
    assert results[0] == results[1]
    assert seen[0] == seen[1] != seen[2]
    assert json.loads(json.dumps(results[0].as_dict()))["outcomes"][0]["count"] == 50


def test_a_test_has_its_cases_whatever_stands_beside_it() -> None:
    rows = [Row((f"number {n} is good",)) for n in range(10, 60)]
    test = "  - {kind: inv, name: a, capability: words, rows: {most: 5}, perturb: typo-swap}\n"
    assert run(MFT.replace("name: a", "name: z") + test, rows).outcomes[1] == run(test, rows).outcomes[0]


def test_shown_text_is_one_short_line_without_controls() -> None:
    rows = [Row(("so \u202e so\n<b>" + "x" * 500,))]
    found = run(
        "  - {kind: inv, name: a, capability: words, rows: {}, perturb: append, using: praise, times: 2}\n", rows
    )
    shown = found.outcomes[0].clearest[0]
    assert shown.text.startswith("so so <b>xxx")
    assert shown.text.endswith("…")
    assert len(shown.text) == 200


def test_a_label_that_the_model_lacks() -> None:
    test = MFT.replace("expect: good", "expect: odd").replace("name: a", "name: odd one") + MFT
    found = run(test)
    assert [outcome.test for outcome in found.outcomes] == ["a"]
    assert found.left_out == ("odd one is left out: the model has no label odd.",)
    assert run(MFT.replace("expect: good", "expect: [odd, good]")).outcomes[0].failures == 5
    with pytest.raises(ConfigError, match="needs labels that the model lacks: good"):
        run_suite(suite_of(MFT), by_share, (), 0, ("bad", "odd"))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda scores: scores[:-1],
        lambda scores: scores[:, :1],
        lambda scores: scores * np.nan,
        lambda scores: scores * 2,
        lambda scores: scores - 1,
    ],
)
def test_wrong_scores_are_an_error(wrong) -> None:
    with pytest.raises(KubetuneError, match="Scores"):
        run_suite(suite_of(MFT), lambda items: wrong(by_share(items)), (), 0, LABELS)


def test_wilson() -> None:
    """Against the roots of the equation that defines the interval: (p - f)² = z² p (1 - p) / n."""
    for failures, count in ((0, 10), (1, 10), (5, 10), (10, 10), (3, 200), (199, 200)):
        low, high = wilson(failures, count)
        assert 0 <= low <= failures / count <= high <= 1
        for end in (low, high):
            if 0 < end < 1:
                assert math.isclose(
                    (end - failures / count) ** 2, 1.959963984540054**2 * end * (1 - end) / count, rel_tol=1e-9
                )
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="2 failures of 1"):
        wilson(2, 1)


def test_wilson_of_clusters() -> None:
    """One case each is Wilson's own; a template that fails as a whole is one case; failures inside it tell of more."""
    for failures, count in ((0, 10), (3, 40), (40, 40)):
        assert clustered_wilson([(1, int(n < failures)) for n in range(count)]) == wilson(failures, count)
    assert clustered_wilson([(50, 50)]) == pytest.approx(wilson(1, 1))
    assert clustered_wilson([(50, 50), (50, 0), (50, 0)]) == pytest.approx(clustered_wilson([(1, 1), (1, 0), (1, 0)]))
    assert clustered_wilson([(50, 0)] * 4) == pytest.approx(wilson(0, 4))
    assert clustered_wilson([]) == (0.0, 1.0)
    even, lumpy = clustered_wilson([(50, 15)] * 4), clustered_wilson([(50, 30), (50, 30), (50, 0), (50, 0)])
    assert even[0] > 0.18 > lumpy[0]
    assert wilson(60, 200)[0] > even[0]
    with pytest.raises(ValueError, match="2 failures of 1"):
        clustered_wilson([(1, 2)])


@pytest.mark.parametrize(("templates", "alike"), [(3, 0.1), (4, 0.5), (6, 0.3), (12, 0.1), (12, 0.6), (40, 0.3)])
def test_intervals_cover_the_rate_however_alike_the_cases_of_a_template_are(templates: int, alike: float) -> None:
    """Templates drawn from a beta distribution about 0.2; Wilson's own interval covers it far too seldom."""
    draw, worlds, covered, plain = np.random.default_rng(templates), 400, 0, 0
    strength, cases = 1 / alike - 1, 240 // templates
    for _ in range(worlds):
        rates = draw.beta(0.2 * strength, 0.8 * strength, size=templates)
        failed = draw.binomial(cases, rates)
        low, high = clustered_wilson([(cases, int(each)) for each in failed])
        covered += low <= 0.2 <= high
        low, high = wilson(int(failed.sum()), cases * templates)
        plain += low <= 0.2 <= high
    assert covered / worlds >= 0.92
    assert plain / worlds < 0.85


@pytest.mark.parametrize(
    ("capability", "reasons"),
    [
        ("at_most: 0.5, bound: point", ()),
        (
            "at_most: 0.45, bound: point",
            (
                "words: test “a” fails on 5 of 10 cases made of 2 templates or rows (rate 0.5000, 95 % interval 0.0945 "
                "to 0.9055), at most 0.45 is allowed: missed by 0.0500.",
            ),
        ),
        ("at_most: 0.1", ()),
        (
            "at_most: 0.06",
            (
                "words: test “a” fails on 5 of 10 cases made of 2 templates or rows (rate 0.5000, 95 % interval 0.0945 "
                "to 0.9055, whose lower end is judged), at most 0.06 is allowed: missed by 0.0345.",
            ),
        ),
        (
            "at_most: 0.7, bound: upper",
            (
                "words: test “a” fails on 5 of 10 cases made of 2 templates or rows (rate 0.5000, 95 % interval 0.0945 "
                "to 0.9055, whose upper end is judged), at most 0.7 is allowed: missed by 0.2055.",
            ),
        ),
        ("", ()),
    ],
)
def test_verdict(capability: str, reasons: tuple[str, ...]) -> None:
    suite = suite_of(MFT, capability)
    verdict = judge_behaviour(suite, run_suite(suite, by_share, (), 0, LABELS))
    assert verdict.reasons == reasons
    assert verdict.code == (77 if reasons else 0)


def test_a_capability_of_which_nothing_is_known_is_a_miss() -> None:
    suite = suite_of("  - {kind: inv, name: a, capability: words, rows: {}, perturb: swap-name}\n")
    result = run_suite(suite, by_share, [Row(("no name here",))], 0, LABELS)
    assert judge_behaviour(suite, result).reasons == (
        "words: none of its tests applies to any row, so nothing is known; give it templates.",
    )

"""Repeated texts, and cases of one template, count once: levels, intervals and decisions stay what they are."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from class_answers import come_to, of_classes
from kubetune.comparison.clusters import clusters_of
from kubetune.comparison.decision import Comparison, Decision, decide
from kubetune.comparison.guards import paired_capabilities
from kubetune.comparison.pair import Pair
from kubetune.comparison.paired import Discordance, mcnemar, mcnemar_gain, not_inferior, score_interval
from kubetune.comparison.resampling import Cells, swap_test
from kubetune.config.promotion import PromotionSection
from kubetune.contract import Verdict
from kubetune.errors import DataError

ALONE = {"slices": [], "calibration_margin": None}


def repeated(found: Comparison, text: np.ndarray) -> Comparison:
    """Take the rows of `text`, which are then copies where a number is there twice."""
    groups = {name: [(part, inside[text]) for part, inside in parts] for name, parts in found.groups.items()}
    answers = (found.candidate.take(text), found.champion.take(text))
    return Comparison(*answers, found.statistics, groups, found.capabilities, text)


def decided(comparison: Comparison, **more: object) -> Decision:
    return decide(Verdict(), comparison, PromotionSection.model_validate({"resamples": 200} | more), 0)


@pytest.mark.parametrize("metric", ["accuracy", pytest.param("macro_f1", marks=pytest.mark.slow)])
@pytest.mark.parametrize("times", [pytest.param("five", marks=pytest.mark.slow), "mix"])
def test_equal_models_are_promoted_no_oftener_when_texts_are_repeated(compared, metric: str, times: str) -> None:
    """At a level of 2.5 % about 4 of 150 are; counted by row it is every fifth to seventh."""
    promoted = by_row = 0
    for seed in range(150):
        text = np.repeat(np.arange(250), 5 if times == "five" else np.random.default_rng(seed).geometric(1 / 3, 250))
        found = repeated(compared(250, seed), text)
        promoted += decided(found, metric=metric, **ALONE).outcome == "promote"
        by_row += decided(replace(found, texts=None), metric=metric, **ALONE).outcome == "promote"
    assert promoted <= 9  # chance of more: 1 %
    assert by_row >= 15  # so the worlds can tell


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize("gain", [0.0, 0.02, 0.06])
def test_repeating_every_row_changes_neither_decision_nor_interval(compared, metric: str, gain: float) -> None:
    base = compared(700, 3, gain=gain, capabilities={"negation": Discordance(3, 4, 100)})
    rules = {"metric": metric, "slices": [{"column": "label"}, {"column": "place"}]}
    once = decided(base, **rules)
    shuffled = np.random.default_rng(0).permutation(np.tile(np.arange(700), 3))
    for text in (np.arange(700), np.repeat(np.arange(700), 5), shuffled):
        found = decided(repeated(base, text), **rules)
        assert (found.outcome, found.rows_wanted) == (once.outcome, once.rows_wanted)
        one, many = once.document, found.document
        assert (many["texts"], many["rows"]) == (700, len(text))
        for name in ("p", "against", "candidate", "champion", "to_show", "to_rule_out", "gain"):
            assert many["metric"][name] == pytest.approx(one["metric"][name], abs=1e-12)
        assert many["mcnemar"]["p"] == one["mcnemar"]["p"]
        assert many["calibration"] == pytest.approx(one["calibration"], abs=1e-12)
        for left, right in zip(many["guards"], one["guards"], strict=True):
            assert (left["state"], left["to_hold"], left["to_lose"]) == (
                right["state"],
                right["to_hold"],
                right["to_lose"],
            )
            assert (left["within"], left["worse"]) == pytest.approx((right["within"], right["worse"]), abs=1e-12)
            assert left["guard"]["interval"] == pytest.approx(right["guard"]["interval"], abs=1e-12)


def test_sentences_say_texts_where_they_differ_from_rows(compared) -> None:
    base = compared(400, 6, gain=0.02)
    reasons = " ".join(decided(repeated(base, np.repeat(np.arange(400), 3)), metric="accuracy", **ALONE).reasons)
    assert "on 1,200 rows of 400 distinct texts;" in reasons
    assert "of 1,200 rows, the champion alone on" in reasons
    assert "exact test by the 400 distinct texts" in reasons
    assert "more labelled test rows with texts of their own would decide" in reasons
    few = decided(repeated(compared(150), np.repeat(np.arange(150), 4)))
    assert (few.outcome, few.rows_wanted, few.spent) == ("undecided", 50, False)
    assert few.reasons == (
        "600 test rows of 150 distinct texts were found and at least 200 distinct texts are required, so nothing was "
        "tested and no alpha was spent: label 50 more texts.",
    )


def test_one_text_that_fills_a_third_of_the_rows_promotes_nobody(compared) -> None:
    """The candidate alone is right on it; by row that is a gain of a third."""
    base = compared(400, 2)
    labels, predictions = base.statistics.answers(base.champion)
    wrong = np.flatnonzero(~base.champion.right)[0]
    mended = np.where(np.arange(400) == wrong, labels, predictions)
    better = replace(base, candidate=come_to(labels, mended, 3), champion=come_to(labels, predictions, 3), groups={})
    found = repeated(better, np.concatenate([np.arange(400), np.full(200, wrong)]))
    for metric in ("accuracy", "macro_f1"):
        assert decided(found, metric=metric, **ALONE).outcome != "promote"
        assert decided(replace(found, texts=None), metric=metric, **ALONE).outcome == "promote"


def test_a_slice_of_few_texts_is_too_small_however_often_they_occur(compared) -> None:
    base = compared(3000, 1, gain=0.05)
    part = np.arange(3000) < 20
    text = np.concatenate([np.arange(3000), np.repeat(np.arange(20), 9)])
    found = decided(
        repeated(replace(base, groups={"kind": [("rare", part), ("rest", ~part)]}), text), slices=[{"column": "kind"}]
    )
    assert "1 part of the guarded slices has fewer than 50 distinct texts; not judged." in found.reasons


def test_equal_texts_with_unequal_labels_are_one_observation() -> None:
    """A text that people labelled a and b: what one model gains there it loses as well."""
    labels = np.array([0, 1, 0, 1, 0, 0])
    text = np.array([0, 0, 1, 1, 1, 2])
    candidate, champion = np.array([0, 0, 1, 1, 1, 0]), np.array([1, 1, 0, 0, 0, 0])
    found = Discordance.of(candidate == labels, champion == labels, text)
    assert found.clusters is not None
    assert (found.gained, found.lost, found.clusters.sums) == (2, 3, ((-1, 1),))
    assert mcnemar_gain(found) == 1.0
    pair = Pair(come_to(labels, candidate, 2), come_to(labels, champion, 2), of_classes(2), "macro_f1", text)
    assert 0 < swap_test(Cells(pair), 0.05, 0) <= 1


def test_the_exact_test_is_that_of_all_exchanges() -> None:
    draw = np.random.default_rng(1)
    for _ in range(20):
        sums = draw.integers(-4, 5, size=9)
        rows = np.repeat(np.arange(9), np.abs(sums) + 1)
        signs = np.concatenate([[0] + [np.sign(each)] * abs(each) for each in sums]).astype(np.int64)
        found = Discordance.of(signs > 0, signs < 0, rows)
        totals = [
            sum(flip * each for flip, each in zip(flips, sums, strict=True))
            for flips in itertools.product((1, -1), repeat=9)
        ]
        assert mcnemar_gain(found) == pytest.approx(np.mean(np.array(totals) >= sums.sum()))
        assert mcnemar(found) == pytest.approx(mcnemar(found.swapped))


def test_the_exact_test_reaches_small_levels_with_many_sizes() -> None:
    sums = np.random.default_rng(0).integers(1, 60, size=3000)
    rows = np.repeat(np.arange(3000), sums)
    won = np.ones(len(rows), bool)
    flipped = np.isin(rows, np.flatnonzero(np.random.default_rng(1).random(3000) < 0.44))
    p = mcnemar_gain(Discordance.of(won & ~flipped, flipped, rows))
    z = (sums[~np.isin(np.arange(3000), rows[flipped])].sum() - sums[np.unique(rows[flipped])].sum()) / np.sqrt(
        (sums**2).sum()
    )
    assert 1e-12 < p < 1e-4
    assert p == pytest.approx(0.5 * float(np.exp(-(z**2) / 2)) / (z * np.sqrt(np.pi / 2)), rel=0.2)  # the normal tail


def test_copies_have_the_p_values_and_intervals_of_single_rows() -> None:
    draw = np.random.default_rng(4)
    for _ in range(30):
        first, second = draw.random(120) < 0.8, draw.random(120) < 0.75
        single, rows = Discordance.of(first, second), np.repeat(np.arange(120), 7)
        copies = Discordance.of(first[rows], second[rows], rows)
        assert (copies.units, copies.effective) == (120, pytest.approx(120))
        assert copies.variance == pytest.approx(single.variance)
        assert mcnemar(copies) == mcnemar(single)
        assert not_inferior(copies, 0.05) == pytest.approx(not_inferior(single, 0.05))
        assert score_interval(copies) == pytest.approx(score_interval(single))


@pytest.mark.parametrize("heavy", [False, True], ids=["geometric", "one text is a tenth"])
def test_a_loss_of_the_margin_is_let_through_no_oftener_than_the_level_with_copies(heavy: bool) -> None:
    """Texts of unequal sizes whose true loss is the margin, 0.05; by row it is let through far too often."""
    draw, level, trials, through, by_row = np.random.default_rng(3), 0.05, 1500, 0, 0
    for _ in range(trials):
        sizes = draw.geometric(1 / 4, size=150)
        if heavy:
            sizes[0] = sizes[1:].sum() // 9
        rows = np.repeat(np.arange(150), sizes)
        outcome = draw.choice([1, -1, 0], p=[0.03, 0.08, 0.89], size=150)[rows]
        found = Discordance.of(outcome > 0, outcome < 0, rows)
        through += not_inferior(found, 0.05) <= level
        by_row += not_inferior(replace(found, clusters=None), 0.05) <= level
    assert through / trials <= level + 2.5 * np.sqrt(level * (1 - level) / trials)
    assert by_row / trials > 2 * level


def test_two_trainings_that_differ_by_template_lose_no_capability_oftener_than_alpha() -> None:
    """Each of 14 templates is right or wrong as a whole, as a seed has it; by case every second one is lost."""
    draw, lost, by_case = np.random.default_rng(5), 0, 0
    source = np.repeat(np.arange(14), 25)
    for _ in range(400):
        first, second = (draw.random(14) < 0.7 for _ in range(2))
        found = Discordance.of(first[source], second[source], source, copies=False)
        lost += mcnemar_gain(found.swapped) <= 0.05
        by_case += mcnemar_gain(replace(found, clusters=None).swapped) <= 0.05
    assert lost / 400 <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 400)
    assert by_case / 400 > 0.3


def test_a_margin_holds_for_cases_of_few_templates_only_where_these_agree() -> None:
    source = np.repeat(np.arange(8), 50)
    equal = np.zeros(400, dtype=np.int64)
    evenly, lump = equal.copy(), equal.copy()
    evenly[::50], lump[:8] = -1, -1  # the same eight cases lost: one a template, or all in one
    holds = {}
    for name, signs in (("equal", equal), ("evenly", evenly), ("lump", lump)):
        found = Discordance.of(signs > 0, signs < 0, source, copies=False)
        holds[name] = not_inferior(found, 0.05)
        low, high = score_interval(found)
        assert -1 <= low <= found.difference <= high <= 1
    assert holds["equal"] < 1e-4
    assert holds["evenly"] == pytest.approx(not_inferior(Discordance(0, 8, 400), 0.05))
    assert holds["lump"] > 10 * holds["evenly"]


def test_cases_are_paired_by_what_they_were_made_of() -> None:
    cases = [("negation", f"test {number % 2}", f"{number:02}") for number in range(12)]
    candidate = {case: number not in (0, 1, 2, 3) for number, case in enumerate(cases)}
    champion = dict.fromkeys(cases, True)
    sources = {case: f"template {number // 4}" for number, case in enumerate(cases)}
    found = paired_capabilities(candidate, champion, sources)["negation"]
    assert found.clusters is not None
    assert (found.gained, found.lost, found.rows, found.clusters.count) == (0, 4, 12, 3)
    assert found.clusters.sums == ((-4, 1),)
    assert mcnemar_gain(found.swapped) == 0.5
    assert mcnemar_gain(paired_capabilities(candidate, champion)["negation"].swapped) == 1 / 16


def test_texts_must_be_given_for_each_row(compared) -> None:
    with pytest.raises(DataError, match="have 299, 300 rows"):
        replace(compared(300), texts=np.arange(299))


def test_numbers_that_no_row_has_count_for_nothing() -> None:
    found = clusters_of(np.array([1, -1, 0]), np.array([2, 5, 5]), copies=True)
    assert (found.count, found.sums, found.squares, found.crossed) == (2, ((-1, 1), (1, 1)), 5, -1)

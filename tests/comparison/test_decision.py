import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from class_answers import come_to
from kubetune.comparison.decision import Comparison, Decision, decide
from kubetune.comparison.paired import Discordance
from kubetune.config.promotion import GuardedSlice, PromotionSection
from kubetune.contract import Verdict
from kubetune.errors import ConfigError, DataError

FAST = {"resamples": 400}


def rules(**more) -> PromotionSection:
    return PromotionSection.model_validate(FAST | more)


def decided(comparison: Comparison, earlier: int = 0, **more) -> Decision:
    return decide(Verdict(), comparison, rules(**more), earlier)


def test_without_a_champion_the_thresholds_alone_decide() -> None:
    assert decide(Verdict(), None, rules()).outcome == "promote"
    missed = decide(Verdict(77, ("accuracy is 0.6, at least 0.7 is required.",)), None, rules())
    assert missed.outcome == "keep"
    assert missed.reasons == ("accuracy is 0.6, at least 0.7 is required.",)
    assert not missed.spent


def test_missed_thresholds_keep_the_champion_whatever_the_comparison_says(compared) -> None:
    found = decide(Verdict(77, ("too slow.",)), compared(3000, gain=0.05), rules())
    assert (found.outcome, found.spent) == ("keep", False)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_clear_gain_is_promoted_with_its_numbers(compared, metric: str) -> None:
    found = decided(compared(5000, 1, gain=0.04), metric=metric)
    assert found.outcome == "promote"
    assert found.rows_wanted is None
    assert "a gain is shown" in found.reasons[0]
    assert f"{found.document['metric']['gain']['value']:+.4f}" in found.reasons[0]
    assert "exact McNemar" in found.reasons[1]
    assert found.reasons[-1].startswith("This is comparison 1 on these test rows: 0.025 of alpha 0.05 was spent")
    json.dumps(found.document)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_worse_candidate_is_kept_out(compared, metric: str) -> None:
    found = decided(compared(5000, 1, gain=-0.04), metric=metric)
    assert found.outcome == "keep"
    assert "a gain of 0.01, the smallest that matters, is ruled out" in found.reasons[0]
    assert decided(compared(5000, 1, gain=-0.04), metric=metric, margin=0.0).outcome == "keep"


def test_the_same_answers_are_no_reason_to_change(compared) -> None:
    base = compared(3000, 2)
    found = decided(replace(base, candidate=base.champion))
    assert found.outcome == "keep"
    endless = decided(replace(base, candidate=base.champion), margin=0.0)
    assert (endless.outcome, endless.rows_wanted) == ("undecided", None)
    assert any("another candidate would" in reason for reason in endless.reasons)


def test_a_loss_in_one_slice_keeps_out_a_candidate_that_is_better_overall(compared) -> None:
    better = compared(8000, 3, places=(0.06, 0.06, 0.06, -0.12))
    found = decided(better, slices=[{"column": "place"}])
    assert found.document["metric"]["shown"]
    assert found.outcome == "keep"
    assert found.reasons[0].startswith("slice place “part 3”")
    assert "loses" in found.reasons[0]
    assert decided(better, slices=[]).outcome == "promote"
    assert decided(better, slices=[{"column": "place", "parts": ["part 0"]}]).outcome == "promote"


def test_a_lost_capability_keeps_the_champion_and_an_open_one_asks_for_cases(compared) -> None:
    lost = decided(compared(5000, 1, gain=0.04, capabilities={"negation": Discordance(0, 40, 300)}))
    assert lost.outcome == "keep"
    assert lost.reasons[0].startswith("capability “negation” (300 cases): loses 0.1333")
    unsure = decided(compared(5000, 1, gain=0.04, capabilities={"negation": Discordance(6, 8, 60)}))
    assert (unsure.outcome, unsure.rows_wanted) == ("undecided", None)
    assert any("more cases of it would decide" in reason for reason in unsure.reasons)
    assert any("more cases of the capabilities would" in reason for reason in unsure.reasons)


def test_a_badly_calibrated_candidate_is_kept_out(compared) -> None:
    base = compared(4000, 4, gain=0.04)
    labels, predictions = base.statistics.answers(base.candidate)
    boastful = replace(base, candidate=come_to(labels, predictions, 3, np.full(4000, 0.999)))
    found = decided(boastful)
    assert found.outcome == "keep"
    assert found.reasons[0].startswith("calibration error (4,000 rows): loses")
    assert decided(boastful, calibration_margin=None).outcome == "promote"


def test_undecided_says_how_many_rows_would_decide_and_they_do(compared) -> None:
    few = decided(compared(800, 6, gain=0.02), metric="accuracy", slices=[], calibration_margin=None)
    assert few.outcome == "undecided"
    assert few.rows_wanted
    assert f"About {few.rows_wanted:,} more labelled test rows would decide, with a chance of 80%" in " ".join(
        few.reasons
    )
    more = [compared(800 + 3 * few.rows_wanted, seed, gain=0.02) for seed in range(10)]
    ends = [decided(each, metric="accuracy", slices=[], calibration_margin=None).outcome for each in more]
    assert sum(end != "undecided" for end in ends) >= 7


def test_too_few_rows_are_not_tested_and_cost_nothing(compared) -> None:
    found = decided(compared(150))
    assert (found.outcome, found.rows_wanted, found.spent) == ("undecided", 50, False)
    assert "label 50 more" in found.reasons[0]


def test_small_parts_are_listed_and_only_named_ones_hold_a_promotion_up(compared) -> None:
    base = compared(5000, 1, gain=0.04)
    rare = np.zeros(5000, bool)
    rare[:20] = True
    groups = {"kind": [("rare", rare), ("common", ~rare)]}
    listed = decided(replace(base, groups=groups), slices=[{"column": "kind"}])
    assert listed.outcome == "promote"
    assert "1 part of the guarded slices has fewer than 50 rows; not judged." in listed.reasons
    assert not any("rare" in reason for reason in listed.reasons), "a part's name may be a row's own words"
    named = decided(replace(base, groups=groups), slices=[{"column": "kind", "parts": ["rare"]}])
    assert (named.outcome, named.rows_wanted) == ("undecided", 7500)
    first = "The rows named above come first, about 7,500 more labelled test rows in all at the present shares;"
    assert any(reason.startswith(first) for reason in named.reasons)
    absent = decided(replace(base, groups=groups), slices=[{"column": "kind", "parts": ["gone"]}])
    assert (absent.outcome, absent.rows_wanted) == ("undecided", None)
    assert any("“gone” (0 rows)" in reason and "label 50 more rows of it" in reason for reason in absent.reasons)
    assert any(reason.startswith("The rows named above come first;") for reason in absent.reasons)
    assert not any("another candidate would" in reason for reason in absent.reasons)


def test_the_later_comparison_needs_the_stronger_evidence(compared) -> None:
    """A gain that is shown at the first comparison and not at the twentieth; what is left is said."""
    base = compared(5000, 3, gain=0.015)
    first, later = (decided(base, earlier, metric="accuracy") for earlier in (0, 19))
    assert first.outcome == "promote"
    assert later.outcome == "undecided"
    assert later.document["spending"] == {
        "alpha": 0.05,
        "earlier": 19,
        "number": 20,
        "level": 0.05 / 420,
        "left": 0.05 / 21,
    }
    assert "0.0024 is left for all that follow" in later.reasons[-1]


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_bound_holds_for_a_sequence_of_equal_models(compared, metric: str) -> None:
    """At alpha 0.4, so that 60 sequences say something; the same level each time would promote in most of them."""
    ever = 0
    for seed in range(60):
        candidates = [compared(300, 1000 + 12 * seed + number) for number in range(12)]
        ends = [
            decided(each, number, metric=metric, alpha=0.4, slices=[], calibration_margin=None, margin=0.0).outcome
            for number, each in enumerate(candidates)
        ]
        ever += "promote" in ends
    assert ever / 60 <= 0.4


def test_equal_inputs_give_equal_decisions(compared) -> None:
    first, second = (decided(compared(1000, 8)) for _ in range(2))
    assert first == second
    assert decided(compared(1000, 8), seed=1).document["metric"]["gain"] != first.document["metric"]["gain"]


def test_a_candidate_and_its_champion_never_both_win(compared) -> None:
    for seed in range(10):
        there = compared(600, seed, gain=0.04)
        back = replace(there, candidate=there.champion, champion=there.candidate)
        ends = {decided(each, slices=[], calibration_margin=None).outcome for each in (there, back)}
        assert ends != {"promote"}


def test_names_are_made_fit_for_a_sentence(compared) -> None:
    base = compared(3000, 1)
    groups = {"bad\u202e": [("<b>\nx", np.ones(3000, bool))]}
    found = decided(replace(base, groups=groups), slices=[{"column": "bad\u202e"}])
    assert all("\n" not in reason and "\u202e" not in reason for reason in found.reasons)


def test_rows_that_do_not_pair_and_columns_that_are_not_cut_are_refused(compared) -> None:
    base = compared(300)
    with pytest.raises(DataError, match="have 299, 300 rows"):
        replace(base, candidate=base.candidate.take(np.arange(299)))
    labels, predictions = base.statistics.answers(base.champion)
    with pytest.raises(DataError, match="class numbers 0 to 2 were found and 2 classes are known"):
        come_to(labels, predictions, 2)
    with pytest.raises(DataError, match="is counted by 9 numbers and the champion by 12"):
        replace(base, champion=come_to(labels, predictions, 4))
    with pytest.raises(ConfigError, match=r"names the column 'tone'; the test rows are cut by: label, place"):
        decided(base, slices=[GuardedSlice(column="tone").model_dump()])


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.5}, {"alpha": 0}, {"margin": -0.1}, {"metric": 1}, {"slice_margin": 0}, {"alpa": 0.1}]
)
def test_rules_are_closed(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        PromotionSection.model_validate(wrong)
    with pytest.raises(ValidationError, match="frozen"):
        PromotionSection().alpha = 0.1


@pytest.mark.parametrize("metric", ["loss", "ece", "f1"])
def test_a_metric_that_cannot_decide_is_named(compared, metric: str) -> None:
    with pytest.raises(ConfigError, match=f"promotion.metric is '{metric}': allowed are accuracy, macro_f1, weighted"):
        decided(compared(300), metric=metric)


def test_without_a_metric_the_tasks_main_one_decides(compared) -> None:
    base = compared(600, 3, gain=0.03)
    assert decided(base).document == decided(base, metric="macro_f1").document
    assert decided(base).document["metric"]["title"] == "Macro F1"

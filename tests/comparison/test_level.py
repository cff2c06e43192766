"""Equal models on repeated texts are promoted in no more comparisons than alpha, by any metric of any task.

The worlds are those of `benchmarks/promotion.py`, which shows the same with more of them.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType, ModuleType

import numpy as np
import pytest

from benchmark_modules import benchmark_module
from kubetune.comparison.decision import Comparison, decide
from kubetune.config.promotion import PromotionSection
from kubetune.contract import Verdict
from kubetune.metrics.answers import AnswerStatistics, answer_outcomes
from kubetune.metrics.base import Floats, Outcomes, Totals, outcomes_of
from kubetune.metrics.catalogue import Metric
from kubetune.metrics.entities import EntityStatistics
from kubetune.metrics.multi_label import MultiLabelStatistics

COMPARISONS = 200
TEXTS = 300


@pytest.fixture(scope="module")
def worlds() -> ModuleType:
    return benchmark_module("promotion")


@pytest.mark.slow
@pytest.mark.parametrize("times", ["once", "five times", "geometric, mean 3"])
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "f1"])
def test_equal_models_are_promoted_in_at_most_alpha(worlds: ModuleType, metric: str, times: str) -> None:
    """At the level that is spent, 2.5 %, more than 10 of 200 have a chance of 1 %."""
    rules = PromotionSection.model_validate(
        {"metric": metric, "resamples": 200, "slices": [], "calibration_margin": None}
    )
    make = partial(worlds.Sentences if metric == "f1" else worlds.World, TEXTS)
    promoted, _, _ = worlds.by_text((COMPARISONS, make), worlds.REPEATS[times], 0.0, rules)
    assert promoted <= rules.alpha * COMPARISONS


class Graded(EntityStatistics):
    """The mean of grades between 0 and 1, as F1 of an answer's words is: a metric that reads sums."""

    metrics: Mapping[str, Metric] = MappingProxyType({"grade": Metric("Grade", "mean", reads="sums")})
    main = "grade"

    def measure(self, totals: Totals, only: Collection[str] | None = None) -> dict[str, Floats]:
        del only
        return {"grade": totals.sums[..., 0] / totals.rows}


def graded(draw: np.random.Generator, chance: np.ndarray) -> Outcomes:
    """Return a fresh model's grades: right, wrong, or in part."""
    grades = np.where(draw.random(len(chance)) < chance, 1.0, draw.choice([0.0, 0.4, 2 / 3], size=len(chance)))
    return outcomes_of(np.zeros((len(chance), 1), dtype=np.int64), grades[:, None], grades)


@pytest.mark.slow
@pytest.mark.parametrize("times", ["once", "five times", "geometric, mean 3"])
def test_a_mean_of_grades_keeps_the_level_too(worlds: ModuleType, times: str) -> None:
    rules = PromotionSection.model_validate({"resamples": 200, "slices": []})
    promoted = by_row = 0
    for seed in range(COMPARISONS):
        draw = np.random.default_rng(seed)
        chance = np.where(draw.random(TEXTS) < 0.7, 0.95, 0.4)
        comparison = Comparison(graded(draw, chance), graded(draw, chance), Graded(("x",)))
        found = worlds.repeated(comparison, draw, worlds.REPEATS[times])
        promoted += decide(Verdict(), found, rules).outcome == "promote"
        by_row += decide(Verdict(), replace(found, texts=None), rules).outcome == "promote"
    assert promoted <= rules.alpha * COMPARISONS
    assert times == "once" or by_row > 2 * rules.alpha * COMPARISONS  # so the worlds can tell


@pytest.mark.slow
@pytest.mark.parametrize("times", ["once", "five times", "geometric, mean 3"])
def test_micro_f1_of_several_labels_keeps_the_level(worlds: ModuleType, times: str) -> None:
    rules = PromotionSection.model_validate({"resamples": 200, "slices": []})
    statistics = MultiLabelStatistics(tuple("abcd"))
    promoted = by_row = 0
    for seed in range(COMPARISONS):
        draw = np.random.default_rng(seed)
        true, chance = draw.random((TEXTS, 4)) < [0.5, 0.3, 0.1, 0.02], draw.choice([0.05, 0.4], size=(TEXTS, 1))
        both = [statistics.outcomes(true, true ^ (draw.random(true.shape) < chance)) for _ in range(2)]
        found = worlds.repeated(Comparison(*both, statistics), draw, worlds.REPEATS[times])
        promoted += decide(Verdict(), found, rules).outcome == "promote"
        by_row += decide(Verdict(), replace(found, texts=None), rules).outcome == "promote"
    assert promoted <= rules.alpha * COMPARISONS
    assert times == "once" or by_row > 2 * rules.alpha * COMPARISONS  # so the worlds can tell


WORDS = ("one", "two", "three", "four", "five", "six")


def question_answers(draw: np.random.Generator, given: list[list[str]], chance: np.ndarray) -> Outcomes:
    """Return a fresh model's answers to some questions: right, with a word more or less, another one, or none."""
    found = []
    for right, share in zip(given, chance, strict=True):
        words = right[0].split() if right else []
        near = " ".join([*words[: max(1, len(words) - 1)], *draw.choice(WORDS, size=draw.integers(2))])
        wrong = draw.choice(["", "something else", near])
        found.append((right[0] if right else "") if draw.random() < share else str(wrong))
    return answer_outcomes(given, found)


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("times", ["once", "five times"])
def test_f1_of_answers_keeps_the_level(worlds: ModuleType, times: str) -> None:
    """The real statistics of questions, a quarter of them without an answer, decided by their main metric."""
    rules = PromotionSection.model_validate({"metric": "f1", "resamples": 200, "slices": []})
    promoted = by_row = 0
    for seed in range(COMPARISONS):
        draw = np.random.default_rng(seed)
        chance = np.where(draw.random(TEXTS) < 0.7, 0.95, 0.4)
        given = [
            [] if draw.random() < 0.25 else [" ".join(draw.choice(WORDS, size=draw.integers(1, 6)))]
            for _ in range(TEXTS)
        ]
        both = [question_answers(draw, given, chance) for _ in range(2)]
        found = worlds.repeated(Comparison(*both, AnswerStatistics()), draw, worlds.REPEATS[times])
        promoted += decide(Verdict(), found, rules).outcome == "promote"
        by_row += decide(Verdict(), replace(found, texts=None), rules).outcome == "promote"
    assert promoted <= rules.alpha * COMPARISONS
    assert times == "once" or by_row > 2 * rules.alpha * COMPARISONS  # so the worlds can tell


@pytest.mark.slow
def test_the_worlds_of_entities_can_tell(worlds: ModuleType) -> None:
    """Counted by row, equal models on repeated sentences are promoted far too often; and a real gain is found."""
    rules = PromotionSection.model_validate({"metric": "f1", "resamples": 200, "slices": []})
    make = partial(worlds.Sentences, TEXTS)
    _, by_row, _ = worlds.by_text((60, make), worlds.REPEATS["five times"], 0.0, rules)
    assert by_row >= 6
    found, _, _ = worlds.by_text((20, make), worlds.REPEATS["five times"], 0.3, rules)
    assert found >= 15


def test_entities_are_decided_by_f1_with_words_for_it(worlds: ModuleType) -> None:
    world = worlds.Sentences(400, 1)
    comparison = world.compare(world.model((0.2,)), world.model())
    groups = {"label": [("all", np.ones(400, dtype=bool))]}
    comparison = replace(comparison, groups=groups)
    found = decide(Verdict(), comparison, PromotionSection.model_validate({"resamples": 400}))
    assert found.document["metric"]["metric"] == "f1"
    assert found.reasons[0].startswith("f1 is ")
    assert found.document["calibration"] is None
    assert [judged["guard"]["name"] for judged in found.document["guards"]] == ["slice label “all”"]
    first, second = comparison.by("f1").values
    assert found.document["metric"]["gain"]["value"] == pytest.approx(first - second)

from dataclasses import replace

import pytest
from pydantic import ValidationError

from kubetune.config.evaluation import Threshold
from kubetune.errors import ConfigError
from kubetune.evaluation.intervals import Estimate
from kubetune.evaluation.thresholds import Measured, judge_thresholds, warn
from kubetune.metrics.catalogue import CLASSES

MEASURED = {
    "accuracy": Estimate(0.82, 0.79, 0.85),
    "macro_f1": Estimate(0.8123, 0.779, 0.841),
    "ece": Estimate(0.061, 0.05, 0.074),
    "loss": Estimate(0.5, 0.45, 0.56),
}
DIFFERENCES = {
    "tfidf": {"macro_f1": Estimate(0.0123, -0.004, 0.03), "loss": Estimate(-0.2, -0.25, -0.15)},
    "majority": {"macro_f1": Estimate(0.6, 0.55, 0.64), "ece": Estimate(0.0, 0.0, 0.0)},
}
FOUND = Measured(CLASSES, MEASURED, DIFFERENCES, {"tfidf": "tf-idf", "majority": "the majority class"})


def reasons(**threshold: object) -> tuple[str, ...]:
    verdict = judge_thresholds([Threshold.model_validate(threshold)], FOUND)
    assert verdict.code == (77 if verdict.reasons else 0)
    assert verdict.passed == (not verdict.reasons)
    return verdict.reasons


@pytest.mark.parametrize(
    "threshold",
    [
        {"metric": "macro_f1", "at_least": 0.81},
        {"metric": "macro_f1", "at_least": 0.8123},
        {"metric": "macro_f1", "at_least": 0.77, "bound": "interval"},
        {"metric": "ece", "at_most": 0.07},
        {"metric": "ece", "at_most": 0.08, "bound": "interval"},
        {"metric": "macro_f1", "above_baseline": "tfidf"},
        {"metric": "macro_f1", "above_baseline": "tfidf", "at_least": 0.01},
        {"metric": "macro_f1", "above_baseline": "majority", "at_least": 0.5, "bound": "interval"},
        {"metric": "loss", "above_baseline": "tfidf", "at_least": 0.1, "bound": "interval"},
        {"metric": "macro_f1", "above_baseline": "tfidf", "at_least": -0.01, "bound": "interval"},
    ],
)
def test_met(threshold: dict) -> None:
    assert reasons(**threshold) == ()


@pytest.mark.parametrize(
    ("threshold", "sentence"),
    [
        ({"metric": "macro_f1", "at_least": 0.85}, "macro_f1 is 0.8123, at least 0.85 is required: missed by 0.0377."),
        (
            {"metric": "macro_f1", "at_least": 0.8, "bound": "interval"},
            "macro_f1 is 0.8123 (95 % interval 0.7790 to 0.8410) and the low end of its interval is 0.7790, "
            "at least 0.8 is required: missed by 0.0210.",
        ),
        ({"metric": "ece", "at_most": 0.05}, "ece is 0.0610, at most 0.05 is required: missed by 0.0110."),
        (
            {"metric": "loss", "at_most": 0.55, "bound": "interval"},
            "loss is 0.5000 (95 % interval 0.4500 to 0.5600) and the high end of its interval is 0.5600, "
            "at most 0.55 is required: missed by 0.0100.",
        ),
        (
            {"metric": "macro_f1", "above_baseline": "tfidf", "at_least": 0.05},
            "macro_f1 is 0.8123 against 0.8000 of tf-idf: the gain is +0.0123 (95 % interval -0.0040 to +0.0300), "
            "a gain of at least 0.05 is required: missed by 0.0377.",
        ),
        (
            {"metric": "macro_f1", "above_baseline": "tfidf", "bound": "interval"},
            "macro_f1 is 0.8123 against 0.8000 of tf-idf: the gain is +0.0123 (95 % interval -0.0040 to +0.0300), "
            "a gain above 0 at the low end of its interval is required: missed by 0.0040.",
        ),
        (
            {"metric": "loss", "above_baseline": "tfidf", "at_least": 0.3},
            "loss is 0.5000 against 0.7000 of tf-idf: the gain is +0.2000 (95 % interval +0.1500 to +0.2500), "
            "a gain of at least 0.3 is required: missed by 0.1000.",
        ),
        (
            {"metric": "ece", "above_baseline": "majority"},
            "ece is 0.0610 against 0.0610 of the majority class: the gain is +0.0000 (95 % interval +0.0000 to "
            "+0.0000), a gain above 0 is required: missed by 0.0000.",
        ),
    ],
)
def test_missed_says_which_number_by_how_much(threshold: dict, sentence: str) -> None:
    assert reasons(**threshold) == (sentence,)


def test_a_narrow_miss_never_reads_as_none() -> None:
    (sentence,) = reasons(metric="macro_f1", at_least=0.812301)
    assert sentence == "macro_f1 is 0.8123000, at least 0.812301 is required: missed by 0.0000010."


def test_every_miss_is_a_reason_and_the_guard_comes_first() -> None:
    bars = [Threshold(metric="accuracy", at_least=0.9), Threshold(metric="ece", at_most=0.01)]
    verdict = judge_thresholds(bars, FOUND, ["collapsed to one class: so it is."])
    assert verdict.code == 77
    assert [reason.split()[0] for reason in verdict.reasons] == ["collapsed", "accuracy", "ece"]
    assert judge_thresholds([], FOUND).passed


@pytest.mark.parametrize(
    "threshold",
    [
        {"metric": "mcc"},
        {"metric": "mcc", "at_least": 0.5, "at_most": 0.9},
        {"metric": "mcc", "at_most": 0.5, "above_baseline": "tfidf"},
    ],
)
def test_a_threshold_that_says_nothing_is_refused(threshold: dict) -> None:
    with pytest.raises(ValidationError):
        Threshold.model_validate(threshold)


@pytest.mark.parametrize(
    ("threshold", "sentence"),
    [
        ({"metric": "precision", "at_least": 0.5}, "the metric 'precision': allowed are accuracy, macro_f1, ece, loss"),
        ({"metric": "macro_f1", "above_baseline": "gazetteer"}, "the baseline 'gazetteer': measured are tfidf, major"),
    ],
)
def test_what_was_not_measured_is_named(threshold: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        reasons(**threshold)


def test_a_recipe_without_a_bar_is_warned_of_and_says_what_tf_idf_reached() -> None:
    (said,) = warn([], FOUND)
    assert "no thresholds" in said and "0.812 against 0.800 of tf-idf" in said and "not shown to be better" in said
    (said,) = warn([Threshold(metric="macro_f1", at_least=0.5)], FOUND)
    assert "no threshold above tf-idf" in said


def test_bars_that_the_model_is_held_to_need_no_warning() -> None:
    assert warn([Threshold(metric="macro_f1", above_baseline="tfidf")], FOUND) == []
    better = replace(FOUND, differences={"tfidf": {"macro_f1": Estimate(0.1, 0.05, 0.15)}})
    assert warn([Threshold(metric="macro_f1", at_least=0.5)], better) == []
    assert "is 0.812 against 0.712" in warn([], better)[0], "also a good one, since the next may not be"

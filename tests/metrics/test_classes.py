"""Metrics of classes, by hand and against scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics as theirs

from class_answers import come_to, in_training, measured, of_classes, scored
from kubetune.errors import DataError
from kubetune.metrics.base import Totals, Weighing
from kubetune.metrics.catalogue import CLASSES
from kubetune.metrics.classes import BINS, ClassStatistics, Scores, calibration_bins, calibration_table, confusion

COUNTED = tuple(name for name, metric in CLASSES.metrics.items() if metric.reads == "counts")


def answers(predictions: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[predictions] * 0.7 + 0.3 / classes


def test_metrics_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    predictions = [0, 0, 1, 1, 1, 0]
    found = measured(scored(labels, answers(predictions, 3)), 3)
    assert found["accuracy"] == pytest.approx(4 / 6)
    # class 0: 2 hits, 3 rows, 3 predictions → 4/6; class 1: 2 hits, 2 rows, 3 predictions → 4/5; class 2: 0
    assert found["macro_f1"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    assert found["weighted_f1"] == pytest.approx((3 * 4 / 6 + 2 * 4 / 5) / 6)
    # Gorodkin: c=4 hits, s=6, t=(3,2,1), p=(3,3,0): (4·6 - 15) / sqrt((36 - 18)(36 - 14))
    assert found["mcc"] == pytest.approx(9 / np.sqrt(18 * 22))
    assert found["ece"] == pytest.approx(abs(0.8 - 4 / 6))  # every confidence is 0.8, in one bin
    assert found["loss"] == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.1)) / 6)


def test_metrics_equal_scikit_learn_and_the_training_loop(simulate) -> None:
    labels, probabilities = simulate(700, 5)
    found = measured(scored(labels, probabilities), 5)
    predictions = probabilities.argmax(axis=1)
    assert found["macro_f1"] == pytest.approx(theirs.f1_score(labels, predictions, average="macro"))
    assert found["mcc"] == pytest.approx(theirs.matthews_corrcoef(labels, predictions))
    assert found["loss"] == pytest.approx(theirs.log_loss(labels, probabilities))
    assert in_training(labels, np.log(probabilities)) == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("predictions", [[0, 0, 0, 0], [0, 1, 0, 1], [3, 3, 3, 3], [0, 1, 3, 1]])
def test_whatever_is_missing_the_numbers_are_scikit_learns(predictions: list[int]) -> None:
    labels = np.array([0, 1, 0, 1])  # classes 2 and 3 have no row
    found = measured(scored(labels, answers(predictions, 4)), 4)
    macro, weighted = (
        theirs.f1_score(labels, predictions, average=average, zero_division=0) for average in ("macro", "weighted")
    )
    expected = {"accuracy": theirs.accuracy_score(labels, predictions), "macro_f1": macro, "weighted_f1": weighted}
    expected |= {"mcc": theirs.matthews_corrcoef(labels, predictions)}
    assert {name: found[name] for name in COUNTED} == pytest.approx(expected)


def test_sums_are_measured_over_leading_axes(simulate) -> None:
    four = of_classes(4)
    totals = [scored(*simulate(90, 4, seed=seed)).total() for seed in range(3)]
    stacked = Totals(*(np.stack([getattr(total, name) for total in totals]) for name in ("counts", "sums", "rows")))
    together = four.measure(stacked)
    for number, total in enumerate(totals):
        alone = four.measure(total)
        assert all(together[name][number] == pytest.approx(float(alone[name]), abs=1e-15) for name in CLASSES.metrics)


def test_metrics_that_read_counts_alone_need_no_sums(simulate) -> None:
    total = scored(*simulate(90, 4)).total()
    bare = Totals(total.counts, np.zeros(0), total.rows)
    assert of_classes(4).measure(bare, COUNTED) == {name: of_classes(4).measure(total)[name] for name in COUNTED}


def test_weighing_rows_is_repeating_them(simulate) -> None:
    labels, probabilities = simulate(120, 3)
    times = np.random.default_rng(0).integers(0, 4, size=120)
    outcomes, rows = scored(labels, probabilities), np.repeat(np.arange(120), times)
    weighed = Weighing(outcomes, counts=True).total(times.astype(np.float64))
    plain = outcomes.take(rows).total()
    assert weighed.counts.tolist() == plain.counts.tolist()
    assert weighed.sums == pytest.approx(plain.sums)
    assert (weighed.rows, plain.rows) == (len(rows), len(rows))


def test_zero_division_is_a_number() -> None:
    table = of_classes(3).by_label(come_to(np.array([0, 0, 1]), np.array([0, 0, 0]), 3).total())
    assert {name: float(values[1]) for name, values in table.items()} == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1.0, "predicted": 0.0
    }  # fmt: skip
    assert table["support"][2] == table["predicted"][2] == 0
    assert np.isnan(table["f1"][2])


def test_the_table_by_class_is_scikit_learns(simulate) -> None:
    labels, probabilities = simulate(300, 6)
    table = of_classes(6).by_label(scored(labels, probabilities).total())
    precision, recall, f1, support = theirs.precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=np.arange(6), zero_division=0
    )
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1), ("support", support)):
        assert table[name] == pytest.approx(expected)


def test_the_confusion_matrix_is_scikit_learns_and_comes_back_from_outcomes(simulate) -> None:
    labels, probabilities = simulate(300, 6)
    expected = theirs.confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(6))
    outcomes = scored(labels, probabilities)
    assert confusion(*of_classes(6).answers(outcomes), 6).tolist() == expected.tolist()
    assert of_classes(6).blocks(outcomes, None)["confusion"] == expected.tolist()


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.55, 0.55])
    correct = np.array([True, True, False, False, True])
    expected = 3 / 5 * abs(0.9 - 2 / 3) + 2 / 5 * abs(0.55 - 0.5)
    outcomes = come_to(np.zeros(5, int), 1 - correct.astype(int), 2, confidence)
    assert measured(outcomes, 2)["ece"] == pytest.approx(expected)
    table = of_classes(2).blocks(outcomes, None)["calibration"]
    assert [part["rows"] for part in table] == [2, 3]
    assert table[1]["accuracy"] == pytest.approx(2 / 3)


def test_bins_hold_their_upper_edge() -> None:
    confidence = np.array([1 / 15, 1.0, 0.999])
    table = calibration_table(calibration_bins(confidence), confidence, np.array([True, True, True]))
    assert [(round(part["from"] * 15), part["rows"]) for part in table] == [(0, 1), (14, 2)]


def test_calibrated_answers_have_a_small_error() -> None:
    chance = np.random.default_rng(0)
    confidence = chance.uniform(0.5, 1, 50_000)
    wrong = chance.random(50_000) >= confidence
    assert measured(come_to(np.zeros(50_000, int), wrong.astype(int), 2, confidence), 2)["ece"] < 0.01


@pytest.mark.parametrize(("confidence", "right", "number"), [(1.0, True, 14), (0.0, False, 0), (0.5, True, 7)])
def test_a_bin_is_known_also_where_there_is_no_gap(confidence: float, right: bool, number: int) -> None:
    outcomes = come_to(np.array([0]), np.array([1 - right]), 2, np.array([confidence]))
    coarse = of_classes(2).coarse("ece", outcomes)
    assert coarse is not None
    assert coarse.codes.tolist() == [[number, right]]
    assert coarse.columns.tolist() == list(range(BINS))


def test_a_class_number_without_a_class_is_refused() -> None:
    with pytest.raises(DataError, match="class numbers 0 to 2 were found and 2 classes are known"):
        come_to(np.array([0, 1]), np.array([2, 1]), 2)


def test_an_impossible_label_has_a_finite_loss() -> None:
    found = Scores.from_probabilities(np.array([[1.0, 0.0]]), np.array([1]))
    assert found.losses[0] == pytest.approx(52 * np.log(2))


def flaws(labels: np.ndarray, said: np.ndarray) -> list[str]:
    return ClassStatistics(("no", "yes")).flaws(come_to(labels, said, 2).total(), ("no", "yes"))


@pytest.mark.parametrize(
    ("share", "said", "start"),
    [
        (0.5, np.ones(1000, int), "collapsed to one class: 100.0% of 1,000 predictions are “yes”, which 50.0%"),
        (0.5, np.array([0] * 5 + [1] * 995), "collapsed to one class: 99.5%"),
        (0.995, np.ones(1000, int), "collapsed to one class"),
        (0.5, np.tile([0, 0, 1, 1], 250), "no better than chance: MCC is 0.0000"),
    ],
)
def test_a_model_that_learnt_nothing_is_named(share: float, said: np.ndarray, start: str) -> None:
    labels = np.tile([0, 1], 500) if share == 0.5 else np.array([0] * 5 + [1] * 995)
    (sentence,) = flaws(labels, said)
    assert sentence.startswith(start)


def test_a_good_model_on_rare_labels_has_not_collapsed() -> None:
    labels = np.array([0] * 5 + [1] * 995)
    said = np.array([0] * 4 + [1] * 996)
    assert flaws(labels, said) == []

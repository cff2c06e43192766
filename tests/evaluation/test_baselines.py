import numpy as np
import pytest

import toys
from class_answers import measured, of_classes
from kubetune.errors import DataError
from kubetune.metrics.base import Baseline
from kubetune.metrics.classes import BINS
from kubetune.tasks.baselines import classes as baselines
from kubetune.tasks.baselines.classes import majority, sample_rows, tfidf

NAMES = ("a", "b", "c")


def confidence(baseline: Baseline) -> np.ndarray:
    return baseline.outcomes.sums[:, :BINS].sum(axis=1) + baseline.outcomes.scores


def toy(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    rows = toys.toy_rows(count, seed)
    return [row["text"] for row in rows], np.array([toys.LABELS.index(row["label"]) for row in rows])


def test_majority_answers_the_commonest_train_class_even_where_test_differs() -> None:
    baseline = majority(np.array([1, 1, 0, 2]), np.array([0, 0, 2]), ("a", "b", "c"))
    assert of_classes(3).answers(baseline.outcomes)[1].tolist() == [1, 1, 1]
    assert confidence(baseline).tolist() == [0.5] * 3
    assert baseline.outcomes.sums[:, BINS] == pytest.approx([-np.log(0.25)] * 3)
    assert "“b”, 50.0%" in baseline.description


def test_tfidf_learns_words_and_is_deterministic() -> None:
    train, train_labels = toy(200, 0)
    texts, labels = toy(100, 1)
    first, second = (tfidf([train], train_labels, [texts], labels, NAMES[:2]) for _ in range(2))
    assert measured(first.outcomes, 2)["accuracy"] > 0.9
    assert np.array_equal(confidence(first), confidence(second))
    assert "fitted on 200 of 200 train rows" in first.description


def test_tfidf_reads_both_texts_of_a_pair() -> None:
    train, train_labels = toy(200, 0)
    texts, labels = toy(100, 1)
    nothing, none = ["same words"] * 200, ["same words"] * 100
    for pair, test in (((train, nothing), (texts, none)), ((nothing, train), (none, texts))):
        assert measured(tfidf(pair, train_labels, test, labels, NAMES[:2]).outcomes, 2)["accuracy"] > 0.9


def test_caps_are_kept_and_stated(monkeypatch) -> None:
    monkeypatch.setattr(baselines, "FEATURES", 30)
    train, train_labels = toy(200, 0)
    chosen = sample_rows(train_labels, 50)
    part = [train[row] for row in chosen]
    description = tfidf([part], train_labels[chosen], [train], train_labels, NAMES[:2], len(train)).description
    assert "30 words and word pairs (the commonest; capped), fitted on 50 of 200 train rows" in description


def test_a_class_that_train_lacks_gets_probability_0() -> None:
    train, train_labels = toy(50, 0)
    found = tfidf([train], train_labels, [["good film"]], np.array([2]), NAMES)
    assert found.outcomes.sums[0, BINS] == pytest.approx(52 * np.log(2))


def test_texts_without_a_word_fall_to_the_class_shares_and_say_so() -> None:
    found = tfidf([["!!!", "???", "..."]], np.array([0, 1, 1]), [["!"]], np.array([0]), NAMES[:2])
    assert of_classes(2).answers(found.outcomes)[1].tolist() == [1]
    assert "No train text has a word" in found.description


def test_one_class_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="one class only") as refusal:
        tfidf([["a", "b"]], np.array([0, 0]), [["a"]], np.array([0]), NAMES[:2])
    assert refusal.value.rule == "one-class"


def test_sampled_rows_keep_the_class_shares() -> None:
    labels = np.array([0] * 9000 + [1] * 1000)
    np.random.default_rng(0).shuffle(labels)
    chosen = sample_rows(labels, 500)
    assert len(np.unique(chosen)) == 500
    assert labels[chosen].mean() == pytest.approx(0.1, abs=0.005)
    assert np.array_equal(sample_rows(labels[:10], 500), np.arange(10))

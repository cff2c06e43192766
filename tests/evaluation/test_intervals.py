import time

import numpy as np
import pytest

from class_answers import come_to, measured, of_classes, scored
from kubetune.evaluation.intervals import Draws, bootstrap, estimate, estimates
from kubetune.metrics.catalogue import CLASSES

METRICS = tuple(CLASSES.metrics)
COUNTED = METRICS[:4]


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(simulate) -> None:
    labels, probabilities = simulate(300, 4)
    first, second, third = (
        bootstrap({"model": scored(labels, probabilities)}, of_classes(4), Draws(200, seed)).metrics["model"]
        for seed in (0, 0, 1)
    )
    for metric in METRICS:
        assert np.array_equal(first[metric], second[metric])
        assert not np.array_equal(first[metric], third[metric])


def test_samples_scatter_like_resampled_rows(simulate) -> None:
    """The count form must have the spread of the plain one: draw rows, measure, repeat."""
    labels, probabilities = simulate(250, 3)
    fast = bootstrap({"model": scored(labels, probabilities)}, of_classes(3), Draws(2000, 0)).metrics["model"]
    draw = np.random.default_rng(5)
    slow: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for _ in range(400):
        rows = draw.integers(250, size=250)
        for metric, value in measured(scored(labels[rows], probabilities[rows]), 3).items():
            slow[metric].append(value)
    for metric in METRICS:
        assert fast[metric].mean() == pytest.approx(np.mean(slow[metric]), abs=4 * np.std(slow[metric]) / 20)
        assert fast[metric].std() == pytest.approx(np.std(slow[metric]), rel=0.15)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """200 worlds with a true accuracy of 0.8: the 95 % interval must hold it in about 190 of them."""
    draw, covered = np.random.default_rng(7), 0
    for world in range(200):
        labels = draw.integers(2, size=300)
        predictions = np.where(draw.random(300) < 0.8, labels, 1 - labels)
        found = estimates(come_to(labels, predictions, 2), of_classes(2), ["accuracy"], Draws(200, world))["accuracy"]
        covered += found.low <= 0.8 <= found.high
    assert 0.9 <= covered / 200 <= 0.985


def test_differences_are_paired(simulate) -> None:
    """Two systems that differ on five rows only: the paired interval is far narrower than the unpaired one."""
    labels, probabilities = simulate(500, 3)
    other = probabilities.copy()
    other[:5] = np.eye(3)[(labels[:5] + 1) % 3]
    systems = {"model": scored(labels, probabilities), "other": scored(labels, other)}
    sampled = bootstrap(systems, of_classes(3), Draws(1000, 0)).metrics
    paired = estimate(0, sampled["model"]["accuracy"] - sampled["other"]["accuracy"])
    alone = estimate(0, sampled["model"]["accuracy"])
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
    twins = {"model": systems["model"], "twin": systems["model"]}
    same = bootstrap(twins, of_classes(3), Draws(100, 0)).metrics
    for metric in METRICS:
        assert np.array_equal(same["model"][metric], same["twin"][metric])


def test_a_class_that_a_draw_misses_does_not_spoil_its_interval() -> None:
    labels = np.array([0] * 60 + [1])
    certain = np.eye(2)[labels] * 0.9 + 0.05
    sampled = bootstrap({"model": scored(labels, certain)}, of_classes(2), Draws(300, 0))
    assert np.isnan(sampled.label_f1["model"][:, 1]).any()
    assert estimate(1.0, sampled.label_f1["model"][:, 1]).low == 1.0
    assert np.isfinite(sampled.metrics["model"]["macro_f1"]).all()


def test_one_row_and_a_perfect_model_have_an_interval() -> None:
    labels = np.array([1])
    sampled = bootstrap({"model": scored(labels, np.array([[0.2, 0.8]]))}, of_classes(2), Draws(100, 0)).metrics[
        "model"
    ]
    assert estimate(1.0, sampled["accuracy"]).as_dict() == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_chunks_do_not_change_the_samples(simulate, monkeypatch) -> None:
    labels, probabilities = simulate(200, 5)
    whole = bootstrap({"model": scored(labels, probabilities)}, of_classes(5), Draws(100, 0)).metrics["model"]
    monkeypatch.setattr("kubetune.evaluation.intervals.CHUNK_CELLS", 300)
    parts = bootstrap({"model": scored(labels, probabilities)}, of_classes(5), Draws(100, 0)).metrics["model"]
    assert all(np.array_equal(whole[metric], parts[metric]) for metric in METRICS)


def test_label_metrics_of_100_000_rows_cost_little(simulate) -> None:
    labels, probabilities = simulate(100_000, 6)
    outcomes, start = scored(labels, probabilities), time.process_time()
    estimates(outcomes, of_classes(6), COUNTED, Draws(1000, 0))
    assert time.process_time() - start < 1.0  # measured 0.05 s; resampling the rows takes about 20 s

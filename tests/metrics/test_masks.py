"""Metrics of masked tokens against a walk through them, token by token."""

import math
import random

import numpy as np
import pytest

from kubetune.evaluation.intervals import Draws, estimates, row_weights
from kubetune.metrics.masks import MaskStatistics, mask_outcomes

METRICS = ("cross_entropy", "perplexity", "top_1", "top_5")


def guessed(rows: int, seed: int) -> list[list[tuple[float, int]]]:
    """Loss and rank of each masked token of each row; a row may have none."""
    draw = random.Random(seed)
    return [[(draw.expovariate(0.4), draw.randint(1, 12)) for _ in range(draw.randint(0, 5))] for _ in range(rows)]


def outcomes(rows: list[list[tuple[float, int]]]):
    first, five = ([sum(rank <= most for _, rank in row) for row in rows] for most in (1, 5))
    losses = [sum(loss for loss, _ in row) for row in rows]
    return mask_outcomes(np.array([len(row) for row in rows]), np.array(first), np.array(five), np.array(losses))


def by_hand(rows: list[list[tuple[float, int]]]) -> dict[str, float]:
    tokens = [token for row in rows for token in row]
    loss = sum(loss for loss, _ in tokens) / len(tokens)
    top = {f"top_{most}": sum(rank <= most for _, rank in tokens) / len(tokens) for most in (1, 5)}
    return {"cross_entropy": loss, "perplexity": math.exp(loss), **top}


@pytest.mark.parametrize("rows", [1, 7, 120])
def test_metrics_are_means_over_tokens_and_not_over_rows(rows: int) -> None:
    found = [[(1.0, 1)], *guessed(rows, rows)]
    measured = MaskStatistics().measure(outcomes(found).total())
    assert {name: float(measured[name]) for name in METRICS} == pytest.approx(by_hand(found))


def test_a_row_is_as_right_as_the_share_of_its_tokens() -> None:
    found = outcomes([[(0.1, 1), (2.0, 3)], [(1.0, 1)], [(5.0, 9)], []])
    assert found.scores.tolist() == [0.5, 1.0, 0.0, 1.0]


def test_texts_are_resampled_with_all_their_tokens() -> None:
    rows, texts = guessed(30, 4), np.arange(30) // 3
    draws = Draws(40, 9, texts)
    measured = estimates(outcomes(rows), MaskStatistics(), ("cross_entropy",), draws)["cross_entropy"]
    each = [
        by_hand([row for row, weight in zip(rows, weights.astype(int), strict=True) for _ in range(weight)])
        for weights in row_weights(30, draws, 3)
    ]
    expected = np.quantile([one["cross_entropy"] for one in each], (0.025, 0.975))
    assert (measured.low, measured.high) == pytest.approx(tuple(expected), rel=1e-9)


def test_what_learnt_nothing_is_named() -> None:
    statistics = MaskStatistics()
    never = outcomes([[(9.0, 80)] * 10] * 12)
    assert "of 120 masked tokens none is among the five likeliest" in statistics.flaws(never.total(), ())[0]
    assert statistics.flaws(outcomes([[(9.0, 80)] * 10] * 12 + [[(0.1, 5)]]).total(), ()) == []
    nothing = outcomes([[], []]).total()
    assert not statistics.says("top_1", nothing)
    assert {float(value) for value in statistics.measure(nothing).values()} == {0.0, 1.0}
    wild = outcomes([[(1e6, 80)]])
    assert math.isfinite(statistics.measure(wild.total())["perplexity"])

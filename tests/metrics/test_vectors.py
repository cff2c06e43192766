"""Correlations and ranks against SciPy, scikit-learn and the plain definition; resampled, each draw by itself."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import ndcg_score

from kubetune.comparison.pair import Pair
from kubetune.comparison.resampling import ByText, resampled
from kubetune.evaluation.intervals import Draws, estimates, row_weights
from kubetune.metrics.ranks import positive_ranks, spearman
from kubetune.metrics.vectors import (
    COSINE,
    SCORE,
    RetrievalStatistics,
    SimilarityStatistics,
    retrieval_outcomes,
    similarity_outcomes,
)


def numbers(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and similarities with ties on both sides."""
    draw = np.random.default_rng(seed)
    scores = draw.integers(6, size=rows) / 5
    return (scores + draw.normal(0, 0.4, rows)).clip(-1, 1).round(1), scores


@pytest.mark.parametrize("rows", [3, 50, 400])
def test_correlations_are_those_of_scipy(rows: int) -> None:
    cosines, scores = numbers(rows, rows)
    found = SimilarityStatistics().measure(similarity_outcomes(cosines, scores).total())
    assert found["spearman"] == pytest.approx(stats.spearmanr(cosines, scores).statistic, abs=1e-12)
    assert found["pearson"] == pytest.approx(stats.pearsonr(cosines, scores).statistic, abs=1e-9)


def test_scores_beyond_the_ends_of_the_scale_change_no_correlation() -> None:
    cosines, scores = numbers(60, 3)
    one, other = (similarity_outcomes(cosines, of) for of in (scores, 3 * scores - 1))
    statistics = SimilarityStatistics()
    for name in ("spearman", "pearson"):
        assert statistics.measure(one.total())[name] == pytest.approx(statistics.measure(other.total())[name], abs=1e-9)
    assert other.scores.min() >= 0 and other.scores.max() <= 1, "how right a pair is stays a share"


def test_a_row_of_a_weight_is_there_as_often() -> None:
    cosines, scores = numbers(60, 1)
    weights = np.random.default_rng(2).integers(4, size=(3, 60)).astype(np.float64)
    found = spearman(cosines, scores, weights)
    for value, each in zip(found, weights.astype(int), strict=True):
        expected = stats.spearmanr(np.repeat(cosines, each), np.repeat(scores, each)).statistic
        assert value == pytest.approx(expected, abs=1e-12)


def test_numbers_that_do_not_vary_are_no_correlation() -> None:
    flat = similarity_outcomes(np.full(20, 0.5) + np.arange(20) * 1e-9, np.linspace(0, 1, 20))
    statistics = SimilarityStatistics()
    found = statistics.measure(flat.total())
    assert (found["spearman"], found["pearson"]) == (0.0, 0.0)
    assert not statistics.says("spearman", flat.total())
    assert "all 20 pairs have the cosine 0.5" in statistics.flaws(flat.total(), ())[0]


def test_draws_of_rows_are_resampled_one_by_one() -> None:
    cosines, scores = numbers(40, 3)
    texts = np.arange(40) // 2
    draws = Draws(30, 5, texts)
    found = estimates(similarity_outcomes(cosines, scores), SimilarityStatistics(), ("spearman",), draws)["spearman"]
    each = [
        stats.spearmanr(np.repeat(cosines, weights.astype(int)), np.repeat(scores, weights.astype(int))).statistic
        for weights in row_weights(40, draws, 3)
    ]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(each, (0.025, 0.975))), abs=1e-12)


def compared(rows: int, better: float, seed: int) -> Pair:
    draw = np.random.default_rng(seed)
    scores = draw.integers(6, size=rows) / 5
    both = [
        similarity_outcomes((scores + draw.normal(0, noise, rows)).clip(-1, 1), scores) for noise in (0.6 - better, 0.6)
    ]
    return Pair(*both, SimilarityStatistics(), "spearman", np.arange(rows) // 2)


def test_texts_are_exchanged_with_all_their_rows() -> None:
    """Of four texts of two rows each there are 16 exchanges, and these are drawn."""
    pair = compared(8, 0.3, 1)
    cells = resampled(pair)
    assert isinstance(cells, ByText)
    both = [each.sums[:, COSINE] for each in (pair.candidate, pair.champion)]
    scores = pair.candidate.sums[:, SCORE]
    every = []
    for marks in range(16):
        swap = np.array([marks >> text & 1 for text in np.arange(8) // 2], dtype=bool)
        first, second = np.where(swap, both[1], both[0]), np.where(swap, both[0], both[1])
        every.append(stats.spearmanr(first, scores).statistic - stats.spearmanr(second, scores).statistic)
    found = cells.exchanged(np.random.default_rng(0), 400)
    np.testing.assert_allclose(np.unique(found.round(9)), np.unique(np.array(every).round(9)), atol=2e-9)
    assert pair.gain == pytest.approx(every[0], abs=1e-12)


def test_ranks_are_those_of_the_plain_definition() -> None:
    draw = np.random.default_rng(4)
    anchor = np.unique(draw.integers(25, size=60), return_inverse=True)[1]
    positive = draw.integers(30, size=60)
    near = draw.normal(size=(anchor.max() + 1, 30)).round(1)
    expected = []
    for row in range(60):
        mine = set(positive[anchor == anchor[row]])
        others = [near[anchor[row], place] for place in range(30) if place not in mine]
        expected.append(1 + sum(value >= near[anchor[row], positive[row]] for value in others))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kubetune.metrics.ranks.BLOCK_CELLS", 90)
        found = positive_ranks(lambda some: near[some].copy(), anchor, positive, 30)
    assert found.tolist() == expected
    statistics = RetrievalStatistics()
    measured = statistics.measure(retrieval_outcomes(found).total())
    assert measured["mrr"] == pytest.approx(np.mean([1 / rank for rank in expected]))
    assert measured["accuracy_10"] == pytest.approx(np.mean([rank <= 10 for rank in expected]))


def test_gains_are_those_of_scikit_learn() -> None:
    near = np.random.default_rng(0).normal(size=(40, 40))
    ranks = positive_ranks(lambda some: near[some].copy(), np.arange(40), np.arange(40), 40)
    found = RetrievalStatistics().measure(retrieval_outcomes(ranks).total())["ndcg_10"]
    assert found == pytest.approx(ndcg_score(np.eye(40), near, k=10), abs=1e-12)


def test_equal_vectors_find_nothing() -> None:
    same = np.zeros((12, 12))
    ranks = positive_ranks(lambda some: same[some].copy(), np.arange(12), np.arange(12), 12)
    assert set(ranks.tolist()) == {12}
    outcomes = retrieval_outcomes(ranks)
    assert "none has its positive among the 10 nearest" in RetrievalStatistics().flaws(outcomes.total(), ())[0]

import time
from dataclasses import replace

import numpy as np
import pytest

from class_answers import come_to, measured
from kubetune.comparison.coarse import coarse_difference
from kubetune.comparison.decision import Comparison
from kubetune.comparison.resampling import ByText, Cells, paired_difference, swap_test
from kubetune.evaluation.intervals import Draws, bootstrap


def cells_of(compared: Comparison) -> Cells:
    return Cells(compared.by("macro_f1"))


class Both:
    """Statistics of which every metric is said to read counts and sums."""

    def __init__(self, statistics) -> None:
        self._statistics = statistics
        self.metrics = {name: replace(metric, reads="both") for name, metric in statistics.metrics.items()}

    def __getattr__(self, name: str):
        return getattr(self._statistics, name)


def answers_of(compared: Comparison) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, the candidate's answers and the champion's."""
    return *compared.statistics.answers(compared.candidate), compared.statistics.answers(compared.champion)[1]


def plain_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    return measured(come_to(labels, predictions, 3), 3)["macro_f1"]


def turned(compared: Comparison) -> Comparison:
    return replace(compared, candidate=compared.champion, champion=compared.candidate)


def test_values_are_those_of_the_plain_metrics(compared) -> None:
    found = compared(700, 1)
    cells, (labels, first, second) = cells_of(found), answers_of(found)
    expected = plain_f1(labels, first) - plain_f1(labels, second)
    assert paired_difference(cells, 200, 0).estimate.value == pytest.approx(expected)
    expected = measured(found.candidate, 3)["ece"] - measured(found.champion, 3)["ece"]
    value = coarse_difference(found.by("ece"), Draws(200, 0)).estimate.value
    assert value == pytest.approx(expected)


def test_swapping_cells_is_swapping_rows(compared) -> None:
    found = compared(300, 2)
    cells, (labels, first, second) = cells_of(found), answers_of(found)
    triples = np.unique(np.column_stack([labels, first, second]), axis=0)[cells.disputed]
    draw = np.random.default_rng(0)
    for _ in range(5):
        swap = (draw.random(300) < 0.5) & (first != second)
        counts = np.array(
            [((labels == a) & (first == b) & (second == c) & swap).sum() for a, b, c in triples], dtype=np.int64
        )
        expected = plain_f1(labels, np.where(swap, second, first)) - plain_f1(labels, np.where(swap, first, second))
        assert cells.exchanged_gain(counts[None])[0] == pytest.approx(expected)


def test_samples_scatter_like_those_of_evaluate(compared) -> None:
    """The evaluation's bootstrap resamples rows; this one cells, and for calibration cells of rounded confidence."""
    found = compared(500, 3)
    systems = {"candidate": found.candidate, "champion": found.champion}
    slow = bootstrap(systems, found.statistics, Draws(1000, 0)).metrics
    spread = {name: (slow["candidate"][name] - slow["champion"][name]).std() for name in ("macro_f1", "ece")}
    assert paired_difference(cells_of(found), 2000, 0).error == pytest.approx(spread["macro_f1"], rel=0.12)
    fast = coarse_difference(found.by("ece"), Draws(2000, 0))
    assert fast.error == pytest.approx(spread["ece"], rel=0.12)


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(compared) -> None:
    found = compared(500, 4)
    cells = cells_of(found)
    first, second, third = (paired_difference(cells, 500, seed) for seed in (0, 0, 1))
    assert first == second != third
    one, two, other = (coarse_difference(found.by("ece"), Draws(500, seed)) for seed in (0, 0, 1))
    assert one == two != other
    assert swap_test(cells, 0.025, 0) == swap_test(cells, 0.025, 0)


def test_turning_the_models_turns_the_signs(compared) -> None:
    found = compared(800, 5, gain=0.02)
    there, back = (paired_difference(cells_of(each), 2000, 0) for each in (found, turned(found)))
    assert there.estimate.value == pytest.approx(-back.estimate.value)
    assert there.error == pytest.approx(back.error, rel=0.1)
    assert there.above(0) == pytest.approx(back.below(0), abs=0.01)
    tails = swap_test(cells_of(found), 0.025, 0) + swap_test(cells_of(turned(found)), 0.025, 0)
    assert 0.9 <= tails <= 1.4  # the observed value and its ties count on both sides


def test_the_swap_test_of_equal_models_is_level_and_reaches_small_levels(compared) -> None:
    values = [swap_test(cells_of(compared(300, seed)), 0.05, seed) for seed in range(200)]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(values) <= level) <= level + 2.5 * np.sqrt(level * (1 - level) / 400)
    assert swap_test(cells_of(compared(1500, 0, gain=0.08)), 1e-5, 0) <= 1e-5


def test_equal_answers_are_no_gain_and_no_error(compared) -> None:
    found = compared(300, 6)
    twins = replace(found, candidate=found.champion)
    same = paired_difference(cells_of(twins), 200, 0)
    assert same.estimate.value == same.error == 0
    assert same.above(0) == 1.0
    assert same.below(0.01) == 0.0
    assert swap_test(cells_of(twins), 0.05, 0) == 1.0


def test_ten_thousand_resamples_cost_nothing_that_grows_with_the_rows(compared) -> None:
    found = compared(50_000, 7)
    cells, began = cells_of(found), time.process_time()
    paired_difference(cells, 10_000, 0)
    coarse_difference(found.by("ece"), Draws(10_000, 0))
    assert time.process_time() - began < 4


def test_rows_and_cells_resample_alike(compared) -> None:
    """A metric of counts may be resampled by rows too: the same value, the same spread, the same p."""
    found = compared(400, 3)
    pair = found.by("macro_f1")
    by_row = ByText(replace(pair, statistics=Both(found.statistics)))
    fast, slow = paired_difference(Cells(pair), 2000, 0), paired_difference(by_row, 600, 1)
    assert slow.estimate.value == pytest.approx(fast.estimate.value)
    assert slow.error == pytest.approx(fast.error, rel=0.15)
    tails = [swap_test(cells, 0.05, seed) for cells, seed in ((Cells(pair), 0), (by_row, 1))]
    assert 0.4 < tails[0] / tails[1] < 2.5  # each is known to about a fifth, see `ENOUGH`


def test_where_less_is_better_a_fall_is_a_gain(compared) -> None:
    found = compared(400, 3, gain=0.05)
    rows = ByText(found.by("loss"))
    first, second = (measured(each, 3)["loss"] for each in (found.candidate, found.champion))
    assert paired_difference(rows, 200, 0).estimate.value == pytest.approx(second - first)
    assert swap_test(rows, 0.05, 0) < 0.05 < swap_test(ByText(turned(found).by("loss")), 0.05, 0)
    twins = ByText(replace(found, candidate=found.champion).by("loss"))
    assert swap_test(twins, 0.05, 0) == 1.0


def test_copies_of_a_text_are_exchanged_together_by_row_too(compared) -> None:
    base = compared(300, 5, gain=0.03)
    text = np.repeat(np.arange(300), 4)
    many = Comparison(base.candidate.take(text), base.champion.take(text), base.statistics, texts=text)
    once, often = (ByText(each.by("loss")) for each in (base, many))
    assert swap_test(once, 0.05, 0) == swap_test(often, 0.05, 0)
    first, second = (paired_difference(each, 200, 0) for each in (once, often))
    assert second.error == pytest.approx(first.error)
    assert (second.rows, second.texts) == (1200, 300)


@pytest.mark.slow
def test_equal_models_differ_by_chance_as_often_as_the_level_says_in_a_metric_of_ranks() -> None:
    """200 pairs of models that err alike, each text twice: Spearman is exchanged with all rows of a text."""
    from kubetune.comparison.pair import Pair
    from kubetune.metrics.vectors import SimilarityStatistics, similarity_outcomes

    texts, found = np.arange(60) // 2, []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        scores = draw.integers(6, size=30) / 5
        both = [(scores + draw.normal(0, 0.5, 30)).clip(-1, 1) for _ in range(2)]
        sides = [similarity_outcomes(cosines[texts], scores[texts]) for cosines in both]
        found.append(swap_test(ByText(Pair(*sides, SimilarityStatistics(), "spearman", texts)), 0.1, seed))
    share = float(np.mean(np.array(found) <= 0.1))
    assert 0.04 < share < 0.1 + 3 * (0.1 * 0.9 / 200) ** 0.5

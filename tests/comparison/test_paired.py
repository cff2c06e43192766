import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest

from kubetune.comparison.clusters import upper_tail
from kubetune.comparison.paired import (
    Discordance,
    holm,
    mcnemar,
    mcnemar_gain,
    not_inferior,
    null_variance,
    score_interval,
)


@pytest.mark.parametrize(
    ("gained", "lost", "two_sided"),
    [
        (5, 0, 2 / 32),  # 2 * (1/2)^5
        (0, 5, 2 / 32),
        (9, 1, 22 / 1024),  # 2 * (C(10,9) + C(10,10)) / 2^10
        (8, 2, 112 / 1024),  # 2 * (45 + 10 + 1) / 2^10
        (12, 4, 2 * (1820 + 560 + 120 + 16 + 1) / 65536),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_is_what_a_hand_computes(gained: int, lost: int, two_sided: float) -> None:
    assert mcnemar(Discordance(gained, lost, 100)) == two_sided


def test_one_sided_asks_for_a_gain() -> None:
    assert mcnemar_gain(Discordance(9, 1, 50)) == 11 / 1024
    assert mcnemar_gain(Discordance(1, 9, 50)) == 1023 / 1024


def test_tails_stay_exact_where_floats_end() -> None:
    assert upper_tail(5000, 5000) == 0.0  # 2^-5000 is below the smallest float, and no error
    assert upper_tail(2500, 5000) - 0.5 == pytest.approx(math.exp(_log_pmf(2500, 5000)) / 2, rel=1e-9)
    assert upper_tail(0, 10) == 1.0


def test_both_models_seen_from_the_other_side() -> None:
    draw = np.random.default_rng(3)
    for _ in range(50):
        gained, lost = (int(number) for number in draw.integers(0, 60, 2))
        found = Discordance(gained, lost, 200)
        assert mcnemar(found) == mcnemar(found.swapped)
        assert found.difference == -found.swapped.difference
        assert found.variance == pytest.approx(found.swapped.variance)
        tails = mcnemar_gain(found) + mcnemar_gain(found.swapped)
        assert tails == pytest.approx(1 + math.exp(_log_pmf(gained, gained + lost)), abs=1e-12)


def test_outcomes_are_counted_in_pairs() -> None:
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool)
    assert Discordance.of(first, second) == Discordance(2, 1, 5)
    with pytest.raises(ValueError, match="same rows"):
        Discordance.of(first, second[:4])


def test_a_wider_margin_and_a_better_candidate_are_easier_to_show() -> None:
    values = [not_inferior(Discordance(20, 25, 400), margin) for margin in (0.01, 0.02, 0.05, 0.1)]
    assert all(later < sooner for sooner, later in pairwise(values))
    values = [not_inferior(Discordance(gained, 25, 400), 0.03) for gained in (10, 20, 30, 40)]
    assert all(later < sooner for sooner, later in pairwise(values))
    assert not_inferior(Discordance(20, 25, 400), 0) == mcnemar_gain(Discordance(20, 25, 400))


def test_a_loss_of_the_margin_is_let_through_no_oftener_than_the_level() -> None:
    """By enumeration of every outcome, at the boundary: the true loss is exactly the margin."""
    for rows, margin in ((60, 0.05), (60, 0.1), (150, 0.05)):
        for level in (0.025, 0.005):
            for disputed in (margin + 0.002, margin + 0.02, 0.2, 0.4):
                assert _passed(rows, margin, level, disputed) <= level


def test_holm_on_a_textbook_case() -> None:
    """0.01, 0.04, 0.03, 0.005 at 0.05: 0.005 <= 0.0125 and 0.01 <= 0.0167 are rejected, 0.03 > 0.025 stops."""
    adjusted = holm({"h1": 0.01, "h2": 0.04, "h3": 0.03, "h4": 0.005})
    assert adjusted == pytest.approx({"h1": 0.03, "h2": 0.06, "h3": 0.06, "h4": 0.02})
    assert [name for name, value in adjusted.items() if value <= 0.05] == ["h1", "h4"]
    assert holm({}) == {}
    assert holm({"only": 0.04}) == {"only": 0.04}
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}


def test_holm_does_not_depend_on_the_order_and_lies_between_plain_and_bonferroni() -> None:
    draw = np.random.default_rng(5)
    for _ in range(30):
        plain = {number: float(value) for number, value in enumerate(draw.random(6) ** 3)}
        adjusted = holm(plain)
        assert holm(dict(reversed(plain.items()))) == adjusted
        assert all(value <= adjusted[name] <= min(1, 6 * value) + 1e-15 for name, value in plain.items())


def _log_pmf(hits: int, trials: int) -> float:
    return math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1) - trials * math.log(2)


def _passed(rows: int, margin: float, level: float, disputed: float) -> float:
    """Chance that a candidate with P(gained) - P(lost) = -margin passes."""
    gained, lost = (disputed - margin) / 2, (disputed + margin) / 2
    total = 0.0
    for losses in range(rows + 1):
        chance_lost = math.comb(rows, losses) * lost**losses * (1 - lost) ** (rows - losses)
        if chance_lost < 1e-9:
            continue
        left, share = rows - losses, gained / (1 - lost)
        for gains in range(left, -1, -1):  # passing is monotone in the gains
            if not_inferior(Discordance(gains, losses, rows), margin) > level:
                break
            total += chance_lost * math.comb(left, gains) * share**gains * (1 - share) ** (left - gains)
    return total


@pytest.mark.parametrize("rows", [1, 20, 1000])
def test_the_score_interval_of_no_disputed_row_has_its_closed_form(rows: int) -> None:
    """Tango's equation without discordant rows: d^2 n^2 = z^2 n (|d| - d^2), so that d = z^2 / (n + z^2)."""
    z = NormalDist().inv_cdf(0.975)
    low, high = score_interval(Discordance(0, 0, rows))
    assert high == pytest.approx(z * z / (rows + z * z), abs=1e-9)
    assert low == pytest.approx(-high, abs=1e-9)


@pytest.mark.parametrize(("gained", "lost", "rows"), [(12, 3, 100), (0, 7, 60), (40, 44, 900), (5, 0, 5)])
def test_the_score_interval_holds_what_the_score_test_does_not_reject(gained: int, lost: int, rows: int) -> None:
    found = Discordance(gained, lost, rows)
    low, high = score_interval(found)
    assert -1 <= low <= found.difference <= high <= 1
    assert score_interval(found.swapped) == pytest.approx((-high, -low))
    if -1 < low < 0:
        z = (found.difference - low) * np.sqrt(rows / null_variance(found, -low))
        assert z == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-6)


def test_the_score_interval_covers() -> None:
    """95 % of intervals hold a true loss of 0.03 on 200 rows, of which about 14 are disputed."""
    counts = np.random.default_rng(4).multinomial(200, (0.02, 0.05, 0.93), size=400)
    inside = [low <= -0.03 <= high for low, high in (score_interval(Discordance(a, b, 200)) for a, b, _ in counts)]
    assert 0.93 <= np.mean(inside) <= 0.98

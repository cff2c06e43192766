import numpy as np

from kubetune.comparison.paired import Discordance, mcnemar_gain, not_inferior, null_variance
from kubetune.comparison.power import rows_needed


def test_mcnemar_reaches_the_promised_power_at_the_promised_rows() -> None:
    gained, lost, level = 0.07, 0.04, 0.025
    rows = rows_needed(0.03, level, 0.8, gained + lost, gained + lost - 0.03**2)
    assert rows is not None
    draws = np.random.default_rng(0).multinomial(rows, [gained, lost, 1 - gained - lost], size=400)
    shown = np.mean([mcnemar_gain(Discordance(int(a), int(b), rows)) <= level for a, b, _ in draws])
    assert 0.74 <= shown <= 0.87


def test_a_margin_reaches_the_promised_power_at_the_promised_rows() -> None:
    seen = Discordance(50, 60, 1000)
    rows = rows_needed(0.05 - 0.01, 0.005, 0.8, null_variance(seen, 0.05), seen.variance)
    assert rows is not None
    draws = np.random.default_rng(1).multinomial(rows, [0.05, 0.06, 0.89], size=400)
    shown = np.mean([not_inferior(Discordance(int(a), int(b), rows), 0.05) <= 0.005 for a, b, _ in draws])
    assert 0.72 <= shown <= 0.88


def test_smaller_gaps_levels_and_more_power_need_more_rows_and_no_gap_needs_all_of_them() -> None:
    plain = rows_needed(0.02, 0.025, 0.8, 0.1, 0.1)
    assert plain is not None
    for gap, level, power in ((0.01, 0.025, 0.8), (0.02, 0.001, 0.8), (0.02, 0.025, 0.95)):
        more = rows_needed(gap, level, power, 0.1, 0.1)
        assert more is not None
        assert more > plain
    assert rows_needed(0.0, 0.025, 0.8, 0.1, 0.1) is None
    assert rows_needed(-0.1, 0.025, 0.8, 0.1, 0.1) is None

import math

import pytest

from kubetune.comparison.spending import Spending
from kubetune.errors import KubetuneError


def test_levels_and_what_is_left_always_make_alpha() -> None:
    spent = 0.0
    for earlier in range(2000):
        spending = Spending(0.05, earlier)
        spent += spending.level
        assert math.isclose(spent + spending.left, 0.05, rel_tol=1e-12)
        assert spending.next.level < spending.level


def test_the_first_levels_are_the_stated_ones() -> None:
    assert [Spending(0.06, earlier).level for earlier in range(3)] == pytest.approx([0.03, 0.01, 0.005])
    assert Spending(0.05, 19).level == pytest.approx(0.05 / 420)
    assert Spending(0.05, 19).left == pytest.approx(0.05 / 21)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(KubetuneError, match="-1 earlier comparisons were found"):
        Spending(0.05, -1)

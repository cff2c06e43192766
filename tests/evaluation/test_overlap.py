import json

import pytest

from kubetune.evaluation.overlap import SIZE, same_rows, shared, sketch_of


def ids(start: int, end: int) -> list[str]:
    return [f"row-{number}" for number in range(start, end)]


@pytest.mark.parametrize("rows", [10, SIZE, 5000])
def test_the_same_rows_in_any_order_are_the_same(rows: int) -> None:
    one, other = sketch_of(ids(0, rows)), sketch_of(reversed(ids(0, rows)))
    assert one == other
    assert shared(one, other) == 1
    assert len(one["hashes"]) == min(rows, SIZE)
    assert json.loads(json.dumps(one)) == one


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        ((0, 4000), (4000, 8000), 0.0),
        ((0, 4000), (2000, 6000), 0.5),
        ((0, 4000), (1000, 5000), 0.75),
        ((0, 4000), (0, 40_000), 1.0),  # a split that has grown tenfold holds all of the old one
        ((0, 200), (100, 300), 0.5),
    ],
)
def test_the_share_of_the_smaller_split_is_estimated(
    first: tuple[int, int], second: tuple[int, int], share: float
) -> None:
    one, other = sketch_of(ids(*first)), sketch_of(ids(*second))
    assert shared(one, other) == pytest.approx(share, abs=0.15)
    assert shared(one, other) == shared(other, one)


def test_small_splits_are_compared_exactly() -> None:
    assert shared(sketch_of(ids(0, 80)), sketch_of(ids(40, 120))) == pytest.approx(0.5)
    assert shared(sketch_of([]), sketch_of(ids(0, 9))) == 0


def test_a_split_that_grows_every_night_goes_on_counting() -> None:
    former = [sketch_of(ids(0, 2000 + 20 * night)) for night in range(20)]
    assert all(same_rows(sketch_of(ids(0, 2400)), one) for one in former)
    assert not any(same_rows(sketch_of(ids(9000, 11_000)), one) for one in former)

import json

import pytest

from kubetune.evaluation.overlap import SIZE, same_rows, shared, sketch_of, split_sketch


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


def test_splits_are_the_same_by_their_texts_and_not_by_rows_or_labels() -> None:
    def split(first: int, last: int, copies: int = 0, word: str = "lol", tag: str = "") -> dict:
        texts = [f"text {number}" for number in range(first, last)] + [word] * copies
        return split_sketch([f"{text}-{tag}{number}" for number, text in enumerate(texts)], [(text,) for text in texts])

    assert same_rows(split(0, 900, 1100), split(0, 900, 1100, "lmao"))  # by row 45 % are shared
    assert not same_rows(split(0, 900, 2000), split(900, 1800, 2000))  # by row 69 %: one text
    assert same_rows(split(0, 900), split(0, 900, tag="relabelled "))
    assert split(0, 5)["texts"] == split_sketch("abcde", [(f" TEXT  {number}",) for number in range(5)])["texts"]
    assert shared(split_sketch("ab", [("x", "y"), ("z", "")]), split_sketch("cd", [("x", "y"), ("", "z")])) == 0.5


def test_a_comparison_that_was_counted_by_row_ids_still_counts() -> None:
    former = sketch_of(f"id-{number}" for number in range(300))
    now = split_sketch([f"id-{number}" for number in range(320)], [(f"text {number}",) for number in range(320)])
    assert same_rows(now, former)
    assert not same_rows(now, sketch_of(f"other-{number}" for number in range(300)))

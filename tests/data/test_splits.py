"""Properties of the split, the limit and the duplicate rules over random pools."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from kubetune.data.duplicates import conflicting, leaked, occurrence, repeated, resolve_conflicts
from kubetune.data.rejects import check_reject_share
from kubetune.data.rows import Scan
from kubetune.data.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    connected,
    group_of,
    limit_rows,
    quotas,
    seeded_order,
    stratified_group_split,
)
from kubetune.errors import DataError

SHARES = {VALIDATION: 0.1, TEST: 0.2}


def pool(seed: int, rows: int = 4000, texts: int = 3500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return digests, groups and labels of a random pool with duplicates; labels follow the text."""
    draw = np.random.default_rng(seed)
    digests = draw.integers(0, 2**63, size=(texts, 2), dtype=np.uint64)
    which = draw.integers(0, texts, size=rows)
    labels = draw.choice(3, size=texts, p=[0.7, 0.25, 0.05]).astype(np.int32)
    return digests[which], group_of(digests[which]), labels[which]


@pytest.mark.parametrize("seed", range(5))
def test_a_split_is_stratified_whole_groups_and_a_function_of_the_seed(seed: int) -> None:
    digests, group, label = pool(seed)
    rows = np.arange(len(group))
    split = stratified_group_split(rows, group, label, seeded_order(digests, seed), SHARES)
    again = stratified_group_split(rows, group, label, seeded_order(digests, seed), SHARES)
    other = stratified_group_split(rows, group, label, seeded_order(digests, seed + 1), SHARES)
    assert (split == again).all()
    assert (split != other).mean() > 0.2
    for value in range(3):
        mine = split[label == value]
        for number, share in ((TEST, 0.2), (VALIDATION, 0.1), (TRAIN, 0.7)):
            assert (mine == number).mean() == pytest.approx(share, abs=4 / len(mine) + 0.005)
    assert all(len(set(split[group == number])) == 1 for number in range(0, int(group.max()), 37))


def test_the_split_does_not_depend_on_the_order_of_rows() -> None:
    digests, group, label = pool(1)
    turned = np.random.default_rng(0).permutation(len(group))
    split = stratified_group_split(np.arange(len(group)), group, label, seeded_order(digests, 0), SHARES)
    after = stratified_group_split(
        np.arange(len(group)), group_of(digests[turned]), label[turned], seeded_order(digests, 0)[turned], SHARES
    )
    assert (after == split[turned]).all()


def test_groups_are_numbered_by_their_first_row() -> None:
    digests = np.array([[5, 1], [3, 2], [5, 1], [5, 2], [3, 2]], dtype=np.uint64)
    assert group_of(digests).tolist() == [0, 1, 0, 2, 1]
    assert group_of(digests[:0]).tolist() == []


@pytest.mark.parametrize(("size", "limit"), [([50, 30, 20], 10), ([1000, 1, 1], 10), ([7, 7, 7], 20), ([3, 900], 11)])
def test_quotas_add_up_and_leave_nobody_out(size: list[int], limit: int) -> None:
    found = quotas(np.array(size), limit)
    assert found.sum() == limit
    assert (found >= 1).all()
    assert (found <= np.array(size)).all()
    assert np.abs(found - np.array(size) * limit / sum(size)).max() < 2


def test_shares_count_as_they_are_written() -> None:
    """Each share in hundredths of each number of rows, against whole numbers; half a row rounds up, one stays."""
    for rows in (10, 100, 200, 350, 1000):
        digests = np.random.default_rng(rows).integers(0, 2**63, size=(rows, 2), dtype=np.uint64)
        group, label, order = np.arange(rows), np.zeros(rows, dtype=np.int32), seeded_order(digests, 0)
        for hundredths in range(1, 50):
            shares = {VALIDATION: hundredths / 100, TEST: hundredths / 100}
            split = stratified_group_split(np.arange(rows), group, label, order, shares)
            wanted = (2 * rows * hundredths + 100) // 200
            left = min(wanted, rows - 1 - wanted)
            assert [(split == number).sum() for number in (TEST, VALIDATION)] == [wanted, left]


def test_the_largest_group_that_may_leave_train_is_counted_as_written() -> None:
    """A hundredth of a share of 0.57 of 10,000 rows is a group of 57; in binary, 10000 * 0.57 is less than 5,700."""
    group = np.concatenate([np.zeros(57, dtype=np.int64), np.arange(1, 9944)])
    order = np.arange(len(group), dtype=np.uint64)
    split = stratified_group_split(
        np.arange(len(group)), group, np.zeros(len(group), dtype=np.int32), order, {TEST: 0.57}
    )
    assert (split[:57] == TEST).all()
    assert (split == TEST).sum() == 5700


def test_quotas_are_those_of_exact_arithmetic() -> None:
    draw = np.random.default_rng(3)
    for _ in range(300):
        size = draw.integers(1, 60, size=int(draw.integers(2, 12)))
        limit = int(draw.integers(len(size), int(size.sum()) + 1))
        exact = [Fraction(int(value) * limit, int(size.sum())) for value in size]
        whole = [max(1, floor(value)) for value in exact]
        by_remainder = sorted(range(len(size)), key=lambda number: (whole[number] - exact[number], number))
        for number in by_remainder[: max(0, limit - sum(whole))]:
            whole[number] += 1
        if sum(whole) == limit:  # else some are taken back, which involves no fraction
            assert quotas(size, limit).tolist() == whole


def test_a_limit_leaves_out_exactly_the_rest_and_is_nested() -> None:
    digests, group, label = pool(2)
    split = stratified_group_split(np.arange(len(group)), group, label, seeded_order(digests, 0), SHARES)
    order = seeded_order(np.random.default_rng(1).integers(0, 2**63, size=digests.shape, dtype=np.uint64), 0)
    kept = [~limit_rows(split, label, order, limit) for limit in (300, 900)]
    assert [mask.sum() for mask in kept] == [300, 900]
    assert (kept[0] <= kept[1]).mean() > 0.999
    assert not limit_rows(split, label, order, 5000).any()


def test_leaks_repeats_and_conflicts_by_hand() -> None:
    split = np.array([0, 0, 1, 2, 0, 0, 0], dtype=np.int8)
    group = np.array([0, 1, 0, 2, 2, 3, 3])
    label = np.array([0, 1, 0, 1, 1, 0, 1], dtype=np.int32)
    in_validation, in_test = leaked(split, group)
    assert np.flatnonzero(in_validation).tolist() == [0]
    assert np.flatnonzero(in_test).tolist() == [4]
    assert np.flatnonzero(repeated(split, group, TRAIN)).tolist() == [6]
    assert np.flatnonzero(conflicting(split, group, label, TRAIN)).tolist() == [5, 6]
    assert np.flatnonzero(resolve_conflicts(split, group, label, "first")).tolist() == [6]
    assert np.flatnonzero(resolve_conflicts(split, group, label, "majority")).tolist() == [5, 6]


def test_occurrences_count_the_rows_before() -> None:
    assert occurrence(np.array([0, 1, 0, 0, 1, 2])).tolist() == [0, 0, 1, 2, 1, 0]
    assert occurrence(np.zeros(0, dtype=np.int64)).tolist() == []


@pytest.mark.parametrize("rows", [100, 200, 1000])
def test_as_many_rows_may_be_rejected_as_the_share_says(rows: int) -> None:
    for hundredths in range(1, 100):
        scan = Scan(raw_rows=[rows])
        allowed = rows * hundredths // 100
        scan.rejects.extend([0, 0, 0] * allowed)
        check_reject_share(scan, ["all"], "", hundredths / 100)
        scan.rejects.extend([0, 0, 0])
        with pytest.raises(DataError, match=f"{allowed + 1} of {rows} rows were rejected"):
            check_reject_share(scan, ["all"], "", hundredths / 100)


@pytest.mark.parametrize("rows_a_label", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("labels", [2, 77, 150])
def test_the_shares_hold_over_many_labels_of_few_rows(labels: int, rows_a_label: int) -> None:
    rows = labels * rows_a_label
    digests = np.random.default_rng(rows).integers(0, 2**63, size=(rows, 2), dtype=np.uint64)
    label = np.arange(rows, dtype=np.int32) % labels
    order = seeded_order(digests, 0)
    split = stratified_group_split(np.arange(rows), np.arange(rows), label, order, {VALIDATION: 0.1, TEST: 0.1})
    if rows_a_label > 1:
        for number in (VALIDATION, TEST):
            assert abs((split == number).sum() - rows / 10) <= 1
            taken = np.bincount(label[split == number], minlength=labels)
            assert taken.max() <= np.ceil(rows_a_label / 10)
    assert (np.bincount(label[split == TRAIN], minlength=labels) >= 1).all()
    turned = np.random.default_rng(1).permutation(rows)
    renamed = np.random.default_rng(2).permutation(labels).astype(np.int32)[label]
    again = stratified_group_split(
        np.arange(rows), np.arange(rows), renamed[turned], order[turned], {VALIDATION: 0.1, TEST: 0.1}
    )
    assert (again == split[turned]).all()


def test_repeated_texts_do_not_push_the_shares_away() -> None:
    digests, group, label = pool(7, rows=4000, texts=1200)
    label = (group % 40).astype(np.int32)
    split = stratified_group_split(np.arange(len(group)), group, label, seeded_order(digests, 0), SHARES)
    assert abs((split == TEST).sum() - 800) <= 10
    assert abs((split == VALIDATION).sum() - 400) <= 10


def test_rows_are_connected_by_any_digest_they_share() -> None:
    def digests(*numbers: int) -> np.ndarray:
        return np.array([[number, 7] for number in numbers], dtype=np.uint64)

    assert connected([digests(1, 2, 1, 3)]).tolist() == [0, 1, 0, 2]
    # A chain: each row shares one digest with the next.
    one, other = digests(1, 2, 3, 4, 9), digests(2, 3, 4, 5, 8)
    assert connected([one, other]).tolist() == [0, 0, 0, 0, 1]
    size = 5000
    chain = [digests(*range(size)), digests(*range(1, size + 1))]
    assert connected(chain).tolist() == [0] * size
    shuffled = np.random.default_rng(0).permutation(size)
    assert len(set(connected([part[shuffled] for part in chain]).tolist())) == 1
    assert connected([digests()[:0].reshape(0, 2)]).tolist() == []


@pytest.mark.parametrize("seed", range(3))
def test_documents_fill_their_share_whole(seed: int) -> None:
    draw = np.random.default_rng(seed)
    group = np.repeat(np.arange(100), draw.integers(1, 25, size=100))
    order = draw.integers(0, 2**63, size=len(group), dtype=np.uint64)[group]
    label = np.zeros(len(group), dtype=np.int32)
    rows = np.arange(len(group))
    split = stratified_group_split(rows, group, label, order, {VALIDATION: 0.1, TEST: 0.1}, documents=True)
    for number in range(100):
        assert len(set(split[group == number].tolist())) == 1
    for number in (VALIDATION, TEST):
        assert abs((split == number).mean() - 0.1) < 25 / len(group)

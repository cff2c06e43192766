"""Sample order and its arithmetic."""

from pathlib import Path

import numpy as np
import pytest

import trained_toys as toys
from kubetune.errors import ConfigError
from kubetune.tasks.rows import EncodedRows
from kubetune.training.batches import Timeline, epoch_batches, micro_batch_size, micro_batches, tokens_of
from kubetune.training.loop import build_timeline, rate_factor

LENGTHS = np.random.default_rng(5).integers(3, 90, size=1003)


@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize("batch", [1, 16, 64, 2000])
def test_each_row_occurs_exactly_once_an_epoch(groups: bool, batch: int) -> None:
    batches = epoch_batches(LENGTHS, batch, seed=1, epoch=0, groups=groups)
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(1003))
    assert len(batches) == -(-1003 // batch)
    assert sorted(map(len, batches))[1:] == [batch] * (len(batches) - 1)


def test_order_is_a_pure_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(epoch_batches(LENGTHS, 16, seed, epoch)).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_groups_need_hardly_any_padding_and_random_order_twice_the_tokens() -> None:
    def ratio(groups: bool) -> float:
        counts = [tokens_of(LENGTHS, batch, 1, 64, None) for batch in epoch_batches(LENGTHS, 64, 0, 0, groups)]
        return sum(computed for _, computed in counts) / sum(real for real, _ in counts)

    assert ratio(True) < 1.1
    assert ratio(False) > 1.6


def test_batch_order_is_not_by_length() -> None:
    means = [LENGTHS[batch].mean() for batch in epoch_batches(LENGTHS, 16, 0, 0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("micro", [1, 2, 4])
def test_ranks_make_equal_calls_and_cover_the_batch_once(size: int, world: int, micro: int) -> None:
    batch = np.arange(100, 100 + size)
    parts = [micro_batches(batch, rank, world, micro) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    covered = [row for part in parts for piece in part if piece.weight for row in piece.rows]
    assert sorted(covered) == batch.tolist()
    assert all(len(piece.rows) <= micro for part in parts for piece in part)


def test_an_indivisible_batch_is_refused() -> None:
    assert micro_batch_size(16, None, 2) == 8
    assert micro_batch_size(16, 4, 2) == 4
    with pytest.raises(ConfigError, match="divide evenly"):
        micro_batch_size(16, None, 3)
    with pytest.raises(ConfigError, match="micro_batch 3"):
        micro_batch_size(16, 3, 1)


def test_position_is_found_by_arithmetic() -> None:
    timeline = Timeline(LENGTHS, 16, 200, 3, True, evaluate_every=63, checkpoint_every=20)
    assert timeline.steps_an_epoch == 63
    assert np.array_equal(timeline.batch_at(63 + 5), epoch_batches(LENGTHS, 16, 3, 1)[5])
    assert [step for step in range(201) if timeline.evaluation_due(step)] == [63, 126, 189, 200]
    assert not timeline.checkpoint_due(200)
    assert LENGTHS[timeline.longest_batch()].min() == np.sort(LENGTHS)[-16]


@pytest.mark.parametrize("batches", [1, 7, 50, 63, 100])
def test_parts_of_an_epoch_and_of_a_run_count_as_they_are_written(batches: int, tmp_path: Path) -> None:
    """Hundredths of epochs and of a warm-up, rounded up, against whole numbers: `1.1 * 50` in binary is above 55."""
    rows = EncodedRows({}, {"input_ids": np.arange(4 * batches + 1)}, np.arange(4 * batches), 4 * batches)
    wrong = []
    for hundredths in range(1, 250):
        job = toys.make_job(tmp_path, tmp_path, tmp_path, batch=4, epochs=hundredths / 100)
        if build_timeline(job, rows, 0).steps != -(-hundredths * batches // 100):
            wrong.append(hundredths / 100)
    assert not wrong
    for hundredths in range(100):
        rising = -(-hundredths * batches // 100)
        factors = [rate_factor("constant", step, batches, hundredths / 100) for step in range(batches)]
        assert [factor < 1 for factor in factors] == [step < rising for step in range(batches)]

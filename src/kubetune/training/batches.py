"""Which rows make which step: pure arithmetic of (seed, epoch), the same for every number of ranks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil

import numpy as np

from kubetune.errors import ConfigError

MEGA_BATCH = 50
"""Batches that are sorted by length together: enough for hardly any padding, few enough to keep order random."""


def epoch_batches(lengths: np.ndarray, batch: int, seed: int, epoch: int, groups: bool = True) -> list[np.ndarray]:
    """Cut one epoch into global batches of row numbers; each row occurs exactly once.

    Args:
        lengths: (rows,) tokens of each row.
        batch: Rows of an optimizer step over all ranks; only the batch that is left over may be shorter.
        seed: Of the run.
        epoch: From 0.
        groups: Sort mega-batches by length, so that the rows of a batch need little padding; else random order.

    Returns:
        The batches in the order of training.
    """
    draw = np.random.default_rng([seed, epoch])
    order = draw.permutation(len(lengths))
    if not groups:
        return [order[start : start + batch] for start in range(0, len(order), batch)]
    batches = []
    for start in range(0, len(order), MEGA_BATCH * batch):
        mega = order[start : start + MEGA_BATCH * batch]
        mega = mega[np.argsort(-lengths[mega], kind="stable")]
        batches += [mega[first : first + batch] for first in range(0, len(mega), batch)]
    return [batches[number] for number in draw.permutation(len(batches))]


@dataclass(frozen=True)
class MicroBatch:
    """Rows that one rank computes at once.

    Attributes:
        rows: Row numbers.
        weight: 1, or 0 for the dummy of a rank that has no rows left; it keeps backward calls equal on all ranks.
    """

    rows: np.ndarray
    weight: float = 1.0


def micro_batches(batch: np.ndarray, rank: int, world: int, micro: int) -> list[MicroBatch]:
    """Return a rank's share of a global batch; all ranks get equally many micro-batches.

    The global batch is striped, not cut, so that every rank has rows of the same lengths and none waits.
    """
    stripe = batch[rank::world]
    calls = ceil(ceil(len(batch) / world) / micro)
    cuts = [stripe[number * micro : (number + 1) * micro] for number in range(calls)]
    return [MicroBatch(rows) if len(rows) else MicroBatch(batch[:1], weight=0.0) for rows in cuts]


def micro_batch_size(batch: int, micro: int | None, ranks: int) -> int:
    """Return the rows a rank computes at once.

    Raises:
        ConfigError: The global batch does not divide into ranks and micro-batches.
    """
    if batch % ranks or (micro is not None and batch % (ranks * micro)):
        parts = f"{ranks} ranks" + (f" x micro_batch {micro}" if micro is not None else "")
        raise ConfigError(
            f"training.batch is {batch}, which {parts} do not divide evenly: change the batch, "
            "training.micro_batch or the number of ranks."
        )
    return micro or batch // ranks


@dataclass(frozen=True, eq=False)
class Timeline:
    """The steps of a run, and what is due after which.

    Attributes:
        lengths: (rows,) tokens of each training row.
        batch: Global batch.
        steps: Optimizer steps of the whole run.
        seed: Of the run.
        groups: Whether batches hold rows of similar length.
        evaluate_every: Steps between evaluations.
        checkpoint_every: Steps between checkpoints.
    """

    lengths: np.ndarray = field(repr=False)
    batch: int
    steps: int
    seed: int
    groups: bool
    evaluate_every: int
    checkpoint_every: int

    @property
    def steps_an_epoch(self) -> int:
        """Batches that hold each row once."""
        return ceil(len(self.lengths) / self.batch)

    def batch_at(self, step: int) -> np.ndarray:
        """Row numbers of the step after `step` completed ones; found by arithmetic, not by replay."""
        epoch, index = divmod(step, self.steps_an_epoch)
        return _cached_epoch(self, epoch)[index]

    def longest_batch(self) -> np.ndarray:
        """The rows that need most memory together."""
        return np.argsort(-self.lengths, kind="stable")[: self.batch]

    def evaluation_due(self, step: int) -> bool:
        """Whether the weights after `step` steps are to be evaluated; those of the last step always are."""
        return step > 0 and (step % self.evaluate_every == 0 or step == self.steps)

    def checkpoint_due(self, step: int) -> bool:
        """Whether `step` completed steps are to be saved; the last step's result is the artifact itself."""
        return step % self.checkpoint_every == 0 and step < self.steps


@lru_cache(maxsize=2)
def _cached_epoch(timeline: Timeline, epoch: int) -> list[np.ndarray]:
    return epoch_batches(timeline.lengths, timeline.batch, timeline.seed, epoch, timeline.groups)


def tokens_of(lengths: np.ndarray, batch: np.ndarray, world: int, micro: int, pad_to: int | None) -> tuple[int, int]:
    """Return (real, computed) tokens of a global batch over all ranks, padding counted in the second."""
    real = int(lengths[batch].sum())
    if pad_to is not None:
        return real, pad_to * len(batch)
    parts: Sequence[MicroBatch] = [part for rank in range(world) for part in micro_batches(batch, rank, world, micro)]
    return real, sum(int(lengths[part.rows].max()) * len(part.rows) for part in parts if part.weight)

"""Vectors are learnt from pairs; a step is the same however it is cut, where a loss knows its own row alone."""

from pathlib import Path
from typing import Any

import pytest

import vector_toys

QUIET: dict[str, Any] = {"encoder_dropout": 0.0, "head": vector_toys.HEAD, "labels": ()}
SCORED: dict[str, Any] = {"task": vector_toys.SCORED, **QUIET}
PAIRS: dict[str, Any] = {"task": vector_toys.PAIRS, **QUIET}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vector_toys.write_dataset(tmp_path_factory.mktemp("scored"), vector_toys.SCORED)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vector_toys.write_dataset(tmp_path_factory.mktemp("pairs"), vector_toys.PAIRS)


def test_similarities_are_learnt(run_toy: Any, scored: Path) -> None:
    done = run_toy(dataset=scored, epochs=3.0, learning_rate=3e-3, **SCORED)
    assert done.losses[-1] < done.losses[0] / 3
    assert done.outcome.metrics["validation_spearman"] > 0.7


def test_positives_are_found(run_toy: Any, pairs: Path) -> None:
    done = run_toy(dataset=pairs, epochs=2.0, **PAIRS)
    assert done.losses[-1] < done.losses[0] / 2
    assert done.outcome.metrics["validation_mrr"] > 0.9
    (note,) = [note for note in done.context.notes if "anchor" in note]
    assert "of up to 15 other rows, those of its micro-batch; accumulation enlarges no such pool" in note


def steps(run_toy: Any, dataset: Path, task: dict[str, Any]) -> list[tuple[float, float]]:
    """Return loss and gradient norm of a step in one piece and in four."""
    found = []
    for name, micro in (("whole", 16), ("parted", 4)):
        done = run_toy(name, dataset=dataset, steps=1, micro_batch=micro, length_groups=False, **task)
        found.append((done.losses[0], done.context.of("step")[0]["norm"]))
    return found


def test_accumulation_is_the_same_step_of_scored_pairs(run_toy: Any, scored: Path) -> None:
    whole, parted = steps(run_toy, scored, SCORED)
    assert parted == pytest.approx(whole, rel=1e-5)


def test_accumulation_is_another_step_of_pairs(run_toy: Any, pairs: Path) -> None:
    """It cannot be the same: an anchor of a micro-batch of 4 rows is told from 3 positives, not from 15.

    Anchors of a smaller pool are easier, so that the loss is smaller (sentence-transformers, issue 2916).
    """
    whole, parted = steps(run_toy, pairs, PAIRS)
    assert parted[0] < 0.8 * whole[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [vector_toys.SCORED, vector_toys.PAIRS])
def test_two_ranks_validate_all_rows_together(run_toy: Any, scored: Path, pairs: Path, kind: str) -> None:
    """Ranks of positives and of cosines are those among all rows, not among those of a rank."""
    dataset, task = (scored, SCORED) if kind == vector_toys.SCORED else (pairs, PAIRS)
    same = {"dataset": dataset, "steps": 1, "micro_batch": 8, "learning_rate": 4e-6, **task}
    alone, both = (run_toy(f"ranks-{ranks}", ranks=ranks, **same) for ranks in (1, 2))
    found = [
        {name: value for name, value in run.outcome.metrics.items() if name.startswith("validation_")}
        for run in (alone, both)
    ]
    assert found[1] == pytest.approx(found[0], abs=1e-4)
    if kind == vector_toys.SCORED:
        assert both.losses == pytest.approx(alone.losses, rel=1e-5)

"""Vectors are learnt from pairs; a step is the same however it is cut, where a loss knows its own row alone."""

from pathlib import Path
from typing import Any

import pytest
import torch

import trained_toys
import vector_toys
from kubetune.tasks import load_task
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.rows import read_rows
from kubetune.training.batches import epoch_batches, micro_batches

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


@pytest.fixture(scope="module")
def triplets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vector_toys.write_dataset(tmp_path_factory.mktemp("triplets"), vector_toys.PAIRS, negatives=True)


@pytest.mark.slow
def test_a_step_with_hard_negatives_is_that_of_its_micro_batches(run_toy: Any, triplets: Path, toy_model: Path) -> None:
    """An anchor is told from the rows of its own micro-batch alone, so one rank and two differ as their cuts do."""
    same = {"dataset": triplets, "steps": 1, "micro_batch": 8, "length_groups": False, **PAIRS}
    done = {ranks: run_toy(f"ranks-{ranks}", ranks=ranks, **same) for ranks in (1, 2)}
    task = load_task(vector_toys.PAIRS)
    rows = read_rows(triplets, "train", task, ())
    batch = epoch_batches(rows.lengths, 16, 0, 0, groups=False)[0]
    spec = ModelSpec(task.kind, (), "stock", {"pooling": "mean"}, 0.0, trained_toys.MAX_LENGTH)
    for ranks, run in done.items():
        model = task.build_model(spec, toy_model, pretrained=True)
        parts = [part.rows for rank in range(ranks) for part in micro_batches(batch, rank, ranks, 8)]
        assert [len(part) for part in parts] == [8, 8]
        chosen = [[rows[int(number)] for number in part] for part in parts]
        outputs = [model(**task.collate(part, 0)) for part in chosen]
        losses = [task.losses(of, task.targets(part, 0)) for of, part in zip(outputs, chosen, strict=True)]
        loss = torch.cat(losses).mean()
        loss.backward()
        norm = torch.stack([each.grad.norm() for each in model.parameters() if each.grad is not None]).norm()
        assert run.losses[0] == pytest.approx(loss.item(), rel=1e-5)
        assert run.context.of("step")[0]["norm"] == pytest.approx(norm.item(), rel=1e-4)


@pytest.mark.slow
def test_hard_negatives_are_learnt(run_toy: Any, triplets: Path) -> None:
    done = run_toy(dataset=triplets, epochs=2.0, **PAIRS)
    assert done.losses[-1] < done.losses[0] / 2
    assert done.outcome.metrics["validation_mrr"] > 0.9


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

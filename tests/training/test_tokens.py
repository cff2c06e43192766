"""A task with a loss for each word: it learns, resumes to the same bits, and each word counts once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trained_toys as toys
from kubetune.errors import InterruptedRunError
from kubetune.training import loop

ENTITIES: dict[str, Any] = {"task": "token-classification", "labels": toys.TYPES}


@pytest.mark.parametrize("head", ["stock", pytest.param("own", marks=pytest.mark.slow)])
def test_entities_are_learnt(run_toy: Any, entity_dataset: Path, head: str) -> None:
    done = run_toy(dataset=entity_dataset, architecture=head, epochs=12.0, **ENTITIES)
    assert done.losses[-1] < done.losses[0] / 2
    assert done.outcome.metrics["validation_f1"] > 0.9
    assert done.outcome.metrics["validation_loss"] < 0.3


@pytest.mark.slow
def test_a_network_from_scratch_reads_tokens(run_toy: Any, entity_dataset: Path, scratch_weights: Path) -> None:
    done = run_toy(
        dataset=entity_dataset,
        weights=scratch_weights,
        architecture="bilstm",
        epochs=24.0,
        learning_rate=1e-2,
        **ENTITIES,
    )
    assert done.outcome.metrics["validation_f1"] > 0.9


def test_a_resumed_run_of_entities_has_the_same_bits(run_toy: Any, entity_dataset: Path) -> None:
    whole = run_toy("a", dataset=entity_dataset, steps=6, checkpoints={"every_steps": 2}, **ENTITIES)
    with pytest.raises(InterruptedRunError):
        run_toy("b", dataset=entity_dataset, stop_after=3, steps=6, checkpoints={"every_steps": 2}, **ENTITIES)
    again = run_toy("b", dataset=entity_dataset, steps=6, checkpoints={"every_steps": 2}, **ENTITIES)
    assert again.context.of("attempt")[0]["start_step"] > 0
    assert again.sha == whole.sha


def test_the_loss_of_a_step_is_the_mean_over_its_words(run_toy: Any, entity_dataset: Path) -> None:
    """Rows of unlike lengths in micro-batches of one row each: a mean of means would be another number."""
    quiet = {"encoder_dropout": 0.0, "head": {"pooling": "cls", "hidden_size": None, "dropout": 0.0}}
    whole, parted = (
        run_toy(name, dataset=entity_dataset, steps=1, micro_batch=micro, length_groups=False, **quiet, **ENTITIES)
        for name, micro in (("whole", 16), ("parted", 1))
    )
    assert parted.losses == pytest.approx(whole.losses, rel=1e-6)
    norms = [run.context.of("step")[0]["norm"] for run in (whole, parted)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


def test_a_word_weighs_the_same_in_a_batch_of_short_texts_and_in_one_of_long_ones(
    run_toy: Any, entity_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over an epoch in length groups, words add up to the gradient of the mean loss of all words."""
    found: list[list[torch.Tensor]] = []

    def keep(parameters: dict[str, torch.nn.Parameter], limit: float | None) -> float:
        found.append([tensor.grad.clone() for tensor in parameters.values()])
        return 0.0

    monkeypatch.setattr(loop, "clip", keep)
    quiet = {"encoder_dropout": 0.0, "head": {"pooling": "cls", "hidden_size": None, "dropout": 0.0}}
    parts = run_toy("parts", dataset=entity_dataset, epochs=1.0, learning_rate=1e-6, **quiet, **ENTITIES)
    rows = [step["rows"] for step in parts.context.of("step")]
    gradients, words = found[:], [step["tokens"] / step["rows"] for step in parts.context.of("step")]
    assert max(words) > 2 * min(words)
    found.clear()
    run_toy("whole", dataset=entity_dataset, steps=1, batch=sum(rows), **quiet, **ENTITIES)
    for number, whole in enumerate(found[0]):
        summed = sum(of[number] * count for of, count in zip(gradients, rows, strict=True)) / sum(rows)
        torch.testing.assert_close(summed, whole, rtol=1e-2, atol=1e-3)  # the weights move a little


@pytest.mark.slow
def test_weights_of_tags_are_balanced(run_toy: Any, entity_dataset: Path) -> None:
    done = run_toy(dataset=entity_dataset, class_weights="balanced", epochs=12.0, **ENTITIES)
    assert done.outcome.metrics["validation_recall"] > 0.9


ANSWERS: dict[str, Any] = {"task": "question-answering", "labels": ()}


@pytest.mark.parametrize("head", ["stock", pytest.param("own", marks=pytest.mark.slow)])
def test_answers_are_learnt_in_windows(run_toy: Any, answer_dataset: Path, head: str) -> None:
    """The last feeling word of a text that is longer than a window, or none where there is none."""
    done = run_toy(dataset=answer_dataset, architecture=head, epochs=5.0, **ANSWERS)
    assert done.outcome.metrics["validation_exact_match"] > 0.7
    assert done.outcome.metrics["validation_f1"] >= done.outcome.metrics["validation_exact_match"]


def test_a_row_of_several_windows_is_one_row_of_validation(answer_dataset: Path) -> None:
    from kubetune.tasks import load_task
    from kubetune.tasks.rows import read_rows, windows_of

    rows = read_rows(answer_dataset, "validation", load_task("question-answering"), (), places=True)
    assert rows.examples == 40
    assert len(rows) > 60
    some = np.array([3, 7])
    found = windows_of(rows, some)
    assert set(rows.example[found].tolist()) == {3, 7}
    assert len(found) == int(np.isin(rows.example, some).sum())

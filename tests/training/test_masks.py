"""Masks are learnt from; a step, a rank and a resumed run see those that an unbroken run on one rank sees."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import mask_toys
from kubetune.errors import InterruptedRunError
from kubetune.tasks import load_baselines
from kubetune.tasks.rows import read_rows

LEARN: dict[str, Any] = {**mask_toys.QUIET, "learning_rate": 1e-2, "divergence_loss": 100.0}
NO_DROPOUT: dict[str, Any] = {**mask_toys.QUIET, "length_groups": False}


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    return mask_toys.write_dataset(tmp_path_factory.mktemp("masked"), AutoTokenizer.from_pretrained(toy_model))


def job(dataset: Path, **changes: Any) -> dict[str, Any]:
    return {"dataset": dataset, "vocabulary": 112, **changes}


def test_masks_are_filled_better_than_by_frequency(run_toy: Any, masked: Path) -> None:
    import pyarrow.parquet as pq

    done = run_toy(**job(masked, epochs=8.0, batch=32, seed=1, **LEARN))
    train, held = (pq.read_table(masked / f"{split}.parquet") for split in ("train", "validation"))
    (baseline,) = load_baselines(mask_toys.KIND)(train, held, ("text",), ("",) * 112)
    usual = mask_toys.TASK.statistics(()).measure(baseline.outcomes.total())
    found = done.outcome.metrics
    assert found["validation_cross_entropy"] < 0.8 * float(usual["cross_entropy"])
    assert found["validation_top_1"] > float(usual["top_1"]) + 0.2
    (line,) = [note for note in done.context.notes if "head for masked tokens" in note]
    assert line.startswith("the checkpoint has no head for masked tokens")


def test_a_step_in_parts_is_the_same_step(run_toy: Any, masked: Path) -> None:
    """The loss is divided by the masks of the whole batch: rows have from none to several."""
    found = []
    for name, micro in (("whole", 16), ("parted", 4), ("single", 1)):
        done = run_toy(name, **job(masked, steps=1, micro_batch=micro, **NO_DROPOUT))
        found.append((done.losses[0], done.context.of("step")[0]["norm"]))
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert found[2] == pytest.approx(found[0], rel=1e-5)
    rows = read_rows(masked, "train", mask_toys.TASK, ())
    assert len(set(mask_toys.TASK.terms(rows[:16]).tolist())) > 2


def test_the_share_of_masks_is_the_recipes(run_toy: Any, masked: Path) -> None:
    few, many = (
        run_toy(f"share-{share}", **job(masked, steps=1, mask_probability=share, **NO_DROPOUT)) for share in (0.05, 0.6)
    )
    assert few.losses[0] != many.losses[0]
    assert few.outcome.metrics["validation_top_5"] >= 0  # measured on the fixed masks all the same


@pytest.mark.slow
def test_a_resumed_run_is_bit_equal(run_toy: Any, masked: Path) -> None:
    """Dropout and masks of the passes that are left are those of the unbroken run."""
    same = job(masked, epochs=3.0, checkpoints={"every_steps": 4}, **{**mask_toys.QUIET, "encoder_dropout": 0.1})
    unbroken = run_toy("unbroken", **same)
    for stop_after in (7, 13):
        with pytest.raises(InterruptedRunError):
            run_toy("broken", **same, stop_after=stop_after)
    assert run_toy("broken", **same).sha == unbroken.sha
    assert run_toy("other", **same, seed=1).sha != unbroken.sha


@pytest.mark.slow
def test_two_ranks_take_the_steps_of_one(run_toy: Any, masked: Path) -> None:
    same = job(masked, steps=4, micro_batch=4, learning_rate=1e-4, **NO_DROPOUT)
    alone, both = (run_toy(f"ranks-{ranks}", ranks=ranks, **same) for ranks in (1, 2))
    assert both.losses == pytest.approx(alone.losses, rel=1e-4)
    norms = [[event["norm"] for event in run.context.of("step")] for run in (alone, both)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
    for metric in ("cross_entropy", "top_1", "top_5"):
        name = f"validation_{metric}"
        assert both.outcome.metrics[name] == pytest.approx(alone.outcome.metrics[name], abs=1e-4)

"""At equal settings a training is that of `transformers.Trainer`, step by step: loss, gradient and weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trained_toys as toys
from kubetune.tasks import load_task
from kubetune.tasks.rows import read_rows
from kubetune.training import batches

STEPS, RATE = 8, 1e-3
TASKS: dict[str, tuple[str, ...]] = {
    "text-classification": ("negative", "positive"),
    "token-classification": toys.TYPES,
}


def items(dataset: Path, kind: str, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return features as the example scripts of transformers make them."""
    found = []
    for row in read_rows(dataset, "train", load_task(kind), labels):
        item: dict[str, Any] = {"input_ids": row["input_ids"].tolist()}
        if "token_type_ids" in row:
            item["token_type_ids"] = row["token_type_ids"].tolist()
        item["labels"] = row["tags"].tolist() if "tags" in row else int(row["label"][0])
        found.append(item)
    return found


def by_trainer(
    folder: Path, rows: list[dict[str, Any]], network: Any, tokenizer: Any
) -> tuple[list[float], list[float], dict[str, torch.Tensor]]:
    """Return loss and gradient norm of each step, and the weights after them."""
    from transformers import (
        DataCollatorForTokenClassification,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    losses, norms = [], []

    class Keep(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
            if "grad_norm" in logs:
                losses.append(float(logs["loss"]))
                norms.append(float(logs["grad_norm"]))

    tokens = isinstance(rows[0].get("labels"), list)
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=16, learning_rate=RATE, warmup_steps=0, max_steps=STEPS,
        train_sampling_strategy="sequential", use_cpu=True, save_strategy="no", report_to=[], disable_tqdm=True,
        logging_steps=1,
    )  # fmt: skip
    collator = (DataCollatorForTokenClassification if tokens else DataCollatorWithPadding)(tokenizer)
    Trainer(network, arguments, collator, train_dataset=rows, callbacks=[Keep()]).train()
    return losses, norms, network.state_dict()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TASKS)
def test_a_training_is_that_of_trainer_at_equal_settings(
    kind: str, request: Any, run_toy: Any, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in their order, fp32, no dropout and no decay: then nothing but the loop could differ.

    Answers are left out: their loss is over the tokens that may be answers, that of transformers over all.
    """
    from transformers import AutoTokenizer

    names = {"text-classification": "text", "token-classification": "entity"}
    dataset: Path = request.getfixturevalue(f"{names[kind]}_dataset")

    def in_order(lengths: np.ndarray, batch: int, *_: Any) -> list[np.ndarray]:
        return [np.arange(start, min(start + batch, len(lengths))) for start in range(0, len(lengths), batch)]

    monkeypatch.setattr(batches, "epoch_batches", in_order)
    batches._cached_epoch.cache_clear()
    own = run_toy(
        dataset=dataset, task=kind, labels=TASKS[kind],
        steps=STEPS, learning_rate=RATE, warmup=0.0, weight_decay=0.0,
        length_groups=False, evaluate_every_steps=1000, encoder_dropout=0.0,
        head={"pooling": "cls", "hidden_size": None, "dropout": 0.0},
    )  # fmt: skip
    batches._cached_epoch.cache_clear()
    task = load_task(kind)
    torch.manual_seed(own.job.settings.seed)  # a new head has the same numbers
    network = task.build_model(own.job.spec, own.job.weights, pretrained=True).network
    rows = items(dataset, kind, TASKS[kind])
    losses, norms, weights = by_trainer(tmp_path, rows, network, AutoTokenizer.from_pretrained(toy_model))
    steps = own.context.of("step")
    assert losses == pytest.approx([step["loss"] for step in steps], rel=1e-3)
    assert norms == pytest.approx([step["norm"] for step in steps], rel=1e-3)
    trained = task.build_model(own.job.spec, own.job.output, pretrained=False).state_dict()
    for name, tensor in weights.items():
        torch.testing.assert_close(trained[name], tensor, rtol=1e-3, atol=1e-4)

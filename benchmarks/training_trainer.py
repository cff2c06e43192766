"""The arm of `training.py` that runs Hugging Face's `Trainer` as people set it."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any


def run_trainer(dataset: Path, model: Path, threads: int, steps: int | None) -> dict[str, Any]:
    """Train for one epoch: dynamic padding, random order, batch 16, bf16 where native, learning rate 5e-5.

    Args:
        dataset: Folder of artifact `dataset`.
        model: Folder of the pretrained encoder and its tokenizer.
        threads: CPU threads.
        steps: Steps to end after; None: the epoch.
    """
    import numpy as np
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer
    from transformers.utils import logging

    from kubetune.tasks import load_task
    from kubetune.tasks.base import Encoding
    from kubetune.tasks.inference import feature_losses
    from kubetune.tasks.rows import read_rows

    logging.set_verbosity_error()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    labels = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))["labels"]
    task, classes = load_task("text-classification"), len(labels)
    splits = {name: read_rows(dataset, name, task, labels) for name in ("train", "validation")}
    items = {name: _items(rows) for name, rows in splits.items()}
    seconds = [0.0, 0.0]
    trainer = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(model, num_labels=classes),
        args=_arguments(steps),
        train_dataset=items["train"],
        data_collator=DataCollatorWithPadding(AutoTokenizer.from_pretrained(model, local_files_only=True)),
        callbacks=[clock_steps(seconds)],
    )
    trainer.train()
    outputs, rows = list(np.asarray(trainer.predict(items["validation"]).predictions)), splits["validation"]
    encoding = Encoding(list(rows), rows.example.tolist(), [])
    outcomes = task.validation(outputs, encoding, feature_losses(task, outputs, rows), labels, {})
    metrics = task.statistics(labels).measure(outcomes.total())
    done = int(trainer.state.global_step)
    return {
        "cpu_seconds": seconds[1] - seconds[0],
        "rows": min(done * 16, len(items["train"])),
        "steps": done,
        "validation": {f"validation_{name}": float(value) for name, value in metrics.items()},
    }


def _arguments(steps: int | None) -> Any:
    from transformers import TrainingArguments

    from kubetune.tasks.hardware import native_bf16

    return TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=16,
        per_device_eval_batch_size=64,
        num_train_epochs=1,
        max_steps=steps or -1,
        learning_rate=5e-5,
        bf16=native_bf16("cpu"),
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )


def _items(rows: Any) -> list[dict[str, Any]]:
    pairs = zip(rows, rows.column("label"), strict=True)
    return [{"input_ids": row["input_ids"].tolist(), "label": int(label)} for row, label in pairs]


def clock_steps(seconds: list[float]) -> Any:
    """Return a callback that notes the process's CPU seconds at the first step's start and the last one's end."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        """CPU seconds of the steps."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            """Start the clock."""
            seconds[0] = time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Read the clock."""
            seconds[1] = time.process_time()

    return Watch()

"""The arms of `scripts.py` that run Hugging Face's `Trainer` as its example scripts set it."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_trainer import clock_steps

from kubetune.config.recipe import Recipe

BATCH, LEARNING_RATE = 8, 5e-5
"""Of the scripts where nothing else is asked."""


def train_script(args: argparse.Namespace, recipe: Recipe) -> tuple[Any, dict[str, float]]:
    """Train as the script does; return the module, with outputs as kubetune's, and what it took."""
    import torch
    from transformers import (
        AutoModelForQuestionAnswering,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        DataCollatorWithPadding,
        Trainer,
    )
    from transformers.utils import logging

    from kubetune.tasks.encoder import StockClassifier

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    models = {
        "text-classification": AutoModelForSequenceClassification,
        "token-classification": AutoModelForTokenClassification,
        "question-answering": AutoModelForQuestionAnswering,
    }
    task, labels = opened(args, recipe)
    head = task.head(labels)
    tokenizer = AutoTokenizer.from_pretrained(args.work / "tokenizer", local_files_only=True)
    collators = {
        "text-classification": DataCollatorWithPadding(tokenizer),
        "token-classification": DataCollatorForTokenClassification(tokenizer),
        "question-answering": DataCollatorWithPadding(tokenizer, "max_length", recipe.model.max_length),
    }
    items, seconds = script_items(args.work / "dataset", task, labels), [0.0, 0.0]
    trainer = Trainer(
        model=models[head.stock].from_pretrained(args.work / "weights", num_labels=len(head.names)),
        args=script_arguments(args, recipe),
        train_dataset=items,
        data_collator=collators[head.stock],
        callbacks=[clock_steps(seconds)],
    )
    trainer.train()
    steps = int(trainer.state.global_step)
    rows = min(steps * trainer.args.per_device_train_batch_size, round(len(items) * args.epochs))
    return StockClassifier(trainer.model), {"cpu_seconds": seconds[1] - seconds[0], "features": rows}


def script_arguments(args: argparse.Namespace, recipe: Recipe) -> Any:
    """Return `TrainingArguments` of an arm."""
    from transformers import TrainingArguments

    equal, section = args.arm == "equal", recipe.training
    return TrainingArguments(
        output_dir=str(args.folder),
        per_device_train_batch_size=section.batch if equal else BATCH,
        learning_rate=section.learning_rate if equal else LEARNING_RATE,
        warmup_steps=section.warmup if equal else 0,
        num_train_epochs=args.epochs,
        max_steps=args.grouped_steps if args.arm == "grouped" else -1,
        train_sampling_strategy="group_by_length" if args.arm == "grouped" else "random",
        seed=args.seed,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )


def script_items(dataset: Path, task: Any, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the train split's features as the scripts' collators and models take them."""
    from kubetune.tasks.rows import read_rows
    from kubetune.tasks.windows import FIRST, LAST

    items = []
    for feature in read_rows(dataset, "train", task, labels):
        item = {name: feature[name].tolist() for name in ("input_ids", "token_type_ids") if name in feature}
        if "tags" in feature:
            item["labels"] = feature["tags"].tolist()
        elif "marks" in feature:  # token 0 where the window holds no answer
            marks = (feature["marks"] * (feature["marks"] > 0)).tolist()
            item["start_positions"] = next((at for at, mark in enumerate(marks) if mark & FIRST), 0)
            item["end_positions"] = next((at for at, mark in enumerate(marks) if mark & LAST), 0)
        else:
            item["labels"] = int(feature["label"][0])
        items.append(item)
    return items


def opened(args: argparse.Namespace, recipe: Recipe) -> tuple[Any, tuple[str, ...]]:
    """Return the recipe's task, and the labels of what was prepared."""
    from kubetune.tasks import load_task

    facts = json.loads((args.work / "dataset" / "dataset.json").read_text(encoding="utf-8"))
    return load_task(recipe.task.name), tuple(facts["labels"])

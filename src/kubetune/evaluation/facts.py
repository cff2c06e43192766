"""What earlier artifacts say of the data and the model, picked for a person."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kubetune.evaluation.metrics import Ints
from kubetune.evaluation.shown import one_line

SPLITS = ("train", "validation", "test")


def data_facts(dataset: Mapping[str, Any], lengths: Ints, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{"splits": {split: rows}, "classes": [{"label", "cells"}], "facts": {name: value}}`.

    Args:
        dataset: `dataset.json`.
        lengths: Tokens of the test rows, shape (rows,).
        document: Content of `metrics.json`.
    """
    splits = {split: dataset["splits"][split] for split in SPLITS if split in dataset["splits"]}
    counts = dataset["label_counts"]
    classes = [
        {
            "label": one_line(label, 60),
            "cells": [
                {"split": split, "count": counts[split][number], "share": counts[split][number] / max(1, rows)}
                for split, rows in splits.items()
            ],
        }
        for number, label in enumerate(dataset["labels"])
    ]
    middle, high, longest = (int(value) for value in np.quantile(lengths, (0.5, 0.95, 1.0), method="higher"))
    facts = {
        "Cleaning": ", ".join(dataset["cleaning"]) or "none",
        "Length of test rows": f"median {middle} tokens, 95 % up to {high}, longest {longest}",
        "Maximum length": f"{dataset['max_length']} tokens; {document['truncated']:,} test rows were cut",
    }
    return {"splits": splits, "classes": classes, "facts": facts}


def model_facts(spec: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, str]:
    """Return name → value of the model's specification, its head and the plain numbers of its training.

    Args:
        spec: `kubetune.json`.
        training: `training.json`, or empty.
    """
    found = {
        "Task": spec["task"],
        "Architecture": spec["architecture"],
        "Head": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in spec["head"].items()) or "none",
        "Encoder dropout": "as the checkpoint says"
        if spec["encoder_dropout"] is None
        else f"{spec['encoder_dropout']:g}",
        "Maximum length": f"{spec['max_length']} tokens",
    }
    plain = {name: value for name, value in training.items() if isinstance(value, str | int | float)}
    return found | {f"Training: {name.replace('_', ' ')}": _shown(value) for name, value in plain.items()}


def learning_points(training: Mapping[str, Any]) -> tuple[list[dict[str, float]], str, float | None]:
    """Return the evaluations during training, the metric that picked the weights, and the step that was kept.

    Args:
        training: `training.json`, or empty.
    """
    points = [dict(point) for point in training.get("evaluations", ())]
    return points, training.get("best_metric", "macro_f1"), training.get("best_step")


def _shown(value: str | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else one_line(value, 80)

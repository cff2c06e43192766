"""What earlier artifacts say of the data and the model, picked for a person."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kubetune.metrics.base import Ints
from kubetune.text.shown import one_line

SPLITS = ("train", "validation", "test")


def data_facts(dataset: Mapping[str, Any], lengths: Ints, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{"splits": {split: rows}, "classes": [{"label", "cells"}], "facts": {name: value}}`.

    Args:
        dataset: `dataset.json`.
        lengths: Tokens of the test rows, shape (rows,).
        document: Content of `metrics.json`.
    """
    splits = {split: dataset["splits"][split] for split in SPLITS if split in dataset["splits"]}
    counts = dataset.get("label_counts", {})
    classes = [
        {
            "label": one_line(label, 60),
            "cells": [
                {"split": split, "count": counts[split][number], "share": counts[split][number] / max(1, rows)}
                for split, rows in splits.items()
            ],
        }
        for number, label in enumerate(dataset["labels"] if counts else ())
    ]
    middle, high, longest = (int(value) for value in np.quantile(lengths, (0.5, 0.95, 1.0), method="higher"))
    facts = {
        **({"Rows": dataset["line"]} if "line" in dataset else {}),
        **({"Cells": " ".join(dataset["said"])} if dataset.get("said") else {}),
        "Cleaning": ", ".join(dataset["cleaning"]) or "none",
        "Length of test rows": f"median {middle} tokens, 95 % up to {high}, longest {longest}",
        "Maximum length": f"{dataset['max_length']} tokens; test rows cut: {document['truncated']:,}",
    }
    return {"splits": splits, "classes": classes, "facts": facts}


def model_facts(spec: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, str]:
    """Return name → value of the model's specification and of its training, where it is known.

    Args:
        spec: `kubetune.json`.
        training: `training.json`, or empty.
    """
    dropout = spec["encoder_dropout"]
    head = {name: value for name, value in spec["head"].items() if value is not None and name != "kind"}
    found = {
        "Architecture": _head(spec["architecture"], head),
        "Encoder dropout": "as the checkpoint says" if dropout is None else f"{dropout:g}",
        "Maximum length": f"{spec['max_length']} tokens",
    }
    if thresholds := spec.get("fitted", {}).get("thresholds"):
        pairs = zip(spec["labels"], thresholds, strict=True)
        found["Chosen from a probability of"] = ", ".join(f"{one_line(name, 60)} {value:.3f}" for name, value in pairs)
    if said := training.get("said"):
        found["Decided in training"] = one_line(". ".join(said), 600)
    return found | _parameters(training.get("parameters", ())) | _training(training)


def learning_points(training: Mapping[str, Any], main: str) -> tuple[list[dict[str, float]], str, float | None]:
    """Return the evaluations during training, the metric that picked the weights, and the step that was kept.

    Args:
        training: `training.json`, or empty.
        main: Metric of training that picked no weights.

    Returns:
        `{"step", "train_loss", <validation metrics>}` an evaluation; metric; step or None.
    """
    points = [
        {"step": point["step"], "train_loss": point["train_loss"], **point["validation"]}
        for point in training.get("evaluations", ())
    ]
    best = training.get("best")
    return points, best["metric"] if best else main, best["step"] if best else None


def _head(architecture: str, head: Mapping[str, Any]) -> str:
    if architecture != "own":
        head = {name: value for name, value in head.items() if name == "dropout"}
    values = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in sorted(head.items()))
    titles = {
        "stock": "encoder with its own classification head",
        "own": "encoder with our head",
        "bilstm": "bidirectional LSTM, trained from scratch",
    }
    return f"{titles[architecture]}{f' ({values})' if values else ''}"


def _parameters(table: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    sizes = [(math.prod(row["shape"]), row["trainable"]) for row in table]
    total, trained = sum(size for size, _ in sizes), sum(size for size, trainable in sizes if trainable)
    trainable = "all trained" if trained == total else f"of which {trained:,} were trained"
    return {"Parameters": f"{total:,}, {trainable}"} if total else {}


def _training(training: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    if training.get("steps"):
        early = ", stopped early" if training["stopped_early"] else ""
        found["Training"] = f"{training['steps']:,} steps over {training['rows']:,} rows{early}"
        found["Tokens"] = f"{training['tokens']:,}, padded by a factor of {training['padding_ratio']:.2f}"
        found["Precision in training"] = training["precision"]
    if best := training.get("best"):
        value = f"{best['value']:.3f}"
        found["Weights kept"] = f"of step {best['step']:,}, by validation {best['metric'].replace('_', ' ')} {value}"
    if settings := training.get("settings"):
        found["Learning rate"] = f"{settings['learning_rate']:g}, {settings['schedule']} schedule"
        found["Batch"] = f"{settings['batch']} rows a step"
        found["Seed"] = str(settings["seed"])
    return found

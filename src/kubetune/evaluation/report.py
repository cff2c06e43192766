"""`report.html`: one self-contained page without scripts. Byte-stable: it knows no clock, host or path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from kubetune.config.evaluation import LOWER_IS_BETTER
from kubetune.evaluation import plots
from kubetune.evaluation.counts import Ints
from kubetune.evaluation.facts import data_facts, learning_points, model_facts
from kubetune.evaluation.findings import MAIN_METRIC, confusions, counted, findings
from kubetune.evaluation.metrics import METRICS
from kubetune.evaluation.predictions import hardest
from kubetune.evaluation.slices import FEW_TEXTS
from kubetune.text.shown import number, one_line, signed

TABLE_CLASSES = 14
"""Up to this many classes the confusion matrix is a table, beyond it a heat map."""
TOP_CONFUSIONS = 8
MARKS = {"good": "✓", "bad": "✗", "note": "•"}
TITLES = {
    "accuracy": ("Accuracy", "share of right answers"),
    "macro_f1": ("Macro F1", "each class counts the same"),
    "weighted_f1": ("Weighted F1", "classes count by their rows"),
    "mcc": ("MCC", "0 is chance, 1 is perfect"),
    "ece": ("Calibration error", "less is better"),
    "loss": ("Loss", "nats; less is better"),
}
TRACKED = ("accuracy", "macro_f1", "mcc")
"""Metrics drawn on a 0 to 1 track beside the baselines."""
HEADINGS = {"majority": "Majority class", "tfidf": "tf-idf"}


@dataclass(frozen=True)
class Evidence:
    """What the report shows besides `metrics.json`; all but `predictions` is the JSON of an earlier artifact.

    Attributes:
        predictions: Of `predictions_table`.
        dataset: `dataset.json`.
        spec: `kubetune.json` of the model.
        training: `training.json` of the model; empty: no training section.
        thresholds: How many bars the recipe sets.
        hardest: How many mistakes are shown.
    """

    predictions: pa.Table
    dataset: Mapping[str, Any]
    spec: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    thresholds: int = 0
    hardest: int = 20


def render_report(document: Mapping[str, Any], evidence: Evidence) -> str:
    """Return the page.

    Args:
        document: Content of `metrics.json`.
        evidence: What else is shown.
    """
    cases = hardest(evidence.predictions, document["labels"], evidence.hardest)
    lengths, correct = (evidence.predictions[name].to_numpy() for name in ("length", "correct"))
    names = [one_line(name, 60) for name in document["labels"]]
    drawings = _draw(document, names, lengths, correct, evidence.training)
    shown = {
        "title": f"Evaluation of a {document['task'].replace('-', ' ')} model",
        "subtitle": f"{len(names)} classes, {counted(document)}, {evidence.spec['architecture']} head",
        "counted": counted(document),
        "verdict": _verdict(document, evidence.thresholds),
        "findings": findings(document),
        "headline": [_headline(metric, document) for metric in METRICS],
        "baselines": [_baseline(name, document) for name in _ordered(document)],
        "confusion": _confusion_rows(document["confusion"], names) if len(names) <= TABLE_CLASSES else None,
        "confusions": confusions(document, TOP_CONFUSIONS),
        "names": names,
        "plots": drawings,
        "hardest": cases,
        "data": data_facts(evidence.dataset, lengths, document),
        "model": model_facts(evidence.spec, evidence.training),
        "few_texts": FEW_TEXTS,
        "most_classes": plots.MOST_CLASSES,
        "marks": MARKS,
        "contents": _contents(mistakes=bool(cases), training=drawings["learning"] is not None),
        "css": files("kubetune.evaluation").joinpath("report.css").read_text(encoding="utf-8"),
    }
    page: str = _template().render({**document, **shown})
    return page


def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= {
        "num": number,
        "signed": lambda value: signed(value, 3),
        "pct": lambda value: f"{value:.1%}",
        "count": lambda value: f"{value:,}",
        "line": one_line,
        "place": lambda value: f"{100 * min(1.0, max(0.0, value)):.1f}%",
    }
    source = files("kubetune.evaluation").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def _verdict(document: Mapping[str, Any], thresholds: int) -> dict[str, Any]:
    bars = {0: "The recipe sets no thresholds", 1: "The recipe's one threshold is met"}
    sentence = bars.get(thresholds, f"Each of the recipe's {thresholds} thresholds is met")
    model = document["metrics"][MAIN_METRIC]
    return {
        "passed": document["verdict"]["code"] == 0,
        "reasons": document["verdict"]["reasons"],
        "sentence": f"{sentence}. Macro F1 {number(model['value'], 3)}, "
        f"95 % interval {number(model['low'], 3)} to {number(model['high'], 3)}.",
    }


def _ordered(document: Mapping[str, Any]) -> list[str]:
    """Baseline names, the stronger first."""
    return [name for name in ("tfidf", "majority") if name in document["baselines"]]


def _baseline(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    return {"heading": HEADINGS[name], "description": document["baselines"][name]["description"]}


def _headline(metric: str, document: Mapping[str, Any]) -> dict[str, Any]:
    title, hint = TITLES[metric]
    lines = []
    for name in _ordered(document):
        difference = document["baselines"][name]["difference"][metric]
        lines.append(
            {
                "name": name,
                "heading": HEADINGS[name],
                "metric": document["baselines"][name]["metrics"][metric],
                "difference": difference,
                "tone": _tone(difference, lower_is_better=metric in LOWER_IS_BETTER),
            }
        )
    return {
        "title": title,
        "hint": hint,
        "track": metric in TRACKED,
        "model": document["metrics"][metric],
        "baselines": lines,
    }


def _tone(difference: Mapping[str, float], *, lower_is_better: bool) -> str:
    if difference["low"] <= 0 <= difference["high"]:
        return ""
    return "gain" if (difference["low"] > 0) != lower_is_better else "loss"


def _confusion_rows(counts: Sequence[Sequence[int]], names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": names[true],
            "cells": [
                {"count": count, "hit": true == predicted, "heat": f"{count / max(1, sum(row)):.3f}"}
                for predicted, count in enumerate(row)
            ],
        }
        for true, row in enumerate(counts)
    ]


def _draw(
    document: Mapping[str, Any],
    names: Sequence[str],
    lengths: Ints,
    correct: NDArray[np.bool_],
    training: Mapping[str, Any],
) -> dict[str, str | None]:
    points, metric, best = learning_points(training)
    return {
        "class_f1": plots.class_f1(document["per_class"]),
        "confusion": plots.confusion_map(document["confusion"], names) if len(names) > TABLE_CLASSES else None,
        "reliability": plots.reliability_diagram(document["calibration"]),
        "lengths": plots.length_histogram(lengths, correct),
        "learning": plots.learning_curve(points, metric, best) if points else None,
    }


def _contents(**present: bool) -> list[tuple[str, str]]:
    """Anchors and names of the sections, without those that are said not to be present."""
    entries = [
        ("headline", "Headline"),
        ("classes", "Classes"),
        ("confusion", "Confusions"),
        ("calibration", "Calibration"),
        ("slices", "Slices"),
        ("mistakes", "Hardest mistakes"),
        ("training", "Training"),
        ("data", "Data"),
        ("model", "Model"),
        ("method", "Method"),
    ]
    return [entry for entry in entries if present.get(entry[0], True)]

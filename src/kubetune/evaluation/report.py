"""`report.html`: one self-contained page without scripts. Byte-stable: it knows no clock, host or path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from kubetune.evaluation import plots
from kubetune.evaluation.facts import data_facts, learning_points, model_facts
from kubetune.evaluation.findings import confusions, counted, findings, ordered
from kubetune.evaluation.predictions import Describe, hardest
from kubetune.evaluation.slices import FEW_TEXTS
from kubetune.metrics.base import Ints
from kubetune.metrics.catalogue import Catalogue
from kubetune.text.shown import number, one_line, signed

TABLE_CLASSES = 14
"""Up to this many classes the confusion matrix is a table, beyond it a heat map."""
TOP_CONFUSIONS = 8
MARKS = {"good": "✓", "bad": "✗", "note": "•"}
BASELINE_MARKS = ("first-mark", "second-mark")
"""Of the baselines on a track, the strongest first; there are no more marks."""


@dataclass(frozen=True)
class Evidence:
    """What the report shows besides `metrics.json`; all but `predictions` is the JSON of an earlier artifact.

    Attributes:
        predictions: Of `predictions_table`.
        catalogue: How the metrics are called.
        describe: Says what a wrong row was answered.
        dataset: `dataset.json`.
        spec: `kubetune.json` of the model.
        training: `training.json` of the model; empty: no training section.
        thresholds: How many bars the recipe sets.
        hardest: How many mistakes are shown.
    """

    predictions: pa.Table
    catalogue: Catalogue
    describe: Describe
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
    catalogue = evidence.catalogue
    cases = hardest(evidence.predictions, evidence.hardest, evidence.describe)
    lengths, correct = (evidence.predictions[name].to_numpy() for name in ("length", "correct"))
    names = [one_line(name, 60) for name in document["labels"]]
    drawings = _draw(document, names, lengths, correct, evidence)
    shown = {
        "title": f"Evaluation of a {document['task'].replace('-', ' ')} model",
        "subtitle": _subtitle(names, document, evidence),
        "counted": counted(document),
        "catalogue": catalogue,
        "verdict": _verdict(document, evidence),
        "findings": findings(document, catalogue),
        "headline": [_headline(metric, document, catalogue) for metric in catalogue.metrics],
        "baselines": [document["baselines"][name] for name in ordered(document, catalogue)],
        "baseline_marks": BASELINE_MARKS,
        "confusion": _confusion_table(document, names),
        "confusions": confusions(document, TOP_CONFUSIONS),
        "sliced": _sliced(document["slices"], catalogue),
        "names": names,
        "plots": drawings,
        "hardest": cases,
        "data": data_facts(evidence.dataset, lengths, document),
        "model": model_facts(evidence.spec, evidence.training),
        "few_texts": FEW_TEXTS,
        "most_classes": plots.MOST_CLASSES,
        "marks": MARKS,
        "contents": _contents(document, mistakes=bool(cases), training=drawings["learning"] is not None),
        "css": files("kubetune.evaluation").joinpath("report.css").read_text(encoding="utf-8"),
    }
    page: str = _template().render({**document, **shown})
    return page


def _subtitle(names: Sequence[str], document: Mapping[str, Any], evidence: Evidence) -> str:
    of = [f"{len(names)} {evidence.catalogue.labels[1]}"] if names else []
    return ", ".join([*of, counted(document), f"{evidence.spec['architecture']} head"])


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


def _verdict(document: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    thresholds, main = evidence.thresholds, evidence.catalogue.main
    bars = {0: "The recipe sets no thresholds", 1: "The recipe's one threshold is met"}
    sentence = bars.get(thresholds, f"Each of the recipe's {thresholds} thresholds is met")
    model, word = document["metrics"][main], evidence.catalogue.metrics[main].word
    return {
        "passed": document["verdict"]["code"] == 0,
        "reasons": document["verdict"]["reasons"],
        "sentence": f"{sentence}. {word[:1].upper()}{word[1:]} {number(model['value'], 3)}, "
        f"95 % interval {number(model['low'], 3)} to {number(model['high'], 3)}.",
    }


def _headline(name: str, document: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    metric = catalogue.metrics[name]
    lines = []
    for baseline in ordered(document, catalogue):
        found = document["baselines"][baseline]
        if name in catalogue.no_baseline:
            lines.append({"heading": found["heading"], "metric": None})
            continue
        lines.append(
            {
                "heading": found["heading"],
                "metric": found["metrics"][name],
                "difference": found["difference"][name],
                "tone": _tone(found["difference"][name], lower_is_better=metric.lower_is_better),
            }
        )
    return {"metric": metric, "model": document["metrics"][name], "baselines": lines}


def _sliced(slices: Mapping[str, Sequence[Mapping[str, Any]]], catalogue: Catalogue) -> dict[str, list[str]]:
    """Return column → the metrics that say something of one of its parts, and the first in any case."""
    return {
        column: [name for name in catalogue.sliced if name == catalogue.sliced[0] or any(part[name] for part in parts)]
        for column, parts in slices.items()
    }


def _tone(difference: Mapping[str, float], *, lower_is_better: bool) -> str:
    if difference["low"] <= 0 <= difference["high"]:
        return ""
    return "gain" if (difference["low"] > 0) != lower_is_better else "loss"


def _confusion_table(document: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]] | None:
    """Return the confusion matrix for a table; None: there is none, or it is too large for one."""
    if "confusion" not in document or len(names) > TABLE_CLASSES:
        return None
    return [
        {
            "name": names[true],
            "cells": [
                {"count": count, "hit": true == predicted, "heat": f"{count / max(1, sum(row)):.3f}"}
                for predicted, count in enumerate(row)
            ],
        }
        for true, row in enumerate(document["confusion"])
    ]


def _draw(
    document: Mapping[str, Any],
    names: Sequence[str],
    lengths: Ints,
    correct: NDArray[np.bool_],
    evidence: Evidence,
) -> dict[str, str | None]:
    points, metric, best = learning_points(evidence.training, evidence.catalogue.main)
    large = "confusion" in document and len(names) > TABLE_CLASSES
    return {
        "class_f1": plots.class_f1(document["per_class"]) if document["per_class"] else None,
        "confusion": plots.confusion_map(document["confusion"], names) if large else None,
        "reliability": plots.reliability_diagram(document["calibration"]) if "calibration" in document else None,
        "lengths": plots.length_histogram(lengths, None if evidence.catalogue.graded else correct),
        "learning": plots.learning_curve(points, metric, best) if points else None,
    }


def _contents(document: Mapping[str, Any], **present: bool) -> list[tuple[str, str]]:
    """Anchors and names of the sections, without those that there is nothing for."""
    present |= {"classes": bool(document["per_class"])}
    present |= {
        "unseen": "unseen" in document,
        "confusion": "confusion" in document,
        "calibration": "calibration" in document,
    }
    entries = [
        ("headline", "Headline"),
        ("unseen", "Unseen labels"),
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

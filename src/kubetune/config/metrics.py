"""Which metrics and baselines a recipe may name: those of its task, from a table that loads no task.

A recipe is checked wherever it is read, also beside Airflow, which has neither torch nor NumPy.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from kubetune.config.evaluation import UNSEEN, UNSEEN_METRICS, EvaluationSection
from kubetune.config.task_columns import task_name
from kubetune.metrics.catalogue import (
    ANSWERS,
    CLASSES,
    ENTITIES,
    LABELS,
    MASKS,
    RETRIEVAL,
    SCORES,
    SIMILARITY,
    Catalogue,
)

CATALOGUES: Mapping[str, Catalogue] = MappingProxyType(
    {
        "text-classification": CLASSES,
        "pair-classification": CLASSES,
        "token-classification": ENTITIES,
        "question-answering": ANSWERS,
        "text-classification-multi-label": LABELS,
        "pair-classification-multi-label": LABELS,
        "text-classification-regression": SCORES,
        "pair-classification-regression": SCORES,
        "feature-extraction": RETRIEVAL,
        "feature-extraction-scored-pairs": SIMILARITY,
        "zero-shot-classification": CLASSES,
        "fill-mask": MASKS,
    }
)
"""Of each task; a test compares it with the tasks. What a kind without a line names is checked when it is read."""


def unknown_metrics(kind: str, evaluation: EvaluationSection, decides: str | None, picks: str) -> Iterator[str]:
    """Yield a sentence for each metric or baseline that the task does not have.

    Args:
        kind: Task kind.
        evaluation: Section `evaluation`.
        decides: `promotion.metric`.
        picks: `training.best_metric`.
    """
    catalogue = CATALOGUES.get(kind)
    if catalogue is None:
        return
    metrics = catalogue.metrics
    unseen = [f"{UNSEEN}{name}" for name in UNSEEN_METRICS] if evaluation.unseen is not None else []
    named = [threshold.metric for threshold in evaluation.thresholds]
    yield from _outside("evaluation.thresholds names the metric", named, [*metrics, *unseen])
    for known, of_unseen in ((list(catalogue.baselines), False), (["majority"], True)):
        bars = [bar for bar in evaluation.thresholds if (bar.metric in unseen) is of_unseen]
        named = [bar.above_baseline for bar in bars if bar.above_baseline is not None]
        yield from _outside("evaluation.thresholds names the baseline", named, known)
    beside = [
        f"{threshold.metric} above {threshold.above_baseline}"
        for threshold in evaluation.thresholds
        if threshold.above_baseline is not None and threshold.metric in catalogue.no_baseline
    ]
    if beside:
        asked = ", ".join(beside)
        yield f"evaluation.thresholds asks for {asked}, which answers without probabilities: compare another metric"
    deciding = [name for name, metric in metrics.items() if metric.decides]
    yield from _outside("promotion.metric is", [] if decides is None else [decides], deciding)
    yield from _outside("training.best_metric is", [picks], [name for name, each in metrics.items() if each.picks])


def with_main_metric(document: Any, default_kind: str) -> Any:
    """Return a recipe's document with its task's main metric where it picks weights by none.

    Args:
        document: As it was written; whatever is malformed is left to the schema.
        default_kind: Task of a recipe that names none.
    """
    if not isinstance(document, Mapping):
        return document
    task, training = document.get("task", {}), document.get("training", {})
    name = task_name(task, default_kind)
    if name not in CATALOGUES or not isinstance(training, Mapping) or "best_metric" in training:
        return document
    return {**document, "training": {**training, "best_metric": CATALOGUES[str(name)].main}}


BASELINES: Mapping[str, str] = MappingProxyType(
    {
        "tfidf": "tf-idf + logistic regression",
        "tfidfcosine": "cosine of tf-idf",
        "jaccard": "shared words",
        "majority": "majority class",
        "ridge": "tf-idf + ridge regression",
        "mean": "mean",
        "frequent": "most frequent label set",
        "gazetteer": "gazetteer",
        "overlap": "words near the question's",
        "unigram": "token frequencies",
    }
)
"""Name → heading, in the order in which a person reads them."""


def catalogue_of(metrics: Mapping[str, float]) -> Catalogue:
    """Return the catalogue of the task that flat metrics of a commit are of: the one with most of its names there."""
    return max(CATALOGUES.values(), key=lambda each: sum(f"{name}_low" in metrics for name in each.metrics))


def shown_metrics(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of a commit's own metrics in the order in which a person reads them."""
    return [name for name in catalogue_of(metrics).metrics if name in metrics]


def shown_baselines(metrics: Mapping[str, float]) -> dict[str, str]:
    """Return the baselines that a commit has metrics of, name → heading."""
    return {
        name: title
        for name, title in BASELINES.items()
        if any(f"baseline_{name}_{metric}" in metrics for metric in catalogue_of(metrics).metrics)
    }


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better; a metric of this name is read the same way in every task."""
    known = [each.metrics[metric] for each in CATALOGUES.values() if metric in each.metrics]
    return any(each.lower_is_better for each in known)


def _outside(what: str, named: list[str], known: list[str]) -> Iterator[str]:
    for name in dict.fromkeys(named):
        if name not in known:
            yield f"{what} {name!r:.60}: allowed are {', '.join(known)}"

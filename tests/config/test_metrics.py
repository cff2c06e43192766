"""Metrics that a recipe names are those of its task."""

import subprocess
import sys
import typing

import numpy as np
import pytest

from kubetune.config.load import parse_recipe
from kubetune.config.metrics import CATALOGUES, lower_is_better
from kubetune.config.task import TaskSection
from kubetune.errors import ConfigError
from kubetune.metrics.base import Totals
from kubetune.tasks import load_baselines, load_task

RECIPE = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""
KINDS = typing.get_args(TaskSection.model_fields["kind"].annotation)


def test_every_task_has_the_metrics_of_the_table() -> None:
    assert len(KINDS) >= 2
    assert set(KINDS) < set(CATALOGUES)
    for kind in CATALOGUES:
        width = 7 if kind.endswith("multi-label") else 6
        totals = Totals(np.ones(width, dtype=np.int64), np.ones(16), np.array(2))  # of two labels
        statistics = load_task(kind).statistics(("a", "b"))
        assert statistics.catalogue == CATALOGUES[kind]
        assert set(statistics.measure(totals)) == set(CATALOGUES[kind].metrics)
        assert statistics.main in statistics.metrics
        assert set(statistics.catalogue.sliced) <= set(statistics.metrics)


@pytest.mark.parametrize("kind", CATALOGUES)
def test_the_baselines_of_every_task_are_found_by_its_name(kind: str) -> None:
    assert callable(load_baselines(kind))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("evaluation.thresholds=[{metric: precision, at_least: 0.5}]",
         "evaluation.thresholds names the metric 'precision': allowed are accuracy, macro_f1, weighted_f1, mcc, ece"),
        ("evaluation.thresholds=[{metric: mcc, above_baseline: gazetteer}]",
         "evaluation.thresholds names the baseline 'gazetteer': allowed are majority, tfidf"),
        ("promotion.metric=loss", "promotion.metric is 'loss': allowed are accuracy, macro_f1, weighted_f1, mcc"),
        ("promotion.metric=f1", "promotion.metric is 'f1': allowed are accuracy"),
        ("training.best_metric=ece", "training.best_metric is 'ece': allowed are accuracy, macro_f1, weighted_f1, mcc"),
    ],
)  # fmt: skip
def test_a_metric_that_the_task_does_not_have_is_refused(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_recipe(RECIPE, [override])
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "baseline"), [("token-classification", "gazetteer"), ("question-answering", "overlap")]
)
def test_a_loss_is_compared_with_no_baseline_that_has_none(kind: str, baseline: str) -> None:
    bar = f"evaluation.thresholds=[{{metric: loss, above_baseline: {baseline}}}]"
    with pytest.raises(ConfigError, match=f"asks for loss above {baseline}, which answers without probabilities"):
        parse_recipe(RECIPE, [f"task.kind={kind}", bar])
    assert parse_recipe(RECIPE, [f"task.kind={kind}", bar.replace("loss", "f1")]).evaluation.thresholds
    assert parse_recipe(RECIPE, ["evaluation.thresholds=[{metric: loss, above_baseline: tfidf}]"])


def test_a_recipe_says_by_which_metric_weights_are_picked() -> None:
    assert parse_recipe(RECIPE).training.best_metric == "macro_f1"
    assert parse_recipe(RECIPE, ["training.best_metric=mcc"]).training.best_metric == "mcc"
    assert parse_recipe(RECIPE, ["training.seed=3"]).training.best_metric == "macro_f1"
    assert parse_recipe(RECIPE).promotion.metric is None
    for metric in ("accuracy", "mcc", "weighted_f1"):
        assert parse_recipe(RECIPE, [f"promotion.metric={metric}"]).promotion.metric == metric


def test_a_metric_of_one_name_is_read_alike_in_every_task() -> None:
    read: dict[str, set[bool]] = {}
    for catalogue in CATALOGUES.values():
        for name, metric in catalogue.metrics.items():
            read.setdefault(name, set()).add(metric.lower_is_better)
    assert all(len(ways) == 1 for ways in read.values())
    assert (lower_is_better("loss"), lower_is_better("f1"), lower_is_better("test_rows")) == (True, False, False)


def test_names_of_baselines_have_no_underscore() -> None:
    """`baseline_tfidf_macro_f1` is told apart by it."""
    assert not [name for each in CATALOGUES.values() for name in each.baselines if "_" in name]


def test_checking_a_recipe_loads_neither_numpy_nor_torch() -> None:
    program = (
        f"import sys\nfrom kubetune.config.load import parse_recipe\nparse_recipe({RECIPE!r})\n"
        "found = {'numpy', 'torch', 'pyarrow', 'scipy'} & set(sys.modules)\nassert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

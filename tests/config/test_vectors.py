"""What a recipe of embeddings may say: the encoder's own vectors, pairs that have something to be told from."""

import pytest

from kubetune.config.load import canonical, parse_recipe
from kubetune.config.metrics import CATALOGUES
from kubetune.config.task_columns import POOLING, TASK_COLUMNS
from kubetune.errors import ConfigError
from kubetune.tasks import load_task

RECIPE = """
name: toy
task: {kind: feature-extraction}
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""
SCORED = "task.problem=scored-pairs"


@pytest.mark.parametrize("name", POOLING)
def test_the_tables_say_what_the_tasks_say(name: str) -> None:
    task = load_task(name)
    schema = task.schema
    assert (schema.texts, schema.target, schema.target_type, schema.offsets) == tuple(TASK_COLUMNS[name])
    assert task.statistics(()).catalogue == CATALOGUES[name]
    assert task.kind == name


def test_what_is_left_open_is_the_tasks() -> None:
    pairs, scored = parse_recipe(RECIPE), parse_recipe(RECIPE, [SCORED])
    assert (pairs.task.name, scored.task.name) == ("feature-extraction", "feature-extraction-scored-pairs")
    assert (pairs.data.columns.text, pairs.data.columns.text_pair, pairs.data.columns.label) == (
        "anchor", "positive", None,
    )  # fmt: skip
    assert scored.data.columns.label == "score"
    assert (pairs.training.best_metric, scored.training.best_metric) == ("mrr", "spearman")
    assert pairs.model.head.pooling == "mean"
    assert parse_recipe(RECIPE, ["model.head.pooling=cls"]).model.head.pooling == "cls"
    assert parse_recipe(RECIPE, ["task.kind=text-classification"]).model.head.pooling == "cls"
    assert parse_recipe(scored.model_dump_json()) == scored
    assert canonical(pairs)["task"] == {"kind": "feature-extraction"}
    assert "negative" not in canonical(pairs)["data"]["columns"], "keys from before there were negatives"
    negatives = parse_recipe(RECIPE, ["data.columns.negative=other"])
    assert parse_recipe(negatives.model_dump_json()) == negatives and negatives.data.columns.negative == "other"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["task.kind=question-answering", SCORED], "problem=scored-pairs is for feature-extraction, and kind is"),
        (["training.batch=1"], "leave an anchor of task feature-extraction nothing to be told from"),
        (["training.micro_batch=1"], "leave an anchor of task feature-extraction nothing to be told from"),
        (["data.columns.label=score"], "data.columns.label names a truth and task feature-extraction has none"),
        ([SCORED, "training.label_smoothing=0.1"], "training.label_smoothing is of classes"),
        ([SCORED, "data.columns.label=null"], "columns.label is null and weak_labels is absent"),
        (
            [SCORED, "data.columns.negative=other"],
            "data.columns.negative is not read for task feature-extraction-scored",
        ),
        (["data.columns.negative=anchor"], "text and negative name the same column 'anchor'"),
        (["data.score_range=[0, 5]"], "data.score_range is not read for task feature-extraction"),
        (["model.head.kind=own"], "model.head has but `pooling` for task feature-extraction"),
        (["training.freeze.encoder=true"], "training.freeze.encoder leaves nothing to train"),
        (
            ["model.source={kind: scratch, tokenizer: {kind: path, path: model}}"],
            "is no encoder for task feature-extraction",
        ),
        (["training.class_weights=balanced"], "weighs classes, which task feature-extraction has not"),
        (["evaluation.thresholds=[{metric: spearman, at_least: 0.5}]"], "allowed are mrr, ndcg_10, accuracy_1"),
        ([SCORED, "evaluation.thresholds=[{metric: loss, above_baseline: jaccard}]"], "asks for loss above jaccard"),
    ],
)
def test_what_says_nothing_for_vectors_is_refused(overrides: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_recipe(RECIPE, overrides)
    assert sentence in str(refusal.value)

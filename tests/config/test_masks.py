"""What a recipe of masks may say: texts and nothing else, the head that the encoder was pretrained with."""

import pytest

from kubetune.config.load import canonical, parse_recipe
from kubetune.config.metrics import CATALOGUES
from kubetune.errors import ConfigError
from kubetune.tasks import load_task

RECIPE = """
name: toy
task: {kind: fill-mask}
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""


def test_what_is_left_open_is_the_tasks() -> None:
    recipe = parse_recipe(RECIPE)
    columns = recipe.data.columns
    assert (columns.text, columns.text_pair, columns.label) == ("text", None, None)
    assert recipe.training.best_metric == "cross_entropy"
    assert recipe.task.mask_probability == 0.15
    assert canonical(recipe)["task"] == {"kind": "fill-mask"}
    assert canonical(parse_recipe(RECIPE, ["task.mask_probability=0.3"]))["task"] == {
        "kind": "fill-mask",
        "mask_probability": 0.3,
    }
    assert parse_recipe(recipe.model_dump_json()) == recipe
    assert load_task("fill-mask").statistics(()).catalogue == CATALOGUES["fill-mask"]
    assert parse_recipe(RECIPE, ["evaluation.thresholds=[{metric: top_5, above_baseline: unigram}]"])
    assert parse_recipe(RECIPE, ["promotion.metric=top_1"]).promotion.metric == "top_1"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.columns.label=label"], "data.columns.label names a truth and task fill-mask has none: leave it out"),
        (["data.columns.text_pair=other"], "data.columns.text_pair names a second text and task fill-mask has one"),
        (["model.head.kind=own"], "model.head is not read for task fill-mask, whose head is the architecture's own"),
        (["model.head.dropout=0.1"], "model.head is not read for task fill-mask"),
        (
            ["model.source={kind: scratch, tokenizer: {kind: path, path: model}}"],
            "model.source.kind=scratch is no encoder for task fill-mask: use a pretrained one",
        ),
        (["training.class_weights=balanced"], "weighs classes, which task fill-mask has not"),
        (["behaviour.suite=sentiment"], "answers of task fill-mask have nothing that a suite judges: set behaviour={}"),
        (["task.mask_probability=0"], "greater than 0"),
        (["task.mask_probability=1"], "less than 1"),
        (["task.kind=text-classification", "task.mask_probability=0.3"], "mask_probability is for kind=fill-mask"),
        (["task.problem=regression"], "and kind is fill-mask: leave it out"),
        (["serving.top_k=3"], "serving.top_k is not read for task fill-mask: leave it out; a request may say it"),
        (["evaluation.thresholds=[{metric: accuracy, at_least: 0.5}]"], "allowed are cross_entropy, perplexity, top_1"),
        (["evaluation.thresholds=[{metric: top_1, above_baseline: majority}]"], "allowed are unigram"),
        (["promotion.metric=perplexity"], "allowed are cross_entropy, top_1, top_5"),
    ],
)
def test_what_says_nothing_for_masks_is_refused(overrides: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_recipe(RECIPE, overrides)
    assert sentence in str(refusal.value)

"""Columns that a recipe leaves open are those of its task; the table of them is held against the tasks themselves."""

import typing
from typing import Any

import pytest

from kubetune.config.behaviour import JUDGED_BY
from kubetune.config.load import canonical, parse_recipe
from kubetune.config.task import TaskSection
from kubetune.config.task_columns import READ_FOR, TASK_COLUMNS, with_task_columns
from kubetune.errors import ConfigError
from kubetune.tasks import load_task

RECIPE = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""
KINDS = tuple(TASK_COLUMNS)
PROBLEMS = typing.get_args(TaskSection.model_fields["problem"].annotation)


def named(name: str) -> list[str]:
    """Overrides that choose a task by its name."""
    problem = next(each for each in reversed(PROBLEMS) if name.endswith(each) or each == "single-label")
    return [f"task.kind={name.removesuffix(f'-{problem}')}", f"task.problem={problem}"]


def test_each_kind_has_a_task() -> None:
    assert set(KINDS) <= set(TASK_COLUMNS)


@pytest.mark.parametrize("kind", TASK_COLUMNS)
def test_the_table_says_what_the_task_says(kind: str) -> None:
    schema, taken = load_task(kind).schema, TASK_COLUMNS[kind]
    assert (schema.texts, schema.target, schema.target_type, schema.offsets) == tuple(taken)


@pytest.mark.parametrize("kind", JUDGED_BY)
def test_what_suites_may_judge_is_what_the_form_says(kind: str) -> None:
    assert load_task(kind).form.judged_by == JUDGED_BY[kind]


def test_a_stored_recipe_names_its_columns() -> None:
    recipe = parse_recipe(RECIPE)
    columns = canonical(recipe)["data"]["columns"]
    assert (columns["text"], columns["text_pair"], columns["label"]) == ("text", None, "label")
    pair = parse_recipe(RECIPE, ["task.kind=pair-classification", "data.columns.text=premise"])
    assert (pair.data.columns.text, pair.data.columns.text_pair) == ("premise", "text_pair")
    assert parse_recipe(pair.model_dump_json()) == pair
    weak = parse_recipe(RECIPE, ["data.columns.label=null", "data.weak_labels.kind=vader"])
    assert weak.data.columns.label is None


def filled(kind: str, **data: Any) -> Any:
    return with_task_columns({"task": {"kind": kind}, "data": data}, "text-classification")["data"]


def test_entities_and_answers_have_the_hubs_columns_and_no_cleaning() -> None:
    assert filled("token-classification") == {"columns": {"text": "tokens", "label": "ner_tags"}, "cleaning": []}
    given = filled("question-answering", columns={"text_pair": "passage"}, cleaning=["html"])
    assert given == {
        "columns": {"text": "question", "text_pair": "passage", "label": "answers"},
        "cleaning": ["html"],
    }


@pytest.mark.parametrize("document", [None, [], {"data": None}, {"data": {"columns": 3}}, {"task": 3, "data": {}}])
def test_what_is_malformed_is_left_to_the_schema(document: Any) -> None:
    assert with_task_columns(document, "text-classification") == document


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "data.cleaning=[whitespace]",
            r"data\.cleaning names whitespace and answers of task .* set data\.cleaning=\[\]",
        ),
        ("data.columns.text=[a, b]", r"data\.columns joins columns and answers of task"),
    ],
)
def test_what_would_move_characters_is_refused_for_tasks_with_offsets(override: str, sentence: str) -> None:
    for kind in (kind for kind in KINDS if TASK_COLUMNS[kind].offsets):
        assert parse_recipe(RECIPE, [f"task.kind={kind}"]).data.cleaning == []
        with pytest.raises(ConfigError, match=sentence):
            parse_recipe(RECIPE, [f"task.kind={kind}", override])


SET = {
    "label_numbers": "names",
    "labels": "[a, b]",
    "label_separator": "','",
    "empty_labels": "keep",
    "score_range": "[1, 5]",
    "tag_repair": "begin",
    "weak_labels": "{kind: vader}",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(READ_FOR))
def test_a_setting_that_the_task_does_not_read_is_refused(kind: str, name: str) -> None:
    overrides = [*named(kind), f"data.{name}={SET[name]}"]
    if name == "weak_labels":
        overrides.append("data.columns.label=null")
    if TASK_COLUMNS[kind].target_type in READ_FOR[name]:
        assert getattr(parse_recipe(RECIPE, overrides).data, name) is not None
    else:
        with pytest.raises(ConfigError, match=f"data.{name} is not read for task {kind}: leave it out"):
            parse_recipe(RECIPE, overrides)


@pytest.mark.parametrize(
    ("kind", "weights", "sentence"),
    [
        ("question-answering", "balanced", "weighs classes, which task question-answering has not"),
        ("question-answering", "[1, 2]", "weighs classes, which task question-answering has not"),
        ("token-classification", "[1, 2]", "allowed are none and balanced"),
    ],
)
def test_weights_that_no_class_has_are_refused_with_the_recipe(kind: str, weights: str, sentence: str) -> None:
    assert parse_recipe(RECIPE, [f"task.kind={kind}"]).training.class_weights == "none"
    assert parse_recipe(RECIPE, ["task.kind=token-classification", "training.class_weights=balanced"])
    with pytest.raises(ConfigError, match=sentence):
        parse_recipe(RECIPE, [f"task.kind={kind}", f"training.class_weights={weights}"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_named_by_its_kind_and_problem(kind: str) -> None:
    recipe = parse_recipe(RECIPE, named(kind))
    taken = TASK_COLUMNS[kind]
    assert (recipe.task.name, recipe.data.columns.label) == (kind, taken.target)
    assert parse_recipe(recipe.model_dump_json()) == recipe


def test_recipes_from_before_there_were_problems_keep_the_fields_of_their_keys() -> None:
    assert canonical(parse_recipe(RECIPE))["task"] == {"kind": "text-classification"}
    assert canonical(parse_recipe(RECIPE, named("token-classification")))["task"] == {"kind": "token-classification"}
    several = parse_recipe(RECIPE, ["task.problem=multi-label", "task.thresholds=half"])
    assert canonical(several)["task"] == {
        "kind": "text-classification",
        "problem": "multi-label",
        "thresholds": "half",
    }
    assert several.training.best_metric == "micro_f1"
    assert parse_recipe(RECIPE, ["task.problem=regression"]).training.best_metric == "r2"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["task.kind=token-classification", "task.problem=regression"],
            "problem=regression is for text-classification and pair-classification, and kind is token-classification: "
            "leave it out",
        ),
        (["task.problem=ranking"], "problem"),
        (["task.thresholds=half"], "thresholds are for problem=multi-label, and problem is single-label"),
        (["task.problem=multi-label", "training.class_weights=balanced"], "rows of task .* have none or several"),
        (["task.problem=regression", "training.class_weights=balanced"], "weighs classes, which task .* has not"),
        (["task.problem=regression", "training.label_smoothing=0.1"], "smooths labels, which task .* has not"),
        (["task.problem=multi-label", "serving.top_k=3"], "serving.top_k is not read for task"),
        (["task.problem=regression", "data.empty_labels=keep"], "data.empty_labels is not read for task"),
        (
            ["task.problem=multi-label", "evaluation.thresholds=[{metric: accuracy, at_least: 1}]"],
            "'accuracy': allowed",
        ),
        (["task.kind=question-answering", "serving.top_k=3"], "serving.top_k is not read for task question-answering"),
        (["task.problem=regression", "promotion.metric=accuracy"], "promotion.metric is 'accuracy': allowed are mse"),
        (["task.problem=regression", "training.best_metric=accuracy"], "training.best_metric is 'accuracy'"),
    ],
)
def test_what_a_problem_cannot_have_is_refused_in_a_sentence(overrides: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_recipe(RECIPE, overrides)

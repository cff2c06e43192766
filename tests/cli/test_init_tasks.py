"""`kubetune init` for several labels, numbers, pairs and labels that a request names: chosen aloud, or asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from first_recipes import ROWS, init, label, lines, refusal, table
from first_recipes import text_of as words_of
from kubetune.api.opening import settings_for
from kubetune.cli.display import progress_for
from kubetune.config.recipe import Recipe
from kubetune.execution.preview import preview
from kubetune.plan import plan

NLI = ("entailment", "neutral", "contradiction")
Column = Callable[[int], Any]


def parquet(place: Path, columns: dict[str, Column]) -> Path:
    pq.write_table(
        pa.table({name: [of(i) for i in range(ROWS)] for name, of in columns.items()}), place / "rows.parquet"
    )
    return place / "rows.parquet"


def objects(place: Path, columns: dict[str, Column]) -> Path:
    return lines(place, [{name: of(i) for name, of in columns.items()} for i in range(ROWS)])


def text_of(number: int) -> str:
    return f"number {number} says {words_of(number)}"


def other(number: int) -> str:
    return f"another {number} says {words_of(number)}"


def several(number: int) -> list[str]:
    return [["joy"], ["anger"], ["joy", "anger"], ["fear", "joy"], ["fear"]][number % 5]


def joined(number: int) -> str:
    return "|".join(several(number))


def fraction(number: int) -> float:
    return round((number * 37 % 60) / 12, 3)


class Taken(NamedTuple):
    """A file and what it is taken for."""

    write: Callable[[Path, dict[str, Column]], Path]
    columns: dict[str, Column]
    words: list[str]
    task: str
    roles: tuple[str, str | None, str | None]
    data: dict[str, Any] = {}  # noqa: RUF012


TAKEN: dict[str, Taken] = {
    "lists of names": Taken(
        objects, {"id": str, "text": text_of, "labels": several}, [], "text-classification-multi-label",
        ("text", None, "labels")),
    "lists of Parquet": Taken(
        parquet, {"text": text_of, "genres": several}, [], "text-classification-multi-label", ("text", None, "genres")),
    "lists of numbers": Taken(
        parquet, {"text": text_of, "labels": lambda i: [i % 3, 3]}, [], "text-classification-multi-label",
        ("text", None, "labels")),
    "lists as text": Taken(
        table, {"text": text_of, "labels": lambda i: json.dumps(several(i))}, [], "text-classification-multi-label",
        ("text", None, "labels")),
    "an empty list is a row without a label": Taken(
        objects, {"text": text_of, "labels": lambda i: several(i) if i else []}, [], "text-classification-multi-label",
        ("text", None, "labels"), {"empty_labels": "keep"}),
    "names with something between them": Taken(
        table, {"text": text_of, "label": joined}, [], "text-classification-multi-label", ("text", None, "label"),
        {"label_separator": "|"}),
    "names that never stand alone": Taken(
        table, {"text": text_of, "topics": lambda i: ("a;b", "b;c", "a;c", "a;b;c")[i % 4]}, [],
        "text-classification-multi-label", ("text", None, "topics"), {"label_separator": ";"}),
    "a separator of one's own": Taken(
        table, {"text": text_of, "label": lambda i: " / ".join(several(i))},
        ["task.problem=multi-label", "data.label_separator=/", "--label", "label"], "text-classification-multi-label",
        ("text", None, "label"), {"label_separator": "/"}),
    "several labels of pairs": Taken(
        objects, {"text1": text_of, "text2": other, "labels": several}, [], "pair-classification-multi-label",
        ("text1", "text2", "labels")),
    "fractions": Taken(
        table, {"id": str, "text": text_of, "score": fraction}, [], "text-classification-regression",
        ("text", None, "score")),
    "the only numbers with fractions": Taken(
        table, {"text": text_of, "price": lambda i: f"{i * 1.37:.2f}"}, [], "text-classification-regression",
        ("text", None, "price")),
    "many whole numbers": Taken(
        table, {"text": text_of, "target": lambda i: (i // 2) * 17}, [], "text-classification-regression",
        ("text", None, "target")),
    "whole numbers that a person names": Taken(
        table, {"text": text_of, "votes": lambda i: i * i}, ["--label", "votes"], "text-classification-regression",
        ("text", None, "votes")),
    "numbers that are missing or without an end": Taken(
        parquet, {"text": text_of, "score": lambda i: (float("nan"), float("inf"), 0.5, 1.5)[i % 4]}, [],
        "text-classification-regression", ("text", None, "score")),
    "few whole numbers, asked for as numbers": Taken(
        table, {"text": text_of, "stars": lambda i: i % 5 + 1}, ["--task", "text-classification-regression"],
        "text-classification-regression", ("text", None, "stars")),
    "few whole numbers, asked for as classes": Taken(
        table, {"text": text_of, "stars": lambda i: i % 5 + 1}, ["task.problem=single-label", "--label", "stars"],
        "text-classification", ("text", None, "stars")),
    "two values are classes": Taken(
        table, {"text": text_of, "score": lambda i: i % 2}, [], "text-classification", ("text", None, "score")),
    "numbers of many classes": Taken(
        table, {"text": text_of, "label": lambda i: i % 25}, [], "text-classification", ("text", None, "label")),
    "texts alone": Taken(table, {"text": text_of}, [], "fill-mask", ("text", None, None)),
    "texts of other columns, asked for": Taken(
        table, {"id": str, "text": text_of, "label": label}, ["--task", "fill-mask"], "fill-mask",
        ("text", None, None)),
    "texts that belong together": Taken(
        table, {"anchor": text_of, "positive": other}, [], "feature-extraction", ("anchor", "positive", None),
        {"group_by": "either"}),
    "a question and what answers it": Taken(
        objects, {"query": text_of, "passage": other}, ["--task", "feature-extraction", "--text", "query",
        "--text-pair", "passage"], "feature-extraction", ("query", "passage", None)),
    "sentences with a score": Taken(
        table, {"sentence1": text_of, "sentence2": other, "score": fraction}, [], "feature-extraction-scored-pairs",
        ("sentence1", "sentence2", "score")),
    "sentences whose score a model says": Taken(
        table, {"sentence1": text_of, "sentence2": other, "score": fraction}, ["task.problem=regression"],
        "pair-classification-regression", ("sentence1", "sentence2", "score")),
    "inference, asked with labels": Taken(
        table, {"premise": text_of, "hypothesis": other, "label": lambda i: NLI[i % 3]},
        ["--task", "zero-shot-classification"], "zero-shot-classification", ("premise", "hypothesis", "label")),
    "inference as classes, without what was not agreed": Taken(
        objects, {"sentence1": text_of, "sentence2": other, "gold_label": lambda i: (*NLI, "-")[i % 4]},
        ["task.kind=pair-classification"], "pair-classification", ("sentence1", "sentence2", "gold_label")),
    "numbers of inference that are named": Taken(
        table, {"premise": text_of, "hypothesis": other, "label": lambda i: i % 3},
        ["--task", "zero-shot-classification", "data.labels=[entailment, neutral, contradiction]"],
        "zero-shot-classification", ("premise", "hypothesis", "label")),
    "pairs of classes": Taken(
        table, {"premise": text_of, "hypothesis": other, "label": label}, [], "pair-classification",
        ("premise", "hypothesis", "label")),
}  # fmt: skip
"""What is not in `TAKEN.data` is as the schema has it."""
REJECTS = {"numbers that are missing or without an end", "inference as classes, without what was not agreed"}


QUICK = (
    "an empty list is a row without a label", "names with something between them", "lists of Parquet", "fractions",
    "numbers that are missing or without an end", "texts that belong together", "texts alone",
    "sentences with a score", "inference, asked with labels", "pairs of classes",
)  # fmt: skip
"""One of each kind; the others take a second or two together and are of the slow tier."""


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in TAKEN]
)
def test_a_file_of_each_kind_is_taken_for_its_task_and_the_recipe_reads_its_rows(tmp_path: Path, case: str) -> None:
    taken = TAKEN[case]
    recipe, said = init(taken.write(tmp_path, taken.columns), *taken.words)
    columns = recipe.data.columns
    assert (recipe.task.name, (columns.text, columns.text_pair, columns.label)) == (taken.task, taken.roles), said
    written = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert f"task: {taken.task}, " in written and taken.task in said
    for key, value in taken.data.items():
        assert getattr(recipe.data, key) == value
        assert f"# {key}: {value}, " in written, "the choice stands in the recipe with its reason"
    assert recipe.evaluation.thresholds, "a first recipe has a bar"
    assert rows_of(recipe)["rejected"] == 0 or case in REJECTS
    assert plan(recipe, "first")[-1].stage.name == "deploy"


def rows_of(recipe: Recipe) -> dict[str, Any]:
    """Return what the rows of a recipe's data come to, as `prepare` reads them."""
    loose = recipe.model_copy(update={"data": recipe.data.model_copy(update={"max_reject_share": 1.0})})
    found: dict[str, Any] = preview(loose, settings_for(None), progress_for())["rows"]
    return found


ASKED: dict[str, tuple[dict[str, Column], list[str], list[str]]] = {
    "inference: classes, or labels that a request names": (
        {"premise": text_of, "hypothesis": other, "label": lambda i: NLI[i % 3]},
        [], ["--task (pair-classification or zero-shot-classification)"]),
    "stars: classes or a measure": (
        {"text": text_of, "stars": lambda i: i % 5 + 1},
        [], ["5 different whole numbers", "(text-classification or text-classification-regression)"]),
    "stars, named": (
        {"text": text_of, "stars": lambda i: i % 5 + 1},
        ["--label", "stars"], ["(text-classification or text-classification-regression)"]),
    "a class and a number": (
        {"text": text_of, "label": label, "score": fraction}, [], ["'label', 'score' could each be what is learnt"]),
    "unnamed: a class and a number": (
        {"text": text_of, "queue_of": label, "hours": fraction}, [], ["'queue_of', 'hours'", "--label"]),
    "pairs with a number": (
        {"question1": text_of, "question2": other, "label": fraction},
        [], ["(feature-extraction-scored-pairs or pair-classification-regression)"]),
    "whole numbers without a name that says so": (
        {"text": text_of, "votes": lambda i: i * i}, [], ["'votes' differs in every row", "--label"]),
    "an id as a measure": (
        {"id": lambda i: i + 1, "text": text_of},
        ["--task", "text-classification-regression"], ["'id' counts the rows, as an id does"]),
    "dates as a measure": (
        {"text": text_of, "score": lambda i: f"2024-01-{i % 28 + 1:02}"},
        ["task.problem=regression"], ["'score' holds text and no numbers"]),
    "one number": (
        {"text": text_of, "score": lambda i: 1.5}, ["task.problem=regression"], ["holds one number only (1.5)"]),
    "classes as several labels": (
        {"text": text_of, "label": label}, ["task.problem=multi-label"], ["holds one label a row", "--label"]),
    "numbers as several labels": (
        {"text": text_of, "score": fraction},
        ["task.problem=multi-label", "--label", "score"], ["holds numbers and no lists of labels"]),
    "inference by numbers": (
        {"premise": text_of, "hypothesis": other, "label": lambda i: i % 3},
        ["--task", "zero-shot-classification"], ["task.entailment=NAME", "data.labels=[entailment, neutral, "]),
    "a truth of texts that belong together": (
        {"anchor": text_of, "positive": other, "label": label},
        ["--task", "feature-extraction", "--label", "label"], ["learns from the texts alone"]),
    "no such problem": (
        {"text": text_of, "label": label}, ["task.problem=ranking"], ["allowed are", "multi-label", "regression"]),
    "no such problem of a task": (
        {"text": text_of, "label": label},
        ["--task", "question-answering", "task.problem=regression"], ["question-answering-regression is no task"]),
    "two tasks": (
        {"text": text_of, "label": label},
        ["--task", "text-classification", "task.kind=question-answering"], ["give one of them"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_doubt_is_refused_with_what_decides(tmp_path: Path, case: str) -> None:
    columns, words, sentences = ASKED[case]
    error = refusal(table(tmp_path, columns), *words)
    assert error.exit_code == 78
    for sentence in sentences:
        assert sentence in str(error)


def test_lists_of_many_values_are_no_labels(tmp_path: Path) -> None:
    file = objects(tmp_path, {"text": text_of, "labels": lambda i: [f"k{i}", f"k{i + 1}"]})
    assert "lists of 61 different values in 60 rows, which are no labels" in str(
        refusal(file, "--task", "text-classification-multi-label", "--label", "labels")
    )


def test_empty_cells_of_several_labels_are_said_to_be_missing(tmp_path: Path) -> None:
    file = table(tmp_path, {"text": text_of, "label": lambda i: joined(i) if i % 6 else ""})
    recipe, said = init(file)
    assert "10 cells of the labels are empty and rejected as missing" in said and "data.empty_labels=keep" in said
    assert rows_of(recipe)["rejected"] == 10 and recipe.data.max_reject_share > 10 / ROWS


def test_pairs_on_which_nobody_agreed_are_left_out_aloud(tmp_path: Path) -> None:
    taken = TAKEN["inference as classes, without what was not agreed"]
    recipe, said = init(taken.write(tmp_path, taken.columns), *taken.words)
    assert "-" in recipe.data.missing_labels and "15 pairs" in said
    assert rows_of(recipe)["rejected"] == 15


def test_hard_negatives_are_taken_by_their_name(tmp_path: Path) -> None:
    columns: dict[str, Column] = {"anchor": text_of, "positive": other, "negative": lambda i: f"not {words_of(i)}"}
    recipe, said = init(table(tmp_path, columns))
    assert recipe.data.columns.negative == "negative" and "negative          column `negative`, by its name" in said
    assert rows_of(recipe)["rejected"] == 0


def test_a_scale_is_said_to_have_ends(tmp_path: Path) -> None:
    taken = TAKEN["sentences with a score"]
    _, said = init(taken.write(tmp_path, taken.columns))
    assert "data.score_range=[LEAST, MOST]" in said and "task.problem=regression learns it as a number" in said

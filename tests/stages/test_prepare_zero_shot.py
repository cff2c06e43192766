"""Pairs of premise and hypothesis: the class of entailment is known before anything is trained, or the run stops."""

from collections.abc import Callable
from typing import Any

import pytest

import toys
from kubetune.config.load import canonical, parse_recipe
from kubetune.errors import ConfigError, DataError
from prepared_toys import RECIPE, Prepared

KIND = "task.kind=zero-shot-classification"
SNLI = ("entailment", "neutral", "contradiction")


def pairs(*labels: Any, more: Any = ()) -> list[dict[str, Any]]:
    texts = [row["text"] for row in toys.toy_rows(60)]
    rows = [
        {"premise": text, "hypothesis": f"it was {number}", "label": labels[number % len(labels)]}
        for number, text in enumerate(texts)
    ]
    return [*rows, *({**rows[0], "hypothesis": f"so {number}", "label": one} for number, one in enumerate(more))]


def test_the_hubs_columns_and_names_are_found(prepare: Callable[..., Prepared]) -> None:
    made = prepare({"all": pairs(*SNLI)}, KIND)
    assert made.document["labels"] == ["contradiction", "entailment", "neutral"]
    said = "Labels that a request names are scored by class entailment, against contradiction."
    assert said in made.notes and said in made.document["said"]
    assert all(len(row["input_ids"]) == row["length"] for row in made.rows["train"])


def test_numbers_are_classes_by_the_names_of_the_recipe(prepare: Callable[..., Prepared]) -> None:
    rows = pairs(0, 1, 2)
    with pytest.raises(DataError, match=r"Of the classes 0, 1, 2 no class is called entail…, .* set task\.entailment"):
        prepare({"all": rows}, KIND)
    made = prepare({"all": rows}, KIND, f"data.labels=[{', '.join(SNLI)}]")
    assert made.document["labels"] == list(SNLI)


def test_a_class_named_by_the_recipe_is_called_by_its_role(prepare: Callable[..., Prepared]) -> None:
    rows = {"all": pairs("yes", "unknown", "no")}
    made = prepare(rows, KIND, "task.entailment='yes'", "task.contradiction='no'")
    assert made.document["labels"] == ["contradiction", "unknown", "entailment"]
    assert "Class yes is called entailment in the model." in made.notes
    assert sum(made.document["label_counts"]["train"]) == len(made.rows["train"])


def test_pairs_without_an_agreed_label_are_left_out_where_the_recipe_says_so(
    prepare: Callable[..., Prepared],
) -> None:
    rows = {"all": pairs(*SNLI, more="--")}
    with pytest.raises(DataError, match=r"no class|takes another one"):
        prepare(rows, KIND)
    made = prepare(rows, KIND, "data.missing_labels=['-']")
    assert made.document["labels"] == ["contradiction", "entailment", "neutral"]
    assert any("2 rows have no label" in note for note in made.notes)


def test_roles_belong_to_this_task_alone_and_change_no_key_of_others() -> None:
    with pytest.raises(ConfigError, match=r"task\.entailment is not read for task pair-classification: leave it out"):
        parse_recipe(RECIPE, ["task.kind=pair-classification", "task.entailment=a"])
    assert canonical(parse_recipe(RECIPE))["task"] == {"kind": "text-classification"}
    chosen = parse_recipe(RECIPE, [KIND, "task.entailment=a"])
    assert canonical(chosen)["task"] == {"kind": "zero-shot-classification", "entailment": "a"}
    assert parse_recipe(chosen.model_dump_json()) == chosen

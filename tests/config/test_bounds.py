"""Numbers that take memory, processes or pods have an upper bound: a recipe of one line must not exhaust a node."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from kubetune.config.recipe import Recipe, ServingSection
from kubetune.config.settings import Settings

FREE = {
    # Larger only means fewer rows, later or stricter; nothing is allocated by it.
    "data.min_characters", "data.max_characters", "data.limit", "behaviour.most",
    "promotion.minimum_rows", "promotion.minimum_slice_rows",
    "training.freeze.first_layers", "training.early_stopping.patience", "training.early_stopping.min_delta",
    "training.checkpoints.every_steps", "training.evaluate_every_steps", "training.epochs", "training.steps",
    "data.score_range", "behaviour.seed", "data.splits.seed",
    "evaluation.seed", "promotion.seed", "training.class_weights",
    "evaluation.thresholds.at_least", "evaluation.thresholds.at_most",
    "training.seed", "training.learning_rate",
    "training.weight_decay", "training.clip_norm", "training.divergence_loss",
}  # fmt: skip


def unbounded(schema: dict[str, Any], node: dict[str, Any], path: str = "") -> set[str]:
    """Paths of the numbers below a schema that have no maximum; lists and unions do not show in a path."""
    if "$ref" in node:
        return unbounded(schema, schema["$defs"][node["$ref"].rpartition("/")[2]], path)
    found: set[str] = set()
    if node.get("type") in {"integer", "number"} and not {"maximum", "exclusiveMaximum", "const"} & set(node):
        found.add(path)
    for part in (*node.get("anyOf", ()), *node.get("oneOf", ()), *filter(None, [node.get("items")])):
        found |= unbounded(schema, part, path)
    for name, part in node.get("properties", {}).items():
        found |= unbounded(schema, part, f"{path}.{name}".lstrip("."))
    if isinstance(node.get("additionalProperties"), dict):
        found |= unbounded(schema, node["additionalProperties"], f"{path}.*")
    return found


def test_whatever_a_recipe_can_exhaust_a_node_with_is_bounded() -> None:
    schema = Recipe.model_json_schema()
    found = unbounded(schema, schema)
    assert found == FREE, (found - FREE, FREE - found)


def test_so_are_the_settings() -> None:
    schema = Settings.model_json_schema()
    assert unbounded(schema, schema) == set()


@pytest.mark.parametrize(("name", "least"), [("workers", 65), ("max_items", 1025), ("split", 1025)])
def test_the_sentence_says_what_is_allowed(name: str, least: int) -> None:
    model: type[BaseModel] = ServingSection
    with pytest.raises(ValidationError, match=f"less than or equal to {least - 1}"):
        model(**{name: least})
    assert getattr(model(**{name: least - 1}), name) == least - 1

"""Values of section `training` that are refused where they are read, and shares that count as they are written."""

import pytest

from kubetune.config.load import parse_recipe
from kubetune.errors import ConfigError
from kubetune.schema.numbers import as_written

RECIPE = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""


@pytest.mark.parametrize("weights", ["[1, -1]", "[0, 1]", "[1, .nan]", "[.inf, 1]"])
def test_the_weight_of_a_class_is_above_zero(weights: str) -> None:
    """A row with a negative weight is unlearnt: the loss falls without end and the model stays at chance."""
    with pytest.raises(ConfigError, match=r"training\.class_weights"):
        parse_recipe(RECIPE, [f"training.class_weights={weights}"])


def test_the_weights_of_classes_may_be_any_others() -> None:
    assert parse_recipe(RECIPE, ["training.class_weights=[0.5, 2]"]).training.class_weights == [0.5, 2.0]


def test_the_splits_leave_something_to_train_on() -> None:
    for hundredths in range(51, 100):
        rest = (100 - hundredths) / 100
        with pytest.raises(ConfigError, match="must be less than 1"):
            parse_recipe(RECIPE, [f"data.splits.validation={hundredths / 100}", f"data.splits.test={rest}"])
        parse_recipe(RECIPE, [f"data.splits.validation={hundredths / 100}", f"data.splits.test={rest - 0.001:.3f}"])


def test_a_number_is_the_decimal_that_was_written() -> None:
    assert [as_written(value) * 50 for value in (1.1, 2.0, 1e-2, 0.29)] == [55, 100, 0.5, 14.5]

"""A bar for the first model: what is shipped sets one."""

import pytest

from kubetune.config.load import load_recipe, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_sets_thresholds(name: str) -> None:
    assert load_recipe(name).evaluation.thresholds


@pytest.mark.parametrize("name", ["tickets", "tweets", "tweets-full"])
def test_templates_and_demos_ask_for_more_than_tf_idf(name: str) -> None:
    assert any(found.above_baseline == "tfidf" for found in load_recipe(name).evaluation.thresholds)

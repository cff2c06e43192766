"""Languages that a recipe names: a slice for each, and what is made for English is refused before anything runs."""

from typing import Any

import pytest

from kubetune.behaviour.chosen import chosen_suite
from kubetune.behaviour.suites import suite_names
from kubetune.config.load import canonical, parse_recipe
from kubetune.errors import ConfigError
from kubetune.text.languages import primary

RECIPE = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}, columns: {text: text, label: label}}
model: {source: {kind: path, path: model}}
"""
KEPT = "data.columns.keep=[place, language]"
TEMPLATES_ALONE = (
    "behaviour.suite={name: own, description: Mine., language: en, labels: [a, b], capabilities: {words: {}}, "
    "tests: [{kind: mft, name: x, capability: words, templates: [fine], expect: a}]}"
)


def slices(*overrides: str) -> Any:
    return parse_recipe(RECIPE, overrides).evaluation.slices


def test_a_kept_column_of_languages_is_a_slice_unless_slices_are_said() -> None:
    assert slices() == slices("data.columns.keep=[place]") == ["length", "label"]
    assert slices(KEPT) == ["length", "label", "language"]
    assert slices(KEPT, "evaluation.bootstrap_samples=200") == ["length", "label", "language"]
    assert slices(KEPT, "evaluation.slices=[length]") == ["length"]
    stored = canonical(parse_recipe(RECIPE, (KEPT,)))
    assert stored["evaluation"]["slices"] == ["length", "label", "language"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["data.languages=[en, de]", "data.cleaning=[emoji-spell]"],
            "data.cleaning names emoji-spell, which writes English words, and data.languages names de: leave it out",
        ),
        (
            ["data.languages=[de]", "data.columns.label=null", "data.weak_labels={}"],
            "data.weak_labels=vader knows English words alone, and data.languages names de",
        ),
        (
            ["data.languages=[de, pt-BR]", "behaviour.suite=entities", "task.kind=token-classification"],
            r"behaviour.suite is in en and data.languages names de, pt-BR: set behaviour=\{\}",
        ),
        (
            ["data.languages=[en, de]", "behaviour.suite=sentiment", "data.labels=[negative, positive]"],
            "behaviour.suite is in en and tests rows, and data.languages names de too: keep a column `language`",
        ),
        (["data.languages=[german]"], "string should match pattern"),
        (["data.languages=[]"], "at least 1 item"),
    ],
)
def test_what_is_made_for_english_is_refused_for_other_texts(overrides: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_recipe(RECIPE, overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.cleaning=[emoji-spell]", "behaviour.suite=sentiment", "data.labels=[negative, positive]"],
        ["data.languages=[en-GB]", "data.cleaning=[emoji-spell]"],
        ["data.languages=[en, de]", KEPT, "behaviour.suite=sentiment", "data.labels=[negative, positive]"],
        ["data.languages=[en, de]", TEMPLATES_ALONE],
        ["data.languages=[de]", TEMPLATES_ALONE.replace("language: en", "language: de-AT")],
        ["data.languages=[de]", TEMPLATES_ALONE.replace("language: en, ", "")],
    ],
)
def test_what_fits_the_languages_or_says_nothing_of_them_is_taken(overrides: list[str]) -> None:
    parse_recipe(RECIPE, overrides)


def test_every_shipped_suite_says_that_it_is_in_english() -> None:
    assert {name: chosen_suite(name, {}).language for name in suite_names()} == dict.fromkeys(suite_names(), "en")


@pytest.mark.parametrize(
    ("value", "found"),
    [("en", "en"), ("EN_us", "en"), ("English", "en"), (" eng ", "en"), ("de-AT", "de"), ("sp", "sp"), ("", "")],
)
def test_a_cell_names_its_language_however_it_is_written(value: str, found: str) -> None:
    assert primary(value) == found

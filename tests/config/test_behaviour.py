"""Section `behaviour`: what it takes and what it refuses, before anything runs."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from kubetune.behaviour.cases import Row, cases_of
from kubetune.behaviour.chosen import chosen_suite
from kubetune.behaviour.suite import Perturbed
from kubetune.behaviour.suites import shipped_suites, suite_names
from kubetune.config.behaviour import BehaviourSection
from kubetune.config.load import load_recipe
from kubetune.errors import ConfigError

OWN = {
    "name": "own",
    "description": "Mine.",
    "labels": ["no", "yes"],
    "capabilities": {"words": {"at_most": 0.1}},
    "tests": [{"kind": "mft", "name": "a", "capability": "words", "templates": ["fine"], "expect": "yes"}],
}


def test_nothing_is_tested_unless_a_suite_is_named() -> None:
    section = BehaviourSection()
    assert (section.suite, section.bars, section.most, section.seed) == (None, {}, None, 0)


def test_every_shipped_suite_is_taken_by_name() -> None:
    assert (
        suite_names()
        == tuple(shipped_suites())
        == (
            "acceptability",
            "answers",
            "emotion",
            "entailment",
            "entities",
            "sentiment",
            "several-labels",
            "similarity",
            "topic",
        )
    )
    for name in suite_names():
        assert BehaviourSection(suite=name).suite == name


def test_bars_replace_those_of_the_suite_and_leave_the_others() -> None:
    section = BehaviourSection(suite="sentiment", bars={"negation": 0.4, "typos": None})
    found = chosen_suite("sentiment", section.bars).capabilities
    assert (found["negation"].at_most, found["typos"].at_most) == (0.4, None)
    shipped = chosen_suite("sentiment", {}).capabilities
    assert {name: bar for name, bar in found.items() if name not in section.bars} == {
        name: bar for name, bar in shipped.items() if name not in section.bars
    }
    assert found["negation"].bound == shipped["negation"].bound


def test_fewer_cases_are_the_same_ones_from_rows_and_no_test_gets_more() -> None:
    shipped, fewer = chosen_suite("sentiment", {}), chosen_suite("sentiment", {}, most=60)
    rows = [Row((f"The service in town {n} was really bad today",), "negative") for n in range(300)]
    sizes = []
    for long, short in zip(shipped.tests, fewer.tests, strict=True):
        all_cases, some = (cases_of(test, suite, rows, 0).cases for test, suite in ((long, shipped), (short, fewer)))
        assert min(len(all_cases), 50) <= len(some) <= 60, short.name  # not every filled template can be perturbed
        if isinstance(short, Perturbed) and short.rows is not None:
            assert {case.item for case in some} <= {case.item for case in all_cases}, short.name
        sizes.append((len(all_cases), len(some)))
    assert any(long > short for long, short in sizes)


def test_a_suite_of_ones_own_stands_in_the_recipe() -> None:
    section = BehaviourSection.model_validate({"suite": OWN, "bars": {"words": 0.5}})
    assert section.model_dump(mode="json")["suite"] == OWN
    assert chosen_suite(OWN, section.bars).capabilities["words"].at_most == 0.5


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"suite": "sentment"}, "shipped are acceptability, answers, emotion, entailment, entities, sentiment, sev"),
        ({"suite": "own.yaml"}, "write a suite of your own here as a mapping"),
        ({"suite": ""}, "does not exist"),
        ({"suite": OWN | {"labels": ["no"]}}, "`labels`"),
        ({"suite": OWN | {"labels": ["no", "maybe"]}}, r"`tests\.0\.expect` 'yes' is not declared"),
        ({"suite": 7}, "suite"),
        ({"bars": {"negation": 0.1}}, "name a suite"),
        ({"suite": "sentiment", "bars": {"negatoin": 0.1}}, "its capabilities are vocabulary, negation, intensity"),
        ({"suite": OWN, "bars": {"negation": 0.1}}, "its capabilities are words"),
        ({"suite": "sentiment", "bars": {"negation": 1.0}}, "less than 1"),
        ({"suite": "sentiment", "bars": {"negation": -0.1}}, "greater than or equal to 0"),
        ({"suite": "sentiment", "bars": {"negation": float("nan")}}, "finite"),
        ({"suits": "sentiment"}, "suits"),
    ],
)
def test_what_is_refused(values: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        BehaviourSection.model_validate(values)


def test_reading_the_section_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom kubetune.config.behaviour import BehaviourSection\n"
        "BehaviourSection(suite='sentiment', bars={'typos': 0.5})\n"
        "found = {'torch', 'transformers', 'numpy', 'pyarrow'} & set(sys.modules)\nassert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


FITS = {
    "sentiment": ("tweets", "tweets-full", "sentiment-bilstm", "sst2", "sst2-frozen", "amazon-reviews"),
    "emotion": ("emotion",),
    "acceptability": ("cola",),
    "topic": ("ag-news",),
}
OTHERS = {
    "entities": ("places", ("ner-wnut",)),
    "answers": ("places", ("qa-squad",)),
    "similarity": ("similarity", ("sts", "similar-questions")),
    "several-labels": ("label-sets", ("topics-multilabel",)),
}
"""Suites that speak of no labels: what they judge, and the recipes of their task."""
OF_TASK = {suite: recipes for suite, (_, recipes) in OTHERS.items()} | {"entailment": ("nli-zero-shot", "snli")}


@pytest.mark.parametrize("suite", OTHERS)
def test_a_suite_is_for_tasks_whose_answers_have_what_it_judges(suite: str) -> None:
    judged, recipes = OTHERS[suite]
    for recipe in recipes:
        assert load_recipe(recipe, [f"behaviour.suite={suite}"]).behaviour.suite == suite
        with pytest.raises(ConfigError, match=rf"behaviour\.suite judges labels, and answers of task .* have {judged}"):
            load_recipe(recipe, ["behaviour.suite=sentiment"])
    with pytest.raises(ConfigError, match=rf"judges {judged}, and answers of task text-classification have labels"):
        load_recipe("tweets", [f"behaviour.suite={suite}", "behaviour.bars={}"])


def test_the_suite_of_entailment_is_for_both_tasks_with_these_classes() -> None:
    for kind in ("pair-classification", "zero-shot-classification"):
        recipe = load_recipe("snli", [f"task.kind={kind}", "data.labels=[entailment, neutral, contradiction]"])
        assert recipe.behaviour.suite == "entailment"
    assert load_recipe("snli", ["data.labels=[contradiction, entailment]"]).behaviour.suite == "entailment"
    with pytest.raises(
        ConfigError, match=r"needs labels contradiction and data\.labels has entailment, not_entailment"
    ):
        load_recipe("snli", ["data.labels=[entailment, not_entailment]"])


SHOWN = ("ner-wnut", "sts", "similar-questions", "topics-multilabel", "nli-zero-shot", "snli")


@pytest.mark.parametrize("recipe", SHOWN)
def test_a_recipe_names_the_suite_of_its_task_which_judges_nothing(recipe: str) -> None:
    (wanted,) = [suite for suite, names in OF_TASK.items() if recipe in names]
    section = load_recipe(recipe).behaviour
    assert section.suite == wanted and not section.bars
    assert {capability.at_most for capability in chosen_suite(wanted, {}).capabilities.values()} == {None}


@pytest.mark.parametrize(("suite", "recipe"), [(suite, name) for suite, names in FITS.items() for name in names])
def test_a_shipped_suite_speaks_of_the_labels_of_its_recipes(suite: str, recipe: str) -> None:
    found, labels = chosen_suite(suite, {}), load_recipe(recipe).data.labels
    assert labels is not None
    assert set(found.labels) <= set(labels) <= {*found.labels, *found.optional_labels}


UNMEASURED = ("sentiment-bilstm", "sst2", "sst2-frozen", "amazon-reviews", "emotion", "cola", "ag-news")


@pytest.mark.parametrize("recipe", UNMEASURED)
def test_a_recipe_whose_model_nobody_measured_shows_its_suite_and_judges_nothing(recipe: str) -> None:
    (wanted,) = [suite for suite, names in FITS.items() if recipe in names]
    section = load_recipe(recipe).behaviour
    assert section.suite == wanted
    assert {capability.at_most for capability in chosen_suite(wanted, section.bars).capabilities.values()} == {None}


def test_other_labels_than_those_of_the_suite_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(ConfigError, match=r"needs labels negative, positive and data\.labels has bad, good: set beh"):
        load_recipe("sst2", ["data.labels=[bad, good]"])
    assert load_recipe("sst2", ["data.labels=[bad, good]", "behaviour={}"])
    assert load_recipe("sst2", ["data.labels=[positive, negative, neutral]"]).behaviour.suite == "sentiment"
    assert load_recipe("sst2", ["data.labels=null"]).behaviour.suite == "sentiment"  # known once the data is read


def test_the_examples_of_the_page_are_sections() -> None:
    text = (Path(__file__).parents[2] / "docs" / "behaviour.md").read_text(encoding="utf-8")
    sections = [yaml.safe_load(block.partition("```")[0])["behaviour"] for block in text.split("```yaml\n")[1:]]
    suites = [BehaviourSection.model_validate(section).suite for section in sections]
    assert [suite if isinstance(suite, str) else "mapping" for suite in suites] == ["sentiment", "mapping"]


def test_the_page_names_every_suite_with_its_capabilities() -> None:
    text = (Path(__file__).parents[2] / "docs" / "behaviour.md").read_text(encoding="utf-8")
    for name in suite_names():
        suite = chosen_suite(name, {})
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert line.endswith(f"| {', '.join(suite.capabilities)} |")
        assert f"| {', '.join((FITS | OF_TASK)[name])} |" in line

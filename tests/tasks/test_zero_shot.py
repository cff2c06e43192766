"""Labels that a request names: which classes score them, what the model is asked, and what an answer is."""

import math
from typing import Any

import numpy as np
import pytest

from kubetune.errors import DataError
from kubetune.tasks import load_task
from kubetune.tasks.answers import chosen_parameters, too_many
from kubetune.tasks.entailment import RolePlaces, named, places

TASK = load_task("zero-shot-classification")
FORM = TASK.form
NLI = ("contradiction", "entailment", "neutral")
FOUND = {
    "sorted": (NLI, RolePlaces(1, 0)),
    "as SNLI counts": (("entailment", "neutral", "contradiction"), RolePlaces(0, 2)),
    "SICK": (("CONTRADICTION", "ENTAILMENT", "NEUTRAL"), RolePlaces(1, 0)),
    "of two classes": (("entailment", "not_entailment"), RolePlaces(0, 1)),
    "verbs": (("contradicts", "entails", "neither"), RolePlaces(1, 0)),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_classes_are_found_by_their_names(name: str) -> None:
    labels, wanted = FOUND[name]
    assert places(labels) == wanted
    found = named(labels, {})
    assert found.names == list(labels)
    assert found.said == (
        f"Labels that a request names are scored by class {labels[wanted[0]]}, against {labels[wanted[1]]}.",
    )


REFUSED = {
    "numbers": (("0", "1", "2"), {}, r"no class is called entail…, .* set task\.entailment to its name, or name"),
    "two": (("entailed", "entailment", "no"), {}, "entailed and entailment are called entail"),
    "no contradiction": (("entailment", "maybe", "no"), {}, r"set task\.contradiction to its name"),
    "not a class": (NLI, {"entailment": "yes"}, r"task\.entailment names 'yes' and the classes are contradiction, ent"),
    "one class for both": (("a", "b", "c"), {"entailment": "a", "contradiction": "a"}, "no class is called entail"),
    "an order that the pipeline reads otherwise": (
        ("neutral", "entailment", "contradiction"),
        {},
        r"set data\.labels=\[entailment, neutral, contradiction\]",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_classes_that_are_not_known_are_refused_with_what_to_set(name: str) -> None:
    labels, roles, sentence = REFUSED[name]
    with pytest.raises(DataError, match=sentence):
        named(labels, roles)


def test_a_class_that_the_recipe_names_has_the_name_that_everybody_looks_for() -> None:
    found = named(("no", "unknown", "yes"), {"entailment": "yes", "contradiction": "no"})
    assert found.names == ["contradiction", "unknown", "entailment"]
    assert found.said[0] == "Class no is called contradiction in the model."
    chosen = named(("contradiction", "entailed", "entailment"), {"entailment": "entailed"})
    assert chosen.names == ["contradiction", "entailment", "other entailment"]
    assert places(chosen.names) == RolePlaces(1, 0)


@pytest.mark.parametrize(
    ("item", "parameters", "wanted"),
    [
        (("t",), {"candidate_labels": ["a", "b"]}, (("t", "This example is a."), ("t", "This example is b."))),
        (("t",), {"candidate_labels": ["a {0}"], "hypothesis_template": "It is {}!"}, (("t", "It is a {0}!"),)),
        (("t", "h"), {}, (("t", "h"),)),
        (("t", "h"), {"top_k": 2}, (("t", "h"),)),
        (("t",), {}, "`candidate_labels` must list the labels to choose from, or the item have a `hypothesis`"),
        (("t",), {"multi_label": True}, "`candidate_labels` must list"),
        (("t", "h"), {"multi_label": True}, "leave out `multi_label` or the `hypothesis`"),
        (("t", "h"), {"candidate_labels": ["a"]}, "leave out `candidate_labels` or the `hypothesis`"),
    ],
)
def test_what_the_model_is_asked(item: tuple[str, ...], parameters: dict[str, Any], wanted: Any) -> None:
    found = TASK.asked(item, parameters)
    assert wanted in found if isinstance(wanted, str) else found == wanted


LOGITS = ((2.0, -1.0, 0.0), (-1.0, 3.0, 1.0), (0.5, 2.0, 4.0))
"""Of three candidate labels: contradiction, entailment, neutral."""


def scores(candidates: list[str], logits: Any, **more: Any) -> dict[str, float]:
    found = FORM.decode(logits, NLI, {"candidate_labels": candidates, **more})
    assert [entry["score"] for entry in found] == sorted((entry["score"] for entry in found), reverse=True)
    return {entry["label"]: entry["score"] for entry in found}


def test_labels_that_exclude_each_other_share_by_their_logits_of_entailment() -> None:
    total = sum(math.exp(row[1]) for row in LOGITS)
    wanted = {name: math.exp(row[1]) / total for name, row in zip("abc", LOGITS, strict=True)}
    assert scores(["a", "b", "c"], LOGITS) == pytest.approx(wanted, abs=1e-12)


def test_labels_that_do_not_exclude_each_other_are_entailment_against_contradiction() -> None:
    wanted = {name: 1 / (1 + math.exp(row[0] - row[1])) for name, row in zip("abc", LOGITS, strict=True)}
    assert scores(["a", "b", "c"], LOGITS, multi_label=True) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("several", [False, True])
def test_a_label_alone_is_compared_with_its_contradiction(several: bool) -> None:
    """A softmax over one label would be 1 whatever the text says (transformers, PR 8059)."""
    wanted = 1 / (1 + math.exp(LOGITS[0][0] - LOGITS[0][1]))
    assert scores(["a"], LOGITS[:1], multi_label=several) == pytest.approx({"a": wanted}, abs=1e-12)


def test_the_classes_are_found_wherever_they_stand() -> None:
    order = (1, 2, 0)
    turned = tuple(tuple(row[number] for number in order) for row in LOGITS)
    labels = tuple(NLI[number] for number in order)
    for several in (False, True):
        parameters = {"candidate_labels": ["a", "b", "c"], "multi_label": several}
        assert FORM.decode(turned, labels, parameters) == FORM.decode(LOGITS, NLI, parameters)


def test_a_pair_is_answered_with_the_classes() -> None:
    found = FORM.decode(LOGITS[1], NLI, {})
    assert [entry["label"] for entry in found] == ["entailment", "neutral", "contradiction"]
    assert sum(entry["score"] for entry in found) == pytest.approx(1)
    assert [entry["label"] for entry in FORM.decode(LOGITS[1], NLI, {"top_k": 1})] == ["entailment"]
    best = FORM.decode(LOGITS, NLI, {"candidate_labels": ["a", "b", "c"], "top_k": 2})
    assert [entry["label"] for entry in best] == ["b", "c"]


def test_columns_are_probabilities_of_logits() -> None:
    columns = FORM.columns(np.array(LOGITS, dtype=np.float32))
    assert columns["prediction"].to_pylist() == [0, 1, 2]
    assert [sum(row) for row in columns["probabilities"].to_pylist()] == pytest.approx([1, 1, 1])
    assert columns["confidence"].to_pylist() == pytest.approx([max(r) for r in columns["probabilities"].to_pylist()])
    assert len(FORM.columns([])["prediction"]) == 0


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("candidate_labels", [], "a list of at least one label, none of them blank and each there once"),
        ("candidate_labels", ["a", "b", "a"], "each there once"),
        ("candidate_labels", ["a", " "], "none of them blank"),
        ("candidate_labels", "a, b", "a list of at least one label"),
        ("candidate_labels", ["a", 1], "a list of at least one label"),
        ("hypothesis_template", "It is so.", "a sentence with {} once"),
        ("hypothesis_template", "{} is {}", "a sentence with {} once"),
        ("hypothesis_template", "{0.__class__} {}", "no other brace"),
        ("hypothesis_template", ["{}"], "a sentence with {} once"),
        ("multi_label", "yes", "true or false"),
        ("multi_label", 1, "true or false"),
    ],
)
def test_values_that_a_request_may_not_have(name: str, value: Any, sentence: str) -> None:
    found = chosen_parameters(FORM.parameters, {name: value})
    assert isinstance(found, str)
    assert found.startswith(f"`{name}` must be ") and sentence in found


def test_texts_times_labels_are_bounded() -> None:
    chosen = {"candidate_labels": ["a", "b", "c"], "multi_label": True}
    assert too_many(FORM.parameters, chosen, 3, 9) is None
    assert too_many(FORM.parameters, chosen, 3, 8) == (
        "`inputs` has 3 items times 3 candidate_labels, together 9: at most 8 are allowed"
    )
    assert too_many(FORM.parameters, {}, 9, 8) == "`inputs` has 9 items: at most 8 are allowed"

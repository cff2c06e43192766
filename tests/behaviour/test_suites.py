"""Suite files: all errors at once, and the shipped ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from kubetune.behaviour.cases import Row, case_ids, cases_of
from kubetune.behaviour.load import load_suite, parse_suite
from kubetune.behaviour.suite import MinimumFunctionality, Perturbed
from kubetune.behaviour.suites import shipped_suites
from kubetune.errors import ConfigError
from kubetune.keys import code_digests
from kubetune.stages import BY_NAME
from kubetune.text.gate import RAW

HEAD = """
name: toy
description: A toy.
labels: [bad, good]
lexicons: {thing: [room, egg], praise: [It was good.]}
capabilities: {words: {at_most: 0.1}}
tests:
"""
PLAIN = "  - {kind: mft, name: plain, capability: words, templates: ['The {thing} is good.'], expect: good}\n"


def errors_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_suite(text, "toy.yaml")
    return str(caught.value)


def test_the_smallest_suite() -> None:
    suite = parse_suite(HEAD + PLAIN)
    test = suite.tests[0]
    assert isinstance(test, MinimumFunctionality)
    assert test.expect == ["good"]
    assert [case.item for case in cases_of(test, suite, (), 0).cases] == [("The room is good.",), ("The egg is good.",)]


def test_all_errors_are_told_at_once() -> None:
    text = HEAD.replace("at_most: 0.1", "at_least: 0.1").replace("description: A toy.\n", "") + (
        "  - {kind: mft, name: plain, capability: words, templates: ['{thng} is {'], expect: great}\n"
        "  - {kind: inv, name: plain, capability: wrds, templates: [x], rows: {}, perturb: typo}\n"
        "  - {kind: inv, name: second, capability: wrds, rows: {}, perturb: tpyo, variants: 0}\n"
        "  - {kind: dir, name: third, capability: words, rows: {most: x}, perturb: append, label: good, moves: left}\n"
        "  - {kind: dir, name: fourth, capability: words, rows: {}, perturb: append, label: fine, moves: up}\n"
        "  - {kind: inv, name: plain, capability: words, rows: {}, perturb: typo, using: nothing}\n"
        "  - {kind: other, name: fifth, capability: words}\n"
    )
    found = errors_of(text)
    for part in (
        "toy.yaml has ",
        "`description` is missing",
        "`capabilities.words.at_least` is not a known key: did you mean `at_most`? allowed are at_most, bound",
        "`tests.0.expect` 'great' is not declared: allowed are bad, good",
        "`tests.0.templates.0`: a brace belongs to no placeholder: write {name} or {name#2}",
        "`tests.0.templates.0` 'thng' is not declared: allowed are adjectives, ",
        "`tests.1`: give exactly one of templates and rows",
        "`tests.2.variants`: input should be greater than or equal to 1 (found 0)",
        "`tests.3.rows.most`: ",
        "`tests.3.moves`: ",
        "`tests.4.label` 'fine' is not declared",
        "`tests.4.using` is missing: append draws from a lexicon",
        "`tests.5.name` 'plain' is given twice",
        "`tests.5.using` 'nothing' is not declared",
        "`tests.5.using`: typo takes no list",
        "`tests.6`: ",
    ):
        assert part in found, found
    assert found.count("\n") == 0


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        ("  - {kind: inv, name: a, capability: words, rows: {}, perturb: tpyo}\n", "`tests.0.perturb` 'tpyo' is not"),
        ("  - {kind: inv, name: a, capability: wrds, rows: {}, perturb: typo}\n", "`capabilities.words` has no test"),
        ("  - {kind: inv, name: a, capability: words, perturb: typo}\n", "exactly one of templates and rows"),
        (PLAIN.replace("expect", "expected"), "did you mean `expect`?"),
        (PLAIN.replace("name: plain", "name: 'A|b'"), "`tests.0.name`: "),
        ("", "`tests`: "),
        ("  - 7\n", "`tests.0`: "),
    ],
)
def test_one_error(tests: str, why: str) -> None:
    assert why in errors_of(HEAD + tests)


@pytest.mark.parametrize(
    ("text", "why"),
    [("- a", "holds a list"), ("{", "is not YAML"), ("name: a\nname: b", "given twice"), ("", "holds a NoneType")],
)
def test_what_is_no_suite(text: str, why: str) -> None:
    assert why in errors_of(text)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(HEAD + PLAIN)
    assert load_suite(str(tmp_path / "own.yaml")).name == "toy"
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    for path, why in (("no-such", "shipped are acceptability"), ("no.yaml", "cannot be read"), ("latin.yaml", "UTF-8")):
        with pytest.raises(ConfigError, match=why):
            load_suite(path if path == "no-such" else str(tmp_path / path))


def test_templates_choose_the_article_and_other_entries() -> None:
    text = HEAD + PLAIN.replace("'The {thing} is good.'", "'A {thing} and a {thing#2}, {thing}.', '{thing}!', plain")
    suite = parse_suite(text)
    assert [case.item[0] for case in cases_of(suite.tests[0], suite, (), 0).cases] == [
        "An egg and a room, egg.",
        "A room and an egg, room.",
        "Room!",
        "Egg!",
        "plain",
    ]


def test_a_bound_is_shared_by_the_templates() -> None:
    templates = "['{names} and {names#2} in {places}', 'the {thing}', '{names} saw a {thing}']"
    suite = parse_suite(
        HEAD + PLAIN.replace("['The {thing} is good.']", templates).replace("expect", "most: 42, expect")
    )
    drawn = [[case.item[0] for case in cases_of(suite.tests[0], suite, (), seed).cases] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == len(drawn[0])
    assert len([text for text in drawn[0] if " saw a" in text]) == 20
    assert len([text for text in drawn[0] if text.startswith("the ")]) == 2
    assert 15 <= len([text for text in drawn[0] if " in " in text]) <= 20  # a name twice is no case


def test_rows_are_chosen_by_label_and_length_and_all_are_used() -> None:
    rows = [
        Row((f"number {n} is {word}",), label) for n in range(10, 40) for word, label in (("so", "good"), ("a b", None))
    ]
    test = "  - {kind: inv, name: a, capability: words, rows: {ROWS}, perturb: swap-number}\n"
    counts = {}
    for chosen in ("", "labels: [good]", "longest_words: 4", "most: 7"):
        suite = parse_suite(HEAD + test.replace("ROWS", chosen))
        found = cases_of(suite.tests[0], suite, rows, 3)
        assert found == cases_of(suite.tests[0], suite, rows, 3)
        counts[chosen] = (found.inputs, len(found.cases))
    assert counts == {"": (60, 60), "labels: [good]": (30, 30), "longest_words: 4": (30, 30), "most: 7": (60, 7)}


NUMBERS = "  - {kind: inv, name: a, capability: words, rows: {ROWS}, perturb: swap-number, variants: 2}\n"


def test_a_bounded_draw_of_rows_hardly_changes_when_rows_come() -> None:
    rows = [Row((f"number {n} is so",)) for n in range(10, 90)]
    suite = parse_suite(HEAD + NUMBERS.replace("ROWS", "most: 20"))
    few, many = (set(cases_of(suite.tests[0], suite, given, 0).cases) for given in (rows[:70], rows))
    assert len(few) == len(many) == 20
    assert 14 <= len(few & many) < 20  # 20 of 80 rows: 2.5 of the new ten are expected


def test_ids_follow_the_texts_and_a_row_that_is_there_twice_is_asked_once() -> None:
    suite = parse_suite(HEAD + NUMBERS.replace("ROWS", ""))
    rows = [Row((f"number {n} is so",)) for n in (11, 12, 11, 13)]
    cases = cases_of(suite.tests[0], suite, rows, 0).cases
    test = suite.tests[0]
    ids = case_ids(test, cases)
    assert [case.item for case in cases] == [("number 11 is so",), ("number 12 is so",), ("number 13 is so",)]
    assert len(set(ids)) == len({case.source for case in cases}) == 3
    assert case_ids(test, cases[1:]) == ids[1:]
    assert not set(case_ids(test.model_copy(update={"name": "b"}), cases)) & set(ids)
    assert not set(case_ids(test, cases_of(test, suite, rows, 1).cases)) & set(ids)


MOVES = "  - {kind: dir, name: a, capability: words, rows: {}, perturb: swap-number, label: good, moves: up, by: 0.1}\n"


@pytest.mark.parametrize("change", [{"label": "bad"}, {"moves": "not-down"}, {"by": 0.3}, {"kind": "inv"}], ids=str)
def test_cases_that_ask_something_else_are_not_paired(change: dict) -> None:
    suite = parse_suite(HEAD + MOVES)
    test = suite.tests[0]
    cases = cases_of(test, suite, [Row(("number 11 is so",))], 0).cases
    assert case_ids(test, cases) == case_ids(test.model_copy(update={"capability": "other", "times": 2}), cases)
    assert case_ids(test, cases) != case_ids(test.model_copy(update=change), cases)


def test_what_cannot_be_answered_is_no_case() -> None:
    suite = parse_suite(HEAD + NUMBERS.replace("ROWS", "most: 3"))
    rows = [Row((f"number {n} is so",)) for n in range(10, 20)]
    asked: list[tuple[str, ...]] = []
    usable = lambda item: asked.append(item) or "9" not in item[0]  # noqa: E731
    found = cases_of(suite.tests[0], suite, rows, 0, usable)
    assert (found.inputs, len(found.cases)) == (10, 3)
    assert not any("9" in text for case in found.cases for item in (case.item, *case.variants) for text in item)
    assert any("9" in item[0] for item in asked)


WITHOUT_BARS = {"answers", "entailment", "entities", "several-labels", "similarity"}
"""Of tasks that no recipe's bars are measured for; `test_places.py` and `test_pairs.py` have their rows."""


def test_shipped_suites() -> None:
    assert set(shipped_suites()) == {"acceptability", "emotion", "sentiment", "topic"} | WITHOUT_BARS
    for name, text in shipped_suites().items():
        suite = load_suite(name)
        assert suite.name == name
        assert all(len(line) <= 120 for line in text.splitlines())
        if name in WITHOUT_BARS:
            assert all(capability.at_most is None for capability in suite.capabilities.values())
        else:
            assert all(capability.at_most is not None for capability in suite.capabilities.values())
        if suite.expects == {"labels"}:
            assert {test.kind for test in suite.tests} == {"mft", "inv", "dir"}
        for test in suite.tests:
            found = cases_of(test, suite, (), 0)
            if isinstance(test, Perturbed) and test.rows is not None:
                assert not found.cases
                continue
            assert len(found.cases) >= 30, test.name
            texts = {text for case in found.cases for item in (case.item, *case.variants) for text in item}
            assert all(RAW.read(text) == text and "{" not in text for text in texts)


def test_a_changed_suite_or_list_changes_the_key_of_a_stage_that_loads_suites() -> None:
    stage = replace(BY_NAME["evaluate"], entry="kubetune.behaviour.load:load_suite", chosen=())
    found = code_digests(stage, {})
    assert {"data:behaviour/suites/topic.yaml", "data:behaviour/lexicons/names.txt"} <= set(found)
    assert not any("torch" in name or ".stages." in name for name in found)

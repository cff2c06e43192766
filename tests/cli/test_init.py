"""`kubetune init`: what is guessed of a file and said, refused with the option that decides, and written."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from first_recipes import ROWS, init, label, lines, refusal, table, text_of
from kubetune.config.load import load_recipe
from kubetune.config.task_columns import TASK_COLUMNS
from kubetune.tasks.guesses.deciding import task_kinds


def test_a_table_gives_a_recipe_and_each_choice_is_said_and_stands_in_it(tmp_path: Path) -> None:
    file = table(tmp_path, {"id": str, "subject": lambda i: text_of(i, 2), "body": text_of, "queue": label})
    recipe, said = init(file, "--name", "post")
    columns = recipe.data.columns
    assert (recipe.name, recipe.task.kind) == ("post", "text-classification")
    assert (columns.text, columns.label) == ("body", "queue")
    written = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    for line in (
        "column `body`, the longest text; set with --text",
        "column `queue`, by its name; 3 classes: billing 20",
    ):
        assert line in said and line in written
    assert "60 rows are few" in said and "60 rows are few" in written
    assert text_of(0)[:40] in said, "the first rows are shown"
    assert "kubetune data" in said.replace("-m kubetune", "kubetune") and "--until evaluate" in said


def squad(place: Path) -> Path:
    asked = {"id": "1", "question": "Where does Ada live?", "answers": [{"text": "Rome", "answer_start": 13}]}
    article = {"context": "Ada lives in Rome.", "qas": [asked]}
    path = place / "rows.json"
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [article]}]}), encoding="utf-8")
    return path


def conll(place: Path) -> Path:
    path = place / "rows.conll"
    path.write_text("Ada\tB-person\nlives\tO\n\nRome\tB-place\n", encoding="utf-8")
    return path


def spans(place: Path) -> Path:
    span = {"start": 0, "end": 3, "label": "person"}
    return lines(place, [{"id": number, "text": "Ada lives in Rome", "marks": [span]} for number in range(ROWS)])


def tags_of_a_table(place: Path) -> Path:
    return table(place, {"sentence": lambda i: f"Ada lives in {text_of(i, 1)}", "tags": lambda i: "B-person O O O"})


def pairs(place: Path) -> Path:
    return table(place, {"premise": text_of, "hypothesis": lambda i: text_of(i + 9), "gold_label": label})


@pytest.mark.parametrize(
    ("write", "kind", "columns"),
    [
        (squad, "question-answering", ("question", "context", "answers")),
        (conll, "token-classification", ("tokens", None, "ner_tags")),
        (spans, "token-classification", ("text", None, "marks")),
        (tags_of_a_table, "token-classification", ("sentence", None, "tags")),
        (pairs, "pair-classification", ("premise", "hypothesis", "gold_label")),
    ],
)
def test_columns_speak_for_a_task(tmp_path: Path, write: Any, kind: str, columns: tuple[str, str | None, str]) -> None:
    recipe, said = init(write(tmp_path))
    found = recipe.data.columns
    assert recipe.task.kind == kind and (found.text, found.text_pair, found.label) == columns
    assert f"{kind}, column" in said
    assert recipe.evaluation.thresholds, "a first recipe has a bar"


def test_rows_of_the_table_are_tasks_that_a_recipe_may_name() -> None:
    assert set(task_kinds()) <= set(TASK_COLUMNS) and len(task_kinds()) >= 4


CHOSEN: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "an unnamed column of few values": (
        {"when": lambda i: f"2024-01-{i % 28 + 1:02}", "what": text_of, "kind": label}, ("what", "kind")),
    "numbers of classes": ({"text": text_of, "label": lambda i: i % 2}, ("text", "label")),
    "names beside the numbers of the same classes": (
        {"text": text_of, "label": lambda i: i % 3, "label_text": label}, ("text", "label_text")),
    "a long address is no text": (
        {"url": lambda i: f"https://a.example/{'x' * 90}/{i}", "head": text_of, "topic": label}, ("head", "topic")),
    "an empty column": ({"text": text_of, "notes": lambda i: "", "label": label}, ("text", "label")),
    "an empty label beside another one": (
        {"text": text_of, "label": lambda i: "", "queue": label}, ("text", "queue")),
    "a name decides between two long texts": (
        {"title": lambda i: text_of(i, 7), "body": text_of, "label": label}, ("body", "label")),
}  # fmt: skip


@pytest.mark.parametrize("case", CHOSEN)
def test_text_and_label_are_found(tmp_path: Path, case: str) -> None:
    columns, wanted = CHOSEN[case]
    found = init(table(tmp_path, columns))[0].data.columns
    assert (found.text, found.label) == wanted


REFUSED: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "two candidates": ({"text": text_of, "category": label, "sentiment": lambda i: label(i // 2)}, [],
                       "Columns 'category', 'sentiment' could each be the label: name the label with --label."),
    "an id is no label": ({"id": str, "text": text_of}, [],
                          "name the label with --label, or learn from the texts alone with --task fill-mask."),
    "an id, asked for": ({"id": str, "text": text_of, "label": label}, ["--label", "id"], "differs in every row"),
    "one class": ({"text": text_of, "label": lambda i: "x"}, [], "holds one value only ('x')"),
    "one class beside another column": ({"text": text_of, "label": lambda i: "x", "source": label}, [],
                                        "'source' could be meant instead: name the label with --label"),
    "a word a row": ({"Word": lambda i: f"w{i % 9}", "Tag": lambda i: ("O", "B-per", "I-per")[i % 3]}, [],
                     "a row is a whole sentence"),
    "two texts": ({"one": text_of, "two": lambda i: text_of(i + 3), "label": label}, [],
                  "Columns 'one', 'two' are about as long, and each could be the text: name the text with --text."),
    "a pair without names": ({"one": text_of, "two": text_of, "label": label}, ["--task", "pair-classification"],
                             "name the text with --text"),
    "no such column": ({"text": text_of, "label": label}, ["--text", "txt"], "did you mean 'text'?"),
    "no such task": ({"text": text_of, "label": label}, ["--task", "poetry"], "allowed are text-classification, "),
    "no such key": ({"text": text_of, "label": label}, ["data.lables=[a, b]"], "did you mean `labels`?"),
    "a name that is none": ({"text": text_of, "label": label}, ["--name", "No Name"], "lower-case letters"),
    "the text is the label": (
        {"text": text_of, "label": label}, ["--text", "label", "--label", "label"], "is named twice"),
    "an empty text": ({"text": lambda i: "", "b": text_of, "label": label}, ["--text", "text"], "is empty"),
    "only empty columns": ({"text": lambda i: "", "label": label}, [], "No column holds text"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_decided_is_refused_with_the_option_that_decides(tmp_path: Path, case: str) -> None:
    columns, words, sentence = REFUSED[case]
    error = refusal(table(tmp_path, columns), *words)
    assert error.exit_code == 78 and sentence in str(error)


def test_numbers_of_tags_that_nothing_names_are_refused(tmp_path: Path) -> None:
    file = lines(tmp_path, [{"tokens": ["Ada", "lives"], "ner_tags": [1, 0]}] * 3)
    assert "holds tags as numbers, and the file does not say what they mean" in str(refusal(file))


def test_an_option_decides(tmp_path: Path) -> None:
    columns = {"a": text_of, "b": lambda i: text_of(i + 3), "c": label, "d": lambda i: label(i // 2)}
    file = table(tmp_path, columns)
    recipe, _ = init(file, "--text", "a", "--text-pair", "b", "--label", "d")
    assert recipe.task.kind == "pair-classification" and recipe.data.columns.label == "d"
    recipe, said = init(file, "data.columns.label=c", "--text", "b", "training.epochs=7", "--force")
    assert (recipe.data.columns.label, recipe.data.columns.text, recipe.training.epochs) == ("c", "b", 7)
    assert "as --text says" in said


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"", "empty-file"), (b"text,label\n", "no-rows"), (b"text,text,label\na,b,c\n", "duplicate-column")],
)
def test_a_file_without_a_table_is_refused(tmp_path: Path, content: bytes, rule: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    error = refusal(tmp_path / "rows.csv")
    assert error.exit_code == 65 and f"[rule: {rule}]" in str(error)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in str(refusal(tmp_path / "away.csv"))
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in str(refusal(tmp_path / "folder.csv"))
    odd = table(tmp_path, {"text": text_of, "label": label}, "rows.txt")
    assert "data.source.format" in str(refusal(odd))
    assert init(odd, "data.source.format=csv")[0].data.source.format == "csv"  # type: ignore[union-attr]


def test_marks_encodings_and_delimiters_are_the_readers_business(tmp_path: Path) -> None:
    columns = {"text": lambda i: f"señor {text_of(i)}", "label": label}
    recipe, said = init(table(tmp_path, columns, "mark.csv", coding="utf-8-sig"))
    assert recipe.data.columns.text == "text"
    recipe, said = init(table(tmp_path, columns, "half.csv", delimiter=";"), "--force")
    assert "fields are separated by semicolons" in said and recipe.data.columns.label == "label"
    file = table(tmp_path, columns, "old.csv", coding="latin-1")
    error = refusal(file, "--force")
    assert "[rule: encoding]" in str(error) and "data.encoding=cp1252" in str(error)
    recipe, said = init(file, "data.encoding=cp1252", "--force")
    assert recipe.data.encoding == "cp1252" and "señor" in said


def test_texts_that_are_not_english_get_a_model_for_them(tmp_path: Path) -> None:
    recipe, said = init(table(tmp_path, {"text": lambda i: f"über {text_of(i)}", "label": label}))
    assert "multilingual" in recipe.model.source.name and "no English ones" in said  # type: ignore[union-attr]
    model = tmp_path / "model"
    model.mkdir()
    recipe, _ = init(tmp_path / "rows.csv", "--model", str(model), "--force")
    assert recipe.model.source.kind == "path"


def test_rows_without_a_label_are_counted_and_the_bound_is_raised_aloud(tmp_path: Path) -> None:
    recipe, said = init(table(tmp_path, {"text": text_of, "label": lambda i: label(i) if i % 5 else "N/A"}))
    assert recipe.data.max_reject_share == pytest.approx(0.25) and "12 of 60 rows lack" in said
    assert "20 % of the rows lack a text or a label" in said


def test_guesses_say_when_they_rest_on_the_first_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune.data.looking.MOST_ROWS", 50)
    _, said = init(table(tmp_path, {"text": text_of, "label": label}))
    assert "Guesses rest on the first 50 rows" in said and "the first 50 rows, 2 columns" in said
    file = table(tmp_path, {"text": text_of, "label": lambda i: label(i // 50)}, "sorted.csv")
    assert "as files do that are sorted by their label" in str(refusal(file, "--force"))
    assert init(file, "--force", "--label", "label")[0].data.columns.label == "label"


def test_an_output_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    file = table(tmp_path, {"text": text_of, "label": label})
    (tmp_path / "recipe.yaml").write_text("mine", encoding="utf-8")
    error = refusal(file)
    assert error.exit_code == 78 and "--force" in str(error)
    assert init(file, "--force")[0].name == "rows"
    assert ".yaml" in str(refusal(file, "--output", str(tmp_path / "recipe.txt")))
    assert "a folder that exists" in str(refusal(file, "--output", str(tmp_path / "away" / "recipe.yaml")))


def test_names_that_mean_something_to_yaml_stay_names(tmp_path: Path) -> None:
    columns = {"a: #b": text_of, "yes": label}
    recipe, _ = init(table(tmp_path, columns, "Token data #1.csv"), "--label", "yes")
    assert (recipe.data.columns.text, recipe.data.columns.label) == ("a: #b", "yes")
    assert recipe.name == "data-1", "a name cannot begin with `token`"


@pytest.mark.slow
def test_a_person_at_a_terminal_is_asked(tmp_path: Path) -> None:
    table(tmp_path, {"text": text_of, "category": label, "sentiment": lambda i: label(i // 2)})
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as keyboard:
        asked = subprocess.Popen(
            [sys.executable, "-m", "kubetune", "init", "rows.csv"],
            cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        os.close(theirs)
        keyboard.write(b"9\n2\n")
        said, _ = asked.communicate(timeout=120)
    assert asked.returncode == 0, said
    assert "Columns 'category', 'sentiment' could each be the label." in said and "a number from 1 to 2" in said
    assert load_recipe(str(tmp_path / "recipe.yaml")).data.columns.label == "sentiment"


def test_labels_that_are_whole_numbers_are_said_to_have_no_order(tmp_path: Path) -> None:
    file = table(tmp_path, {"text": text_of, "label": lambda number: number % 5})
    _, said = init(file)
    assert "taken for 5 classes without an order" in said and "task.problem=regression" in said

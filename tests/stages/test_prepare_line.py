"""What `prepare` says of the data in one line and in its report: splits, classes without rows, unknown tokens."""

from typing import Any

import numpy as np
import pytest

import toys
from kubetune.cli.run import ShownRun
from kubetune.config.load import parse_recipe
from kubetune.errors import DataError
from kubetune.evaluation.facts import data_facts
from kubetune.execution.adopt import StageResult
from kubetune.plan import call_of
from kubetune.storage.commit_record import Commit
from prepared_toys import RECIPE


def of_class(label: str, count: int, seed: int) -> list[dict[str, str]]:
    return [{"text": f"{row['text']} {label}", "label": label} for row in toys.toy_rows(count, seed)]


def test_the_line_tells_what_became_of_the_rows(prepare: Any) -> None:
    rows: list[dict[str, Any]] = [*of_class("good", 100, 1), *of_class("bad", 100, 2), *of_class("odd", 4, 3)]
    rows += [rows[0], rows[1], {"text": rows[2]["text"], "label": "bad"}, {"text": "the", "label": "nan"}]
    train, rest = rows, of_class("good", 20, 5) + of_class("bad", 20, 6)
    made = prepare({"train": train, "validation": rest[::2], "test": rest[1::2]}, "data.labels=[good, bad, odd, never]")
    assert made.report["line"] == (
        "248 rows read; 1 rejected (missing-label 1); removed from train 2 duplicates and 2 with conflicting labels; "
        "train 203, validation 20, test 20; 4 classes; without rows never; fewer than 10 rows in train odd (4); "
        "absent from validation odd; absent from test odd; unknown tokens 0.0 %; truncated 0.0 % of train"
    )
    assert made.notes[-1] == f"data: {made.report['line']}"
    assert made.result.facts["data"] == made.document["line"] == made.report["line"]
    assert f"<p>{made.report['line']}.</p>" in (made.folder / "data_report.html").read_text(encoding="utf-8")
    assert made.report["classes"] == {
        "empty": ["never"],
        "rare": {"odd": 4},
        "absent": {"validation": ["odd"], "test": ["odd"]},
        "rare_below": 10,
    }
    few = prepare({"train": train, "validation": rest[::2], "test": rest[1::2]}, "data.rare_class_rows=4")
    assert few.report["classes"]["rare"] == {}


def test_a_class_of_four_rows_is_used_and_named(prepare: Any) -> None:
    rows = [*of_class("good", 96, 1), *of_class("bad", 100, 2), *of_class("odd", 4, 3)]
    made = prepare({"all": rows}, "data.splits={validation: 0.1, test: 0.1}")
    assert made.report["rows"]["splits"] == {"train": 160, "validation": 20, "test": 20}
    assert made.report["classes"]["rare"] == {"odd": 4}
    assert "absent from test odd" in made.report["line"]


def test_one_class_of_four_rows_is_refused_for_being_one(prepare: Any) -> None:
    with pytest.raises(DataError, match="Train holds only the class 'odd': a classifier needs rows of at least two"):
        prepare({"all": of_class("odd", 4, 3)}, "data.splits={validation: 0.1, test: 0.1}")


def test_a_share_that_is_no_row_is_said(prepare: Any) -> None:
    rows = [{"text": text, "label": text} for text in ("good", "bad") for _ in range(30)]
    with pytest.raises(DataError, match=r"Split validation has no rows \(a share of 0.2 of 60 rows with 2 different"):
        prepare({"all": rows})


def test_tokens_that_the_tokenizer_does_not_know_are_counted_and_refused(prepare: Any) -> None:
    rows = [
        {**row, "text": f"{row['text']} \u0436" if n % 4 == 0 else row["text"]}
        for n, row in enumerate(toys.toy_rows(100))
    ]
    made = prepare({"all": rows})
    words = sum(row["length"] - 2 for row in made.rows["train"])
    unknown = sum("\u0436" in row["text"] for row in made.rows["train"])
    found = made.report["unknown_tokens"]["train"]
    assert found == {"tokens": words, "unknown": unknown, "share": round(unknown / words, 6)}
    assert made.result.metrics["unknown_share_train"] == found["share"] > 0
    foreign = [{**row, "text": f"\u043f\u0440\u0438\u0432\u0435\u0442 {row['text'][:9]}"} for row in rows]
    with pytest.raises(
        DataError, match=r"are unknown to the tokenizer, more than data.max_unknown_share=0.2"
    ) as caught:
        prepare({"all": foreign})
    assert (caught.value.exit_code, caught.value.rule) == (65, "unknown-tokens")
    assert prepare({"all": foreign}, "data.max_unknown_share=1").report["unknown_tokens"]["train"]["share"] > 0.2


def test_the_evaluation_report_repeats_it() -> None:
    dataset = {
        "splits": {"train": 2}, "labels": ["a", "b"], "label_counts": {"train": [1, 1]}, "cleaning": [],
        "max_length": 8, "line": "2 rows read", "said": ["Column 'label' holds bytes, read as UTF-8."],
    }  # fmt: skip
    facts = data_facts(dataset, np.array([3, 4]), {"truncated": 0})["facts"]
    assert facts["Rows"] == "2 rows read"
    assert facts["Cells"] == "Column 'label' holds bytes, read as UTF-8."


def test_an_adopted_preparation_tells_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    tell = ShownRun([]).tell
    commit = Commit(run="toy-1", stage="prepare", key="k", facts={"data": "2 rows read"})
    call = call_of("prepare", parse_recipe(RECIPE), "toy-2", None)
    tell(call, StageResult("adopted", commit, source="toy-1"))
    assert capsys.readouterr().out.splitlines()[1] == "  data: 2 rows read"
    tell(call, StageResult("ran", commit))
    assert "2 rows read" not in capsys.readouterr().out


def test_rows_by_language_are_said_where_a_column_tells_it(prepare: Any) -> None:
    rows = [{**row, "language": "de" if number % 3 else "en"} for number, row in enumerate(toys.toy_rows(90, 1))]
    rows[0]["language"] = None  # type: ignore[assignment]
    made = prepare({"all": rows}, "data.columns.keep=[language]")
    said = "Rows by language: de 60, en 29, (missing) 1; each is a slice of the report unless evaluation.slices says"
    assert any(note.startswith(said) for note in made.notes)
    assert not any("by language" in note for note in prepare({"all": rows}).notes)

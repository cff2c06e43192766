"""The body of `prepare` for rows of two texts that are read one by one."""

from collections.abc import Callable
from typing import Any

import pytest

from kubetune.errors import DataError
from prepared_toys import SPLITS, Prepared

SCORED = ("task={kind: feature-extraction, problem: scored-pairs}", "data.columns.label=score")
PAIRS = ("task={kind: feature-extraction}", "data.columns.label=null")


def scored(count: int) -> list[dict[str, Any]]:
    return [{"sentence1": f"day a{n}", "sentence2": f"film b{n}", "score": str(1 + n % 5)} for n in range(count)]


@pytest.mark.parametrize(
    ("override", "least", "sentence"),
    [
        ("data.score_range=[1, 5]", 0.0, "Scores from 1 to 5 are similarities from 0 to 1."),
        ("data.score_range=[0, 5]", 0.2, "Scores from 0 to 5 are similarities from 0 to 1."),
        (
            None,
            0.0,
            "Scores from 1 to 5, the least and most of train, are similarities from 0 to 1: data.",
        ),
    ],
)
def test_scores_become_similarities(
    prepare: Callable[..., Prepared], override: str | None, least: float, sentence: str
) -> None:
    made = prepare({"all": scored(60)}, *SCORED, *([override] if override else []))
    rows = [row for split in SPLITS for row in made.rows[split]]
    assert len(rows) == 60
    assert min(row["label"] for row in rows) == pytest.approx(least)
    assert max(row["label"] for row in rows) == 1.0
    assert any(sentence in decision for decision in made.report["said"])
    first = rows[0]
    ids, sides = first["input_ids"], first["sides"]
    assert sides == sorted(sides)
    for side in (0, 1):
        text = [number for number, of in zip(ids, sides, strict=True) if of == side]
        assert (text[0], text[-1]) == (2, 3)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [("9", "9 is not from 1 to 5"), ("inf", "score-not-finite: inf"), ("much", "score-malformed: 'much'")],
)
def test_a_score_that_is_none_is_named(prepare: Callable[..., Prepared], cell: str, reason: str) -> None:
    rows = scored(20)
    rows[3]["score"] = cell
    with pytest.raises(DataError, match=reason):
        prepare({"all": rows}, *SCORED, "data.score_range=[1, 5]", "data.max_reject_share=0.0")


def test_one_score_is_no_range(prepare: Callable[..., Prepared]) -> None:
    with pytest.raises(DataError, match=r"Column 'score' is 3 in every row.* data\.score_range"):
        prepare({"all": [{**row, "score": "3"} for row in scored(20)]}, *SCORED)


def test_the_scale_is_trains_and_scores_beyond_it_are_measured_as_they_are(prepare: Callable[..., Prepared]) -> None:
    held_out = [{"sentence1": f"sun a{n}", "sentence2": f"sea b{n}", "score": str(n)} for n in range(9)]
    made = prepare({"train": scored(30), "validation": held_out[:4], "test": held_out[4:]}, *SCORED)
    labels = {split: sorted(row["label"] for row in made.rows[split]) for split in SPLITS}
    assert (labels["train"][0], labels["train"][-1]) == (0.0, 1.0)
    assert labels["validation"] == [-0.25, 0.0, 0.25, 0.5] and labels["test"] == [0.75, 1.0, 1.25, 1.5, 1.75]
    assert any("train" in said and "4 of validation and test lie beyond" in said for said in made.report["said"])
    other = [{**row, "score": "900"} for row in held_out[4:]]
    again = prepare({"train": scored(30), "validation": held_out[:4], "test": other}, *SCORED)
    assert sorted(row["label"] for row in again.rows["train"]) == labels["train"], "nothing of test is in train"


def test_pairs_that_share_a_text_stay_in_one_split(prepare: Callable[..., Prepared]) -> None:
    rows = [{"anchor": f"day a{n}", "positive": f"film a{n + shift}"} for n in range(0, 120, 3) for shift in (0, 1, 2)]
    rows += [{"anchor": f"nice a{n}", "positive": f"film a{n}"} for n in range(0, 120, 3)]
    made = prepare({"all": rows}, *PAIRS, "data.group_by=either")
    places: dict[str, set[str]] = {}
    for split in SPLITS:
        for row in made.rows[split]:
            assert row["label"] is None, "there are no hard negatives"
            for text in (row["text"], row["text_pair"]):
                places.setdefault(text, set()).add(split)
    assert all(len(found) == 1 for found in places.values())
    assert made.document["splits"]["train"] > made.document["splits"]["test"] > 0
    assert "pairs of train" in made.report["line"]


def triplets(count: int) -> list[dict[str, Any]]:
    return [
        {"anchor": f"day a{n}", "positive": f"film a{n}", "negative": f"  nice\u00a0food a{n}"} for n in range(count)
    ]


def test_a_hard_negative_is_cleaned_and_stands_behind_the_texts_of_its_row(prepare: Callable[..., Prepared]) -> None:
    made = prepare({"all": triplets(60)}, *PAIRS, "data.columns.negative=negative")
    rows = [row for split in SPLITS for row in made.rows[split]]
    for row in rows:
        number = row["text"].rpartition(" ")[2]
        assert row["label"] == f"nice food {number}" and set(row["sides"]) == {0, 1, 2}
        first, last = row["sides"].index(2), len(row["sides"])
        assert (row["input_ids"][first], row["input_ids"][-1], row["length"]) == (2, 3, last)
    assert "each with a negative" in made.report["line"]
    without = prepare({"all": triplets(60)}, *PAIRS)
    assert all(set(row["sides"]) == {0, 1} for row in without.rows["train"])


@pytest.mark.parametrize(
    ("negative", "reason", "shown"),
    [
        ("Film  A3", "negative-is-own", "is the row's own anchor or positive"),
        ("day a3", "negative-is-own", "is the row's own anchor or positive"),
        ("\u200b ", "negative-missing", "none for 'day a3'"),
        (None, "negative-missing", "none for 'day a3'"),
    ],
)
def test_a_negative_that_is_none_is_rejected_counted_and_shown(
    prepare: Callable[..., Prepared], negative: str | None, reason: str, shown: str
) -> None:
    rows = triplets(40)
    rows[3]["negative"] = negative
    made = prepare({"all": rows}, *PAIRS, "data.columns.negative=negative")
    assert made.report["rejects"][reason]["rows"] == 1
    assert shown in made.report["rejects"][reason]["examples"][0]
    with pytest.raises(DataError, match=rf"{reason}: .*"):
        prepare({"all": rows}, *PAIRS, "data.columns.negative=negative", "data.max_reject_share=0.0")


def test_a_pair_with_another_negative_is_a_duplicate_and_no_conflict(prepare: Callable[..., Prepared]) -> None:
    rows = triplets(40)
    rows += [{**row, "negative": f"bad {row['negative']}"} for row in rows[:20]]
    made = prepare({"all": rows}, *PAIRS, "data.columns.negative=negative")
    assert sum(made.document["splits"].values()) < 60
    kept = prepare({"all": rows}, *PAIRS, "data.columns.negative=negative", "data.duplicates=keep")
    assert sum(kept.document["splits"].values()) == 60


def test_a_column_of_negatives_that_is_not_there_is_named_by_its_key(prepare: Callable[..., Prepared]) -> None:
    with pytest.raises(DataError, match=r"no column 'negativ', which data.columns.negative names: .*'negative'"):
        prepare({"all": triplets(20)}, *PAIRS, "data.columns.negative=negativ")

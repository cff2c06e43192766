"""The body of `prepare`: splits, duplicates, conflicts, limits, labels, the data report, and each refusal."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import toys
from kubetune.config.load import parse_recipe
from kubetune.config.recipe import view
from kubetune.errors import ConfigError, DataError, InterruptedRunError
from kubetune.stages import BY_NAME
from kubetune.stages.prepare import run
from prepared_toys import RECIPE, SPLITS

WEAK = "data={columns: {label: null}, source: {kind: files, paths: {all: r.csv}}, splits: {validation: 0.2, test: 0.3}}"
Rows = Sequence[dict[str, Any]]


def labelled(texts: Iterable[str], label: Any) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text in texts]


def test_a_pool_is_split_by_share_stratified_and_disjoint(prepare: Any) -> None:
    skewed = labelled((f"good {n}" for n in range(300)), "positive") + labelled((f"bad {n}" for n in range(100)), "neg")
    made = prepare({"all": skewed})
    assert {split: len(made.rows[split]) for split in SPLITS} == {"train": 200, "validation": 80, "test": 120}
    assert made.document["label_counts"] == {"train": [50, 150], "validation": [20, 60], "test": [30, 90]}
    texts = [set(made.texts(split)) for split in SPLITS]
    assert not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])
    assert set.union(*texts) == {row["text"] for row in skewed}
    assert made.document["labels"] == ["neg", "positive"]
    assert made.result.metrics["rows_train"] == 200


@pytest.mark.parametrize("seed", range(4))
def test_the_split_follows_seed_and_content_and_not_the_order(prepare: Any, seed: int) -> None:
    rows = toys.toy_rows(200, seed)
    made = prepare({"all": rows}, f"data.splits.seed={seed}")
    turned = prepare({"all": rows[::-1]}, f"data.splits.seed={seed}")
    assert {split: sorted(made.texts(split)) for split in SPLITS} == {
        split: sorted(turned.texts(split)) for split in SPLITS
    }
    other = prepare({"all": rows}, f"data.splits.seed={seed + 1}")
    assert set(other.texts("test")) != set(made.texts("test"))


def test_two_executions_give_the_same_bytes(prepare: Any) -> None:
    rows = [*toys.toy_rows(230), *toys.toy_rows(20), {"text": None, "label": "positive"}]
    overrides = ("data.limit=150", "data.cleaning=[html, unicode-nfc, urls, mentions, whitespace]")
    first, second = prepare({"all": rows}, *overrides), prepare({"all": rows}, *overrides)
    assert first.digests() == second.digests()
    assert {"dataset.json", "data_report.json", "data_report.html", "rejects.parquet"} < set(first.digests())


def test_the_columns_are_those_of_the_format(prepare: Any, toy_model: Path) -> None:
    rows = [{**row, "text": f"  {row['text']} ", "place": n % 3} for n, row in enumerate(toys.toy_rows(60))]
    made = prepare({"all": rows}, "data.columns.keep=[place]", "model.max_length=8")
    schema = pq.read_schema(made.folder / "train.parquet")
    assert {field.name: str(field.type) for field in schema} == {
        "row_id": "string",
        "raw_text": "string",
        "text": "string",
        "label": "int32",
        "input_ids": "list<element: int32>",
        "length": "int32",
        "truncated": "bool",
        "column_place": "string",
    }
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(toy_model, local_files_only=True)
    whole = [row for split in SPLITS for row in made.rows[split]]
    for row in whole:
        assert row["raw_text"] == f"  {row['text']} "
        assert row["input_ids"] == tokenizer(row["text"], truncation=True, max_length=8)["input_ids"]
        assert row["length"] == len(row["input_ids"]) <= 8
        assert row["truncated"] == (len(tokenizer(row["text"])["input_ids"]) > 8)
    assert len({row["row_id"] for row in whole}) == 60
    assert {row["column_place"] for row in whole} == {"0", "1", "2"}
    assert made.report["truncation"]["train"]["rows"] == sum(row["truncated"] for row in made.rows["train"]) > 0


def test_a_rows_identity_is_its_content_and_survives_other_rows(prepare: Any) -> None:
    rows = toys.toy_rows(80)
    few, many = prepare({"all": rows}), prepare({"all": [*toys.toy_rows(40, seed=9), *rows]})
    of = {row["text"]: row["row_id"] for split in SPLITS for row in many.rows[split]}
    assert all(of[row["text"]] == row["row_id"] for split in SPLITS for row in few.rows[split])


@pytest.fixture
def typed_tokenizer(tmp_path: Path, toy_model: Path) -> Path:
    """The toy tokenizer, but it makes token types, as those of BERT do."""
    folder = tmp_path / "typed"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes((toy_model / "tokenizer.json").read_bytes())
    config = json.loads((toy_model / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_token_types_that_are_all_zero_are_not_stored(prepare: Any, typed_tokenizer: Path) -> None:
    assert "token_type_ids" not in prepare({"all": toys.toy_rows(60)}, tokenizer=typed_tokenizer).rows["train"][0]


def test_pairs_keep_both_texts_and_their_token_types(prepare: Any, typed_tokenizer: Path) -> None:
    rows = [{**row, "other": f"the {n}"} for n, row in enumerate(toys.toy_rows(60))]
    pair = ("task.kind=pair-classification", "data.columns.text_pair=other")
    made = prepare({"all": rows}, *pair, tokenizer=typed_tokenizer)
    row = made.rows["train"][0]
    assert row["raw_text_pair"] == row["text_pair"]
    assert row["text_pair"].startswith("the ")
    assert set(row["token_type_ids"]) == {0, 1}
    assert len(row["token_type_ids"]) == row["length"]


def test_given_splits_are_kept_and_a_missing_one_is_carved_from_train(prepare: Any) -> None:
    train, test = toys.toy_rows(100), toys.toy_rows(30, seed=5)
    test = [row for row in test if row not in train]
    made = prepare({"train": train, "test": test})
    assert made.texts("test") == [row["text"] for row in test]
    assert len(made.rows["validation"]) == 20
    assert len(made.rows["train"]) == 80


def test_train_alone_loses_its_duplicates(prepare: Any) -> None:
    base = toys.toy_rows(60)
    twice = [{**row, "text": f" {row['text'].upper()}  "} for row in base[:4]]
    validation = [*toys.toy_rows(20, seed=3), *base[10:13], base[10]]
    test = [*toys.toy_rows(20, seed=4), base[20]]
    made = prepare({"train": [*base, *twice], "validation": validation, "test": test})
    assert made.report["rows"]["removed_from_train"] == {
        "duplicate-of-validation": 3,
        "duplicate-of-test": 1,
        "conflicting-labels": 0,
        "duplicate-in-train": 4,
    }
    assert len(made.rows["train"]) == 56
    assert len(made.rows["validation"]) == 24
    assert len(made.rows["test"]) == 21
    assert made.report["left"]["duplicates_left"] == {"train": 0, "validation": 1, "test": 0}
    assert made.report["left"]["shared_texts_left"]["train-validation"] == 0
    left = [(row["row"], row["reason"]) for row in made.rejects if row["split"] == "train"]
    assert sorted(left) == sorted(
        [(n, "duplicate-of-validation") for n in (10, 11, 12)]
        + [(20, "duplicate-of-test")]
        + [(n, "duplicate-in-train") for n in (60, 61, 62, 63)]
    )


def test_kept_duplicates_are_reported(prepare: Any) -> None:
    base = toys.toy_rows(60)
    made = prepare({"train": [*base, base[0]], "validation": base[:20], "test": base[20:40]}, "data.duplicates=keep")
    assert len(made.rows["train"]) == 61
    assert made.report["left"]["duplicates_left"]["train"] == 1
    assert made.report["left"]["shared_texts_left"] == {
        "train-test": 20,
        "train-validation": 21,
        "validation-test": 0,
    }
    assert len({row["row_id"] for row in made.rows["train"]}) == 61


def test_equal_texts_never_straddle_a_split_that_we_make(prepare: Any) -> None:
    rows = [row for row in toys.toy_rows(200) for _ in range(2)]
    made = prepare({"all": rows}, "data.duplicates=keep")
    assert made.report["left"]["shared_texts_left"] == {"train-test": 0, "train-validation": 0, "validation-test": 0}


def test_a_text_repeated_hundreds_of_times_is_not_what_is_measured(prepare: Any) -> None:
    for seed in range(3):
        rows = [*toys.toy_rows(200), *labelled(["nice viral text"] * 50, "positive")]
        made = prepare({"all": rows}, f"data.splits.seed={seed}")
        assert "nice viral text" not in made.texts("test") + made.texts("validation")


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("drop", []),
        ("majority", [("clear", "negative")]),
        ("first", [("clear", "positive"), ("tie", "negative")]),
    ],
)
def test_conflicting_labels_follow_the_rule(prepare: Any, rule: str, kept: list[tuple[str, str]]) -> None:
    conflicts = [("clear", "positive"), ("tie", "negative"), ("Clear", "negative"), ("clear ", "negative")]
    train = [{"text": text, "label": label} for text, label in [*conflicts, ("tie", "positive")]]
    other = {"validation": toys.toy_rows(10, seed=1), "test": toys.toy_rows(10, seed=2)}
    made = prepare({"train": [*train, *toys.toy_rows(40)], **other}, f"data.conflicts={rule}")
    found = [(row["text"].lower().strip(), toys.LABELS[row["label"]]) for row in made.rows["train"]]
    assert [pair for pair in found if pair[0] in {"clear", "tie"}] == kept
    assert made.report["rows"]["removed_from_train"]["conflicting-labels"] + len(found) >= 40


def test_conflicting_labels_can_be_kept(prepare: Any) -> None:
    conflicts = [{"text": "same", "label": label} for label in toys.LABELS]
    made = prepare({"all": [*toys.toy_rows(40), *conflicts * 9]}, "data.conflicts=keep", "data.duplicates=keep")
    assert made.report["left"]["conflicts_left"]["train"] == 18


def test_conflicting_labels_can_be_refused(prepare: Any) -> None:
    conflicts = [{"text": "same", "label": label} for label in toys.LABELS]
    with pytest.raises(DataError, match=r"Train holds 1 texts with more than one label \(18 rows\)") as error:
        prepare({"all": [*toys.toy_rows(60), *conflicts * 9]}, "data.conflicts=refuse")
    assert (error.value.rule, error.value.exit_code) == ("conflicting-labels", 65)


def test_a_limit_keeps_the_proportions(prepare: Any) -> None:
    skewed = labelled((f"good {n}" for n in range(300)), "positive") + labelled((f"bad {n}" for n in range(100)), "neg")
    made = prepare({"all": skewed}, "data.limit=100")
    counts = made.document["label_counts"]
    assert sum(map(sum, counts.values())) == 100
    assert [sum(counts[split]) for split in SPLITS] == pytest.approx([50, 20, 30], abs=1)
    assert [counts[split][0] for split in SPLITS] == pytest.approx([12.5, 5, 7.5], abs=0.5)
    assert made.report["rows"]["left_out_by_limit"] == 300
    whole = prepare({"all": skewed})
    assert all(set(made.texts(split)) <= set(whole.texts(split)) for split in SPLITS)


def test_labels_may_be_numbers_of_the_listed_names(prepare: Any) -> None:
    rows = [{**row, "label": toys.LABELS.index(row["label"])} for row in toys.toy_rows(60)]
    listed = "data.labels=[negative, positive]"
    by_number = prepare({"all": rows}, listed)
    as_text = prepare({"all": [{**row, "label": str(row["label"])} for row in rows]}, listed)
    as_float = prepare({"all": [{**row, "label": float(row["label"])} for row in rows]}, listed)
    by_name = prepare({"all": toys.toy_rows(60)}, listed)
    for made in (by_number, as_text, as_float):
        assert made.document["labels"] == ["negative", "positive"]
        answer = {row["text"]: row["label"] for split in SPLITS for row in by_name.rows[split]}
        assert {row["text"]: row["label"] for split in SPLITS for row in made.rows[split]} == answer


def test_class_names_of_the_source_name_its_numbers(prepare: Any) -> None:
    rows = [{**row, "label": toys.LABELS.index(row["label"])} for row in toys.toy_rows(60)]
    source = {"class_names": {"label": ["bad", "good"]}}
    assert prepare({"all": rows}, source=source).document["labels"] == ["bad", "good"]
    turned = prepare({"all": rows}, "data.labels=[good, bad]", source=source)
    good = {row["text"] for row in toys.toy_rows(60) if row["label"] == "positive"}
    assert {row["text"] for split in SPLITS for row in turned.rows[split] if row["label"] == 0} == good


def test_numbers_without_names_are_sorted_as_numbers(prepare: Any) -> None:
    rows = [{"text": f"text {n}", "label": n % 12} for n in range(240)]
    assert prepare({"all": rows}).document["labels"] == [str(n) for n in range(12)]


def test_weak_labels_label_unlabelled_text(prepare: Any) -> None:
    rows = [{"text": f"{start} {n}"} for n in range(30) for start in ("I love it", "I hate it", "the day")]
    made = prepare({"all": rows}, "data.columns.label=null", "data.weak_labels={kind: vader}")
    assert made.document["labels"] == ["negative", "neutral", "positive"]
    for row in made.rows["train"]:
        assert row["label"] == {"I hate": 0, "the da": 1, "I love": 2}[row["text"][:6]]


def test_rejects_are_named_with_their_places(prepare: Any) -> None:
    rows: list[dict[str, Any]] = list(toys.toy_rows(100))
    rows[3] = {"text": "nul \x00 here", "label": "positive"}
    rows[5] = {"text": "half \ufffd pair", "label": "positive"}
    rows[7] = {"text": None, "label": "positive"}
    rows[9] = {"text": " \t", "label": "positive"}
    rows[11] = {"text": "x" * 501, "label": "positive"}
    rows[13] = {"text": "no label", "label": None}
    rows[15] = {"text": "odd label", "label": "<b>mixed</b>"}
    rows[17] = {"text": "\u200b\ufeff\u2060", "label": "positive"}
    overrides = ("data.max_characters=500", "data.max_reject_share=0.08", "data.labels=[negative, positive]")
    made = prepare({"all": rows}, *overrides, source={"surrogates": 1})
    reasons = {
        3: "nul-character",
        5: "lone-surrogate",
        7: "missing-text",
        9: "blank-text",
        17: "blank-text",
        11: "too-long",
        13: "missing-label",
        15: "unknown-label",
    }
    rejected = {row["row"]: row["reason"] for row in made.rejects}
    assert rejected == reasons
    assert made.report["rejects"]["too-long"] == {"rows": 1, "first": ["all:11"]}
    assert made.report["unknown_labels"] == {"<b>mixed</b>": 1}
    assert made.report["rows"]["rejected"] == 8
    assert sum(map(len, made.rows.values())) == 92
    with pytest.raises(DataError, match="8 of 100 rows were rejected") as error:
        prepare({"all": rows}, *overrides, "data.max_reject_share=0.07", source={"surrogates": 1})
    message = str(error.value)
    assert "nul-character 1" in message
    assert "row 3 of all" in message
    assert "Unknown labels: '<b>mixed</b>'; allowed are negative, positive" in message


def test_every_row_of_the_source_is_accounted_for(prepare: Any) -> None:
    rows = [
        *toys.toy_rows(150),
        *toys.toy_rows(30),
        *labelled(["same"] * 4, "positive"),
        *labelled(["same"], "negative"),
    ]
    rows[0] = {"text": None, "label": "positive"}  # type: ignore[dict-item]
    report = prepare({"all": rows}, "data.limit=90").report["rows"]
    left = sum(report["removed_from_train"].values()) + report["rejected"] + report["left_out_by_limit"]
    assert left + sum(report["splits"].values()) == report["total"] == len(rows)


def test_a_split_without_labels_is_reported_as_not_used(prepare: Any) -> None:
    made = prepare({"train": toys.toy_rows(120), "unsupervised": [{"text": "so what", "label": -1}] * 7})
    assert made.report["rows"]["unused"] == {"unsupervised": 7}
    page = (made.folder / "data_report.html").read_text(encoding="utf-8")
    assert "not read: split unsupervised" in page
    assert prepare({"all": toys.toy_rows(120)}).report["rows"]["unused"] == {}


def test_ten_megabytes_in_one_row_are_rejected_and_the_rest_goes_on(prepare: Any) -> None:
    rows = [*toys.toy_rows(60), {"text": "so good " * 1_300_000, "label": "positive"}]
    made = prepare({"all": rows})
    assert made.report["rejects"] == {"too-long": {"rows": 1, "first": ["all:60"]}}


def test_the_page_is_self_contained_and_escapes_the_data(prepare: Any) -> None:
    evil = "<script>alert(1)</script> \x1b[31mred \u202egnirts good" + " y" * 300
    rows = [{"text": evil, "label": "positive"}, *toys.toy_rows(60)]
    names = {"positive": "<img src=x onerror=alert(2)>"}
    rows = [{**row, "label": names.get(row["label"], row["label"])} for row in rows]
    made = prepare({"train": rows, "validation": rows[20:40], "test": rows[40:]}, "data.duplicates=keep")
    page = (made.folder / "data_report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; [31mred gnirts good" in page
    assert "<script" not in page
    assert "<img" not in page
    assert not {"\x1b", "\u202e"} & set(page)
    assert "http://" not in page
    assert "https://" not in page
    assert max(len(text) for texts in made.report["examples"].values() for text in texts) <= 200


def test_the_report_measures_padding_and_lengths(prepare: Any) -> None:
    made = prepare({"all": toys.toy_rows(240)})
    lengths = sorted(row["length"] for row in made.rows["train"])
    assert made.report["lengths"]["train"]["max"] == lengths[-1]
    assert made.report["lengths"]["train"]["p50"] == lengths[(len(lengths) - 1) // 2]
    padding = made.report["padding"]
    assert 1.0 <= padding["grouped"] < padding["random"] < padding["max_length"]
    assert padding["max_length"] == pytest.approx(32 * len(lengths) / sum(lengths), abs=1e-4)


REFUSALS: dict[str, tuple[dict[str, Any], tuple[str, ...], str, str]] = {
    "missing column": (
        {"all": [{"txt": "a", "label": "b"}]},
        (),
        "missing-column",
        "no column 'text', which data.columns.text names: did you mean 'txt'",
    ),
    "missing kept column": (
        {"all": toys.toy_rows(20)},
        ("data.columns.keep=[place]",),
        "missing-column",
        "no column 'place', which data.columns.keep names: it has text, label",
    ),
    "unknown labels": (
        {"all": toys.toy_rows(40)},
        ("data.labels=[good, bad]",),
        "unknown-label",
        "40 of 40 rows were rejected (unknown-label 40)",
    ),
    "no rows": (
        {"all": pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())})},
        (),
        "empty-source",
        "The source has no rows",
    ),
    "one class only": (
        {"all": labelled((f"text {n}" for n in range(40)), "only")},
        (),
        "one-class",
        "only the class 'only'",
    ),
    "label in test only": (
        {
            "train": toys.toy_rows(40),
            "validation": toys.toy_rows(8, seed=2),
            "test": labelled(["new"], "other") + toys.toy_rows(8, seed=3),
        },
        (),
        "label-only-in-test",
        "Label 'other' has 1 rows in test and none in train",
    ),
    "listed label in validation only": (
        {
            "train": toys.toy_rows(40),
            "validation": labelled(["new"], "other"),
            "test": toys.toy_rows(8, seed=3),
        },
        ("data.labels=[other, negative, positive]",),
        "label-only-in-validation",
        "Label 'other' has 1 rows in validation",
    ),
    "empty split": (
        {"all": toys.toy_rows(40)},
        ("data.splits.test=0.0",),
        "empty-split",
        "Split test has no rows: give rows for it, or a larger data.splits.test",
    ),
    "label column of texts": (
        {"all": [{"text": f"text {n}", "label": f"name {n}"} for n in range(1100)]},
        (),
        "too-many-labels",
        "more than 1000 different values",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_data_is_refused_by_rule(prepare: Any, name: str) -> None:
    raw, overrides, rule, sentence = REFUSALS[name]
    with pytest.raises(DataError) as error:
        prepare(raw, *overrides)
    assert (error.value.exit_code, error.value.rule) == (65, rule)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_tokenizer_that_does_not_load_is_a_configuration_error(tmp_path: Path, prepare: Any) -> None:
    config = view(parse_recipe(RECIPE), BY_NAME["prepare"].sections)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="The tokenizer cannot be loaded"):
        run(config, {"raw": empty, "tokenizer": empty}, {"dataset": empty}, SimpleNamespace())  # type: ignore[arg-type]


def test_a_stop_ends_it_without_an_answer(prepare: Any) -> None:
    with pytest.raises(InterruptedRunError):
        prepare({"all": toys.toy_rows(40)}, stop=True)


@pytest.mark.parametrize("steps", [["lower-case"], ["html", "emoji-spell", "lower-case"], ["lower-case", "emoji-keep"]])
def test_weak_labels_read_the_case_that_cleaning_takes_away(prepare: Any, steps: list[str]) -> None:
    """VADER gives `GREAT` among small letters 0.70 and `great` 0.62, and reads `<3` but not its entity."""
    words = [
        "day",
        "film",
        "food",
        "moon",
        "road",
        "tree",
        "bird",
        "ship",
        "wind",
        "snow",
        "lake",
        "hill",
        "rain",
        "leaf",
    ]
    rows = [{"text": f"The {word} is {praise}"} for word in words for praise in ("GREAT", "great")]
    rows += [{"text": f"The {word} is there"} for word in words]
    done = prepare(
        {"all": rows}, WEAK, "data.weak_labels={positive_from: 0.66, negative_to: 0.1}",
        f"data.cleaning={json.dumps(steps)}", "data.duplicates=keep", "data.conflicts=keep",
    )  # fmt: skip
    assert done.report["rows"]["rejected"] == 0
    labels = done.document["labels"]
    found: dict[str, int] = dict.fromkeys(labels, 0)
    for split in SPLITS:
        for row in done.rows[split]:
            found[labels[row["label"]]] += 1
            assert row["text"] == row["text"].lower()
    assert found == {"negative": 14, "neutral": 14, "positive": 14}

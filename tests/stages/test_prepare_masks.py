"""The body of `prepare` for rows that are texts and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

import mask_toys
from kubetune.errors import ConfigError, DataError
from prepared_toys import SPLITS, Prepared

MASKS = ("task={kind: fill-mask}", "data.columns.label=null")


def rows_of(count: int) -> list[dict[str, str]]:
    return [{"text": f"the day {word} it was {number}"} for number, word in enumerate(mask_toys.WORDS * 9)][:count]


def test_rows_without_labels_are_split_and_masked(prepare: Callable[..., Prepared]) -> None:
    rows = rows_of(60)
    rows += [dict(rows[0]), {"text": "THE day  the it was 0"}, {"text": " "}, {"text": "\U0001f922 \U0001f922"}]
    made = prepare({"all": [{"other": "x", **row} for row in rows]}, *MASKS, "data.max_reject_share=0.5")
    assert made.report["rows"]["rejected"] == 1
    assert made.report["targets"]["heading"] == "Texts"
    assert "texts of train" in made.report["line"]
    assert sum(made.report["out_of_reach"].values()) == 1  # a text of unknown characters has nothing to mask
    assert "labels" not in made.report
    assert (made.document["labels"], made.document["label_counts"]) == ([], {split: [] for split in SPLITS})
    assert made.document["tokens"][4] == "[MASK]"
    seen = [{text.casefold() for text in made.texts(split)} for split in SPLITS]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    for split in SPLITS:
        for row in made.rows[split]:
            assert len(row["shown"]) == len(row["input_ids"])
            assert (row["shown"][0], row["shown"][-1]) == (-100, -100)
    again = prepare({"all": [{"other": "x", **row} for row in rows]}, *MASKS, "data.max_reject_share=0.5")
    assert again.digests() == made.digests()


def test_a_mask_that_stands_in_the_data_is_text(prepare: Callable[..., Prepared]) -> None:
    rows = [*rows_of(40), *({"text": f"a [MASK] day {number} [SEP]"} for number in range(20))]
    made = prepare({"all": rows}, *MASKS)
    ids = [row["input_ids"] for split in SPLITS for row in made.rows[split]]
    assert all(4 not in row and row.count(3) == 1 for row in ids)


def test_a_column_that_is_not_there_is_named(prepare: Callable[..., Prepared]) -> None:
    with pytest.raises(DataError, match="'text'"):
        prepare({"all": [{"body": "a"}, {"body": "b"}]}, *MASKS)


def test_a_tokenizer_without_a_mask_is_refused(
    prepare: Callable[..., Prepared], toy_model: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path / "maskless")
    with pytest.raises(ConfigError, match="The tokenizer has no mask token"):
        prepare({"all": rows_of(20)}, *MASKS, tokenizer=tmp_path / "maskless")

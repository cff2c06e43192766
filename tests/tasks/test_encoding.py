"""Special tokens come from the tokenizer's template alone, whatever somebody writes."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

import architecture_toys as families
from kubetune.tasks import load_task
from kubetune.tasks.encoding import special_ids

TOKENIZERS: dict[str, Callable[[], Any]] = {
    "BERT": families.bert,
    "BERT that parts at blanks": families.whole_words,
    "RoBERTa, BART": families.roberta,
    "GPT-2": families.byte_pairs,
    "T5": families.t5_pieces,
    "XLM-R": families.xlm_pieces,
}
ONE, TWO = load_task("text-classification"), load_task("pair-classification")
LENGTH = 24


@pytest.fixture(scope="module", params=TOKENIZERS.values(), ids=TOKENIZERS.keys())
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """One of each kind, with all its special tokens."""
    return request.param()


def special_in(tokenizer: Any, row: Any) -> list[int]:
    """Special tokens of a row, without what is merely unknown."""
    return [number for number in row["input_ids"] if number in special_ids(tokenizer) - {tokenizer.unk_token_id}]


def written(tokenizer: Any) -> list[str]:
    return [str(tokenizer.decode([number])) for number in sorted(special_ids(tokenizer))]


def test_each_special_token_in_a_text_is_text(tokenizer: Any) -> None:
    template = special_in(tokenizer, ONE.encode(tokenizer, [("we saw it",)], LENGTH).features[0])
    for token in written(tokenizer):
        for text in (f"we {token} saw it", token, f"we{token}saw", f"{token}{token} it", f"{token} \u4e0d {token}"):
            rows = ONE.encode(tokenizer, [(text,), ("we saw it",)], LENGTH).features
            assert special_in(tokenizer, rows[0]) == template, text
            assert rows[1] == ONE.encode(tokenizer, [("we saw it",)], LENGTH).features[0]


def test_a_special_token_that_normalisation_would_make_is_text(tokenizer: Any) -> None:
    wide = {ord(token): ord(token) + 0xFEE0 for token in "<>/[]|"}
    template = special_in(tokenizer, ONE.encode(tokenizer, [("we saw it",)], LENGTH).features[0])
    for token in written(tokenizer):
        rows = ONE.encode(tokenizer, [(f"we {token.translate(wide)} saw it",)], LENGTH).features
        assert special_in(tokenizer, rows[0]) == template, token


@pytest.mark.parametrize("seed", range(20))
def test_lengths_and_cuts_hold_with_special_tokens_in_pairs(seed: int, tokenizer: Any) -> None:
    draw, words = Random(seed), [*families.CORPUS[0].split(), *written(tokenizer), "\u4e0d", "<", "\U0001f600"]
    pairs = [(" ".join(draw.choices(words, k=n)), " ".join(draw.choices(words, k=m))) for n, m in ((3, 9), (30, 2))]
    template = special_in(tokenizer, TWO.encode(tokenizer, [("a", "b")], LENGTH).features[0])
    encoding = TWO.encode(tokenizer, pairs, LENGTH)
    rows, cut = encoding.features, encoding.truncated
    assert [special_in(tokenizer, row) for row in rows] == [template, template]
    assert max(len(row["input_ids"]) for row in rows) <= LENGTH
    assert cut[1]
    assert len(rows[1]["input_ids"]) == LENGTH


def test_what_is_unknown_stays_unknown(tokenizer: Any) -> None:
    rows = ONE.encode(tokenizer, [("we \u4e0d saw it",)], LENGTH).features
    assert (tokenizer.unk_token_id in rows[0]["input_ids"]) == (tokenizer.unk_token is not None)


def test_a_text_without_special_tokens_is_tokenised_as_it_always_was(tokenizer: Any) -> None:
    rows = ONE.encode(tokenizer, [(text,) for text in families.CORPUS], LENGTH).features
    plain = tokenizer(list(families.CORPUS), truncation=True, max_length=LENGTH)
    assert [row["input_ids"] for row in rows] == plain["input_ids"]

"""Spans of characters and tags of words: one way in and out, whatever the tokenizer makes of a text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import architecture_toys as families
from kubetune.tasks.base import IGNORED
from kubetune.tasks.encoding import raw_offsets, special_ids
from kubetune.tasks.entities import Span, first_pieces, representable, spans_of, tags_of, words_of
from kubetune.tasks.token_classification import NO_WORD, TokenClassification, entities

TASK = TokenClassification()
LABELS = ("person", "place")
LONG = 64


def exact(text: str) -> list[tuple[int, int]]:
    """Pieces of a tokenizer that makes a token of each word."""
    return words_of(text, [])


def test_words_are_runs_of_letters_and_single_signs() -> None:
    text = "U.S. and Köln's 12:30"
    assert [text[a:b] for a, b in exact(text)] == [
        "U", ".", "S", ".", "and", "Köln", "'", "s", "12", ":", "30",
    ]  # fmt: skip


def test_a_border_may_lie_between_any_two_letters_of_a_script_without_blanks() -> None:
    text = "我在北京 x"
    assert [text[a:b] for a, b in exact(text)] == ["我", "在", "北", "京", "x"]


def test_words_that_one_token_spans_are_one() -> None:
    assert words_of("we ... go", [(0, 2), (3, 6), (7, 9)]) == [(0, 2), (3, 6), (7, 9)]
    assert words_of("we go", [(0, 2), (2, 5)]) == [(0, 2), (3, 5)]  # a token that begins with a blank joins nothing


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(0, 1)), max_size=5))
def test_spans_of_whole_words_come_back(plan: list[tuple[int, int, int]]) -> None:
    text = " ".join("abcdefghijklmnopqrstuvwxyz"[number % 26] * 3 for number in range(60))
    words, spans, word = exact(text), [], 0
    for gap, size, label in plan:
        word += gap
        spans.append(Span(words[word][0], words[word + size - 1][1], label))
        word += size
    tags = tags_of(words, spans)
    assert [found[:3] for found in spans_of(words, tags, [0.5] * len(words))] == [tuple(span) for span in spans]
    assert all(representable(words, len(words), span) for span in spans)


def test_an_inside_tag_that_continues_nothing_begins_an_entity() -> None:
    words = [(0, 1), (2, 3), (4, 5), (6, 7)]
    found = spans_of(words, [2, 2, 4, 0], [0.9, 0.7, 0.6, 0.9])
    assert [entity[:3] for entity in found] == [(0, 3, 0), (4, 5, 1)]
    assert found[0].score == pytest.approx(0.8)


def test_two_entities_side_by_side_stay_two() -> None:
    words = [(0, 1), (2, 3)]
    spans = [Span(0, 1, 0), Span(2, 3, 0)]
    assert tags_of(words, spans) == [1, 1]
    assert [found[:3] for found in spans_of(words, [1, 1], [1.0, 1.0])] == [tuple(span) for span in spans]


def test_what_no_tag_can_say_is_known() -> None:
    words = exact("anna-lena ran")
    assert representable(words, 4, Span(0, 9, 0))
    assert not representable(words, 4, Span(0, 7, 0))  # ends inside of a word
    assert not representable(words, 3, Span(10, 13, 0))  # cut off


def test_a_word_without_a_token_is_outside_and_moves_no_other() -> None:
    words = [(0, 2), (3, 4), (5, 7)]
    assert first_pieces(words, [(0, 0), (0, 2), (5, 7), (0, 0)]) == [-1, 0, 2, -1]


@given(st.text(alphabet="ab </s>[SEP]", max_size=20), st.data())
def test_offsets_point_into_the_raw_text_where_blanks_were_put_in(raw: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=4))) if len(raw) > 1 else []
    cuts = [cut for cut in cuts if raw[cut - 1] != " " and raw[cut] != " "]
    read = " ".join(raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True))
    places = raw_offsets(raw, read)
    assert len(places) == len(read) + 1
    for number, letter in enumerate(read):
        if letter != " ":
            assert raw[places[number]] == letter
    assert places[-1] == len(raw)


TOKENIZERS = {
    "BERT": families.bert,
    "BERT that parts at blanks": families.whole_words,
    "RoBERTa, BART": families.roberta,
    "GPT-2": families.byte_pairs,
    "T5": families.t5_pieces,
    "XLM-R": families.xlm_pieces,
}


@pytest.fixture(scope="module", params=TOKENIZERS.values(), ids=TOKENIZERS.keys())
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param()


TEXTS = (
    "we saw anna müller in new york",
    "  we saw   anna\tin paris ",
    "anna</s> saw [SEP] paris, <s>we</s> saw it",
    "we saw 😀 anna",
    "naïve anna's paris.",
)
GLUED = TEXTS[2], TEXTS[4]


@pytest.mark.parametrize("text", TEXTS)
def test_answers_of_true_tags_are_the_true_spans(tokenizer: Any, text: str) -> None:
    """With every family's tokenizer: what is taught is what is answered, in characters of the raw text."""
    spans = [
        {"start": text.index(word), "end": text.index(word) + len(word), "label": label}
        for word, label in (("anna", 0), ("paris", 1))
        if word in text
    ]
    encoding = TASK.encode(tokenizer, [(text,)], LONG, [spans])
    (feature,) = encoding.features
    if text in GLUED and tokenizer.tokenize("anna's.") == [tokenizer.unk_token]:
        assert encoding.lost == [2]  # one token of this tokenizer is more than the entity
        return
    assert encoding.lost == [0]
    assert sum(tag != IGNORED for tag in feature["tags"]) == sum(start != NO_WORD for start in feature["starts"])
    logits = np.full((len(feature["tags"]), 1 + 2 * len(LABELS)), -9.0, dtype=np.float32)
    for token, tag in enumerate(feature["tags"]):
        logits[token, max(tag, 0)] = 9.0
    (answer,) = TASK.predictions([logits], encoding, [(text,)], LABELS)
    assert [(found["start"], found["end"], found["entity_group"]) for found in answer] == [
        (span["start"], span["end"], LABELS[span["label"]]) for span in spans
    ]
    assert [found["word"] for found in answer] == [text[span["start"] : span["end"]] for span in spans]
    special = special_ids(tokenizer)
    at_a_word = [token for token, start in zip(feature["input_ids"], feature["starts"], strict=True) if start >= 0]
    assert not set(at_a_word) & (special - {tokenizer.unk_token_id})


def test_entities_behind_the_cut_are_counted_and_never_answered(tokenizer: Any) -> None:
    text = "we saw it " * 40 + "anna"
    spans = [{"start": len(text) - 4, "end": len(text), "label": 0}]
    encoding = TASK.encode(tokenizer, [(text,)], 16, [spans])
    assert encoding.truncated == [True]
    assert encoding.lost == [1]
    feature = encoding.features[0]
    assert len(feature["input_ids"]) == len(feature["starts"]) == len(feature["tags"]) <= 16


def test_tokens_without_a_word_are_never_asked() -> None:
    feature = {"input_ids": [1, 2, 3], "starts": [-1, 0, -1], "ends": [-1, 4, -1]}
    sure = np.array([[9.0, 0, 0], [0, 9.0, 0], [0, 9.0, 0]], dtype=np.float32)
    assert [found[:3] for found in entities(sure, feature)] == [(0, 4, 0)]


def test_a_tokenizer_without_offsets_is_refused(tmp_path: Path) -> None:
    class Slow:
        is_fast = False

    from kubetune.errors import ConfigError

    with pytest.raises(ConfigError, match="fast tokenizer"):
        TASK.encode(Slow(), [("a",)], 8)  # type: ignore[arg-type]

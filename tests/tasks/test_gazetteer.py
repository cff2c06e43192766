"""The gazetteer: what is an entity in train is answered where it is met again."""

import pyarrow as pa
import pytest

from kubetune.metrics.entities import EntityStatistics
from kubetune.tasks import load_baselines
from kubetune.tasks.baselines.token_classification import found, gazetteer

TRAIN = ["Ada Lovelace met Ada in New York.", "In May, May Sarton wrote; in May it rained.", "New York, new York"]
SPANS = [
    [(0, 12, "person"), (17, 20, "person"), (24, 32, "place")],
    [(8, 18, "person")],
    [(0, 8, "place"), (10, 18, "place")],
]


def test_the_longest_phrase_counts_and_words_are_whole() -> None:
    phrases = gazetteer(TRAIN, SPANS)
    text = "Ada Lovelace and Ada saw Adam in New  York."
    answered = [(text[start:end], label) for start, end, label in found(text, phrases)]
    assert answered == [("Ada Lovelace", "person"), ("Ada", "person"), ("New  York", "place")]


def test_a_word_that_is_mostly_none_is_not_answered() -> None:
    spans = [SPANS[0], [(3, 6, "month"), (8, 18, "person")], SPANS[2]]
    phrases = gazetteer([*TRAIN, "May I? May we? May you?"], [*spans, []])
    assert ("May",) not in phrases
    assert phrases["May", "Sarton"] == "person"
    assert ("May",) in gazetteer(TRAIN[1:2], [[(3, 6, "month"), (8, 18, "person"), (29, 32, "month")]])


def test_the_commonest_type_wins_and_ties_go_by_name() -> None:
    texts = ["Paris", "Paris", "Paris", "Nice", "Nice"]
    spans = [[(0, 5, "place")], [(0, 5, "person")], [(0, 5, "place")], [(0, 4, "place")], [(0, 4, "word")]]
    assert gazetteer(texts, spans) == {("Paris",): "place", ("Nice",): "place"}


def test_nothing_in_train_answers_nothing() -> None:
    assert found("Ada", gazetteer(["Ada"], [[]])) == []
    assert gazetteer(["   "], [[(0, 2, "person")]]) == {}


def test_it_is_measured_on_the_test_rows() -> None:
    names = ("person", "place")

    def table(texts: list[str], spans: list[list[tuple[int, int, str]]]) -> pa.Table:
        cells = [
            [{"start": start, "end": end, "label": names.index(label)} for start, end, label in each] for each in spans
        ]
        kind = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("label", pa.int32())]))
        return pa.table({"text": texts, "label": pa.array(cells, kind)})

    test = table(["Ada was in New York", "Bob slept"], [[(0, 3, "person"), (11, 19, "place")], [(0, 3, "person")]])
    (baseline,) = load_baselines("token-classification")(table(TRAIN, SPANS), test, ("text",), names)
    assert (baseline.name, baseline.heading) == ("gazetteer", "Gazetteer")
    measured = EntityStatistics(names).measure(baseline.outcomes.total())
    assert float(measured["precision"]) == 1.0
    assert float(measured["recall"]) == pytest.approx(2 / 3)
    assert "in 3 train rows" in baseline.description

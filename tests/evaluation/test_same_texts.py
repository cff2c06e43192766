"""Which rows have the same text, and that repeated rows leave every interval as it is."""

import numpy as np
import pyarrow as pa
import pytest

from class_answers import come_to, of_classes, scored
from kubetune.config.evaluation import EvaluationSection
from kubetune.evaluation.assessment import EvaluatedRows, assess
from kubetune.evaluation.intervals import Draws, bootstrap, estimate, estimates
from kubetune.evaluation.kinds import kinds_of
from kubetune.evaluation.predictions import text_groups
from kubetune.evaluation.same_texts import joined_groups, numbered, same_words
from kubetune.metrics.base import Outcomes
from kubetune.metrics.catalogue import CLASSES
from kubetune.metrics.classes import ClassStatistics
from kubetune.tasks.baselines.classes import majority

METRICS = tuple(CLASSES.metrics)


def table(texts: list[str], tokens: list[list[int]], **more: list) -> pa.Table:
    return pa.table({"text": texts, "input_ids": pa.array(tokens, pa.list_(pa.int32())), **more})


def test_a_text_is_told_by_its_words_and_by_what_the_model_reads() -> None:
    texts = ["Good  film", "good film", "café", "cafe", "😂", "😭", "good"]
    tokens = [[1, 2], [1, 3], [4], [4], [0], [0], [1]]
    assert text_groups(table(texts, tokens), ["text"]).tolist() == [0, 0, 1, 1, 2, 2, 3]
    sliced = table(["x", *texts], [[9], *tokens]).slice(1)
    assert text_groups(sliced, ["text"]).tolist() == [0, 0, 1, 1, 2, 2, 3]


def test_a_text_may_be_read_in_windows() -> None:
    texts, windows = ["x", "a b", "a b c", "x"], [[[1, 2], [2, 3]], [[1, 2]], [[1, 2], [2, 4]], [[1, 2], [2, 3]]]
    rows = pa.table({"text": texts, "input_ids": pa.array(windows, pa.list_(pa.list_(pa.int32())))})
    assert text_groups(rows, ["text"]).tolist() == [0, 1, 2, 0]
    alike = rows.set_column(0, "text", pa.array(["u", "v", "w", "x"]))
    assert text_groups(alike.slice(1), ["text"]).tolist() == [0, 1, 2]
    assert text_groups(alike, ["text"]).tolist() == [0, 1, 2, 0]  # the model reads the same in the first and the last


def test_of_a_pair_both_texts_count_and_so_do_token_types() -> None:
    rows = table(["a", "a", "b a"], [[1, 2], [1, 3], [1, 2]], text_pair=["b", "c", "b"])
    assert text_groups(rows, ["text", "text_pair"]).tolist() == [0, 1, 0]  # the first and last read the same
    types = rows.append_column("token_type_ids", pa.array([[0, 1], [0, 1], [0, 0]], pa.list_(pa.int8())))
    assert text_groups(types, ["text", "text_pair"]).tolist() == [0, 1, 2]


def test_what_is_one_text_to_either_model_is_one_observation() -> None:
    assert joined_groups(np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 2])).tolist() == [0, 0, 0, 1, 1]
    assert joined_groups(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).tolist() == []
    assert numbered(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert same_words([("Ａ  b",), ("a B",), ("ab",)]).tolist() == [0, 0, 1]


def test_kinds_are_the_cells_where_no_text_is_repeated_and_give_rows_back() -> None:
    cell = np.array([2, 0, 1, 1, 2, 2])
    plain, own = kinds_of(cell), kinds_of(cell, np.array([5, 3, 0, 1, 2, 4]))
    assert plain.counts.tolist() == own.counts.tolist() == [1, 2, 3]
    draws = np.array([[3, 0, 1], [1, 2, 3]])
    assert np.array_equal(plain.cells(draws), draws)
    assert np.array_equal(own.cells(draws), draws)
    mixed = kinds_of(cell, np.array([0, 1, 1, 2, 0, 3]))  # a text twice in cell 2, one in cells 0 and 1, two single
    assert mixed.texts == 4
    assert mixed.cells(mixed.counts[None]).tolist() == [[1, 2, 3]]
    assert mixed.counts[mixed.touching(np.array([True, False, False]))].tolist() == [1]


@pytest.fixture
def answered(simulate):
    """Return labels, the answers of two systems, and what repeats each row: a function of row numbers."""
    labels, probabilities = simulate(300, 3)
    other = np.roll(probabilities, 40, axis=0)
    systems = {"model": scored(labels, probabilities), "other": scored(labels, other)}

    def take(rows: np.ndarray) -> tuple[np.ndarray, dict[str, Outcomes]]:
        return labels[rows], {name: outcomes.take(rows) for name, outcomes in systems.items()}

    return take


@pytest.mark.parametrize("order", ["in a row", "one after the other"])
def test_repeating_every_row_changes_no_interval(answered, order: str) -> None:
    rows = np.arange(300)
    five = np.repeat(rows, 5) if order == "in a row" else np.tile(rows, 5)
    (_, systems), (_, many), three = answered(rows), answered(five), of_classes(3)
    once = bootstrap(systems, three, Draws(200, 0))
    often = bootstrap(many, three, Draws(200, 0, five))
    naive = bootstrap(many, three, Draws(200, 0))
    for name in systems:
        for metric in METRICS:
            assert often.metrics[name][metric] == pytest.approx(once.metrics[name][metric], abs=1e-12)
            assert naive.metrics[name][metric].std() < 0.6 * once.metrics[name][metric].std()
        assert often.label_f1[name] == pytest.approx(once.label_f1[name], abs=1e-12, nan_ok=True)
    single = estimates(systems["model"], three, METRICS, Draws(200, 0))
    for metric, found in estimates(many["model"], three, METRICS, Draws(200, 0, five)).items():
        assert found.as_dict() == pytest.approx(single[metric].as_dict(), abs=1e-12)


def test_repeating_every_row_changes_nothing_of_what_a_model_is_worth(answered) -> None:
    bars = [{"metric": "accuracy", "at_least": 0.6, "bound": "interval"}]
    section = EvaluationSection.model_validate({"bootstrap_samples": 200, "thresholds": bars, "slices": ["label"]})
    found = []
    for rows in (np.arange(300), np.repeat(np.arange(300), 4)):
        labels, systems = answered(rows)
        known = EvaluatedRows(labels, rows % 9, np.zeros(len(rows), bool), ("a", "b", "c"), texts=rows)
        baselines = [majority(labels, labels, known.names)]
        found.append(assess(known, systems["model"], ClassStatistics(known.names), baselines, section))
    once, often = found
    assert once.verdict == often.verdict
    assert (often.document["rows"], often.document["texts"], often.flat["test_texts"]) == (1200, 300, 300.0)
    for name, value in once.flat.items():
        assert often.flat[name] == pytest.approx(value * (4 if name == "test_rows" else 1), abs=1e-12)
    for one, four in zip(once.document["slices"]["label"], often.document["slices"]["label"], strict=True):
        assert four["accuracy"] == pytest.approx(one["accuracy"], abs=1e-12)
        assert (four["texts"], four["rows"], four["weak"]) == (one["rows"], 4 * one["rows"], one["weak"])


def test_a_slice_of_one_text_that_is_there_often_is_not_called_weak() -> None:
    labels, texts = np.tile([0, 1], 300), np.arange(600)
    texts[:80], labels[:80] = 0, 0
    predictions = labels.copy()
    predictions[:80] = 1
    kinds = {"kind": ["often" if number < 80 else "rest" for number in range(600)]}
    known = EvaluatedRows(labels, labels, np.zeros(600, bool), ("a", "b"), kinds, texts)
    section = EvaluationSection.model_validate({"bootstrap_samples": 100, "slices": ["kind"]})
    parts = assess(known, come_to(labels, predictions, 2), of_classes(2), [], section).document["slices"]["kind"]
    assert [(part["rows"], part["texts"], part["weak"]) for part in parts] == [(520, 520, False), (80, 1, False)]


@pytest.mark.parametrize("times", [1, 5, None], ids=["once", "five times", "geometric"])
def test_intervals_cover_the_truth_however_often_texts_occur(times: int | None) -> None:
    """200 worlds of 200 texts with a true accuracy of 0.8: a 95 % interval of the rows alone holds it in 60 to 75 %."""
    draw, covered = np.random.default_rng(7), 0
    for world in range(200):
        right = draw.random(200) < 0.8
        count = draw.geometric(1 / 3, size=200) if times is None else np.full(200, times)
        texts = np.repeat(np.arange(200), count)
        labels = np.arange(200)[texts] % 2
        predictions = np.where(right[texts], labels, 1 - labels)
        outcomes = come_to(labels, predictions, 2)
        found = estimates(outcomes, of_classes(2), ["accuracy"], Draws(200, world, texts))["accuracy"]
        covered += found.low <= 0.8 <= found.high
    assert 0.89 <= covered / 200 <= 0.985


def test_every_draw_has_whole_texts() -> None:
    """One text of half of the rows: accuracy is near 0 or 1 as it is drawn or not, and never in between by rows."""
    texts = np.repeat([0, 1], 50)
    labels = np.repeat([0, 1], 50)
    outcomes = come_to(labels, np.zeros(100, dtype=np.int64), 2)
    sampled = bootstrap({"model": outcomes}, of_classes(2), Draws(100, 0, texts)).metrics["model"]
    assert set(sampled["accuracy"]) == {0.0, 0.5, 1.0}
    assert estimate(0.5, sampled["accuracy"]).as_dict() == {"value": 0.5, "low": 0.0, "high": 1.0}

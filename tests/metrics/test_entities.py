"""Entity metrics against seqeval 1.2.2 (`mode="strict"`, scheme IOB2), and by hand.

seqeval is the reference and a development package alone. What it says of some generated corpora stands below as well,
so that a change of either is seen; `CORPORA` and `tags` make them again.
"""

import random

import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from kubetune.errors import DataError
from kubetune.metrics.base import Totals
from kubetune.metrics.entities import Entity, EntityStatistics

TYPES = ("LOC", "ORG", "PER", "WORK")
FOUR = EntityStatistics(TYPES)
Texts = list[list[Entity]]


def corpus(seed: int, texts: int, hit: float, types: int, words: int = 12) -> tuple[Texts, Texts]:
    """Return labelled and answered entities, in words; what is missed may have another type or another end."""
    draw = random.Random(seed)
    labelled, answered = Texts(), Texts()
    for _ in range(texts):
        truth, answer, place = list[Entity](), list[Entity](), 0
        while place < words:
            length = draw.randint(1, 3)
            if draw.random() < 0.4 and place + length <= words:
                entity = (place, place + length, draw.choice(TYPES[:types]))
                truth.append(entity)
                fate = draw.random()
                if fate < hit:
                    answer.append(entity)
                elif fate < hit + 0.1:
                    answer.append((place, place + length, draw.choice(TYPES)))
                elif fate < hit + 0.2 and length > 1:
                    answer.append((place, place + length - 1, entity[2]))
            elif draw.random() < 0.05:
                answer.append((place, place + 1, draw.choice(TYPES)))
            place += length
        labelled.append(truth)
        answered.append(answer)
    return labelled, answered


def tags(entities: list[Entity], words: int = 12) -> list[str]:
    """Return what seqeval was given: IOB2 tags."""
    found = ["O"] * words
    for start, end, label in entities:
        found[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return found


CORPORA = {
    "good": ((0, 80, 0.8, 4), (0.75, 0.83422459893, 0.789873417722, 0.790269954136)),
    "poor": ((1, 60, 0.2, 4), (0.476923076923, 0.223021582734, 0.303921568627, 0.304509731754)),
    "two types labelled": ((2, 50, 0.6, 2), (0.792079207921, 0.695652173913, 0.740740740741, 0.497458997459)),
    "three texts": ((3, 3, 0.5, 1), (0.4, 0.5, 0.444444444444, 0.222222222222)),
}
BY_TYPE = {
    "good": (0.78431372549, 0.791208791209, 0.769230769231, 0.816326530612),
    "poor": (0.280701754386, 0.196078431373, 0.423076923077, 0.318181818182),
}


@pytest.mark.parametrize("name", CORPORA)
def test_numbers_are_seqevals(name: str) -> None:
    made, expected = CORPORA[name]
    outcomes = FOUR.outcomes(*corpus(*made))
    found = FOUR.measure(outcomes.total())
    assert [float(found[metric]) for metric in ("precision", "recall", "f1", "macro_f1")] == pytest.approx(expected)
    if name in BY_TYPE:
        assert FOUR.by_label(outcomes.total())["f1"] == pytest.approx(BY_TYPE[name])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.filterwarnings("ignore:.*ill-defined")  # a type that is never answered counts 0 for both
def test_random_corpora_count_as_seqeval_counts_them(seed: int) -> None:
    draw = random.Random(seed)
    labelled, answered = corpus(100 + seed, draw.randint(3, 40), draw.random(), draw.randint(1, 4))
    truth, answers = [list(map(tags, texts)) for texts in (labelled, answered)]
    found = FOUR.measure(FOUR.outcomes(labelled, answered).total())
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    expected = {
        "precision": precision_score(truth, answers, **strict),
        "recall": recall_score(truth, answers, **strict),
        "f1": f1_score(truth, answers, **strict),
        "macro_f1": f1_score(truth, answers, average="macro", **strict),
    }
    assert {name: float(found[name]) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", CORPORA)
def test_what_was_given_to_seqeval_is_what_is_measured(name: str) -> None:
    """Entities come back from their tags, so that both count the same."""
    for entities in (*corpus(*CORPORA[name][0])[0], *corpus(*CORPORA[name][0])[1]):
        written, place, back = tags(entities), 0, []
        while place < len(written):
            end = place + 1
            while end < len(written) and written[end].startswith("I-"):
                end += 1
            if written[place] != "O":
                back.append((place, end, written[place][2:]))
                place = end
            else:
                place += 1
        assert back == sorted(entities)


def test_metrics_by_hand() -> None:
    labelled = [[(0, 3, "PER"), (4, 8, "LOC")], [(0, 3, "PER")], []]
    answered = [[(0, 3, "PER"), (4, 7, "LOC")], [(0, 3, "LOC")], [(2, 5, "PER")]]
    outcomes = FOUR.outcomes(labelled, answered, np.array([1.0, 2.0, 3.0]), np.array([2, 1, 1]))
    found = {name: float(value) for name, value in FOUR.measure(outcomes.total()).items()}
    assert found["precision"] == pytest.approx(1 / 4)
    assert found["recall"] == pytest.approx(1 / 3)
    assert found["f1"] == pytest.approx(2 / 7)
    assert found["macro_f1"] == pytest.approx((2 / 4 + 0) / 2)  # persons 1 of 2 and 2; places 0; others are not there
    assert found["loss"] == pytest.approx(6 / 4)
    assert outcomes.scores == pytest.approx([2 / 4, 0, 0])
    assert outcomes.right.tolist() == [False, False, False]


def test_a_text_without_entities_that_is_left_alone_is_right() -> None:
    outcomes = FOUR.outcomes([[], [(0, 1, "PER")]], [[], [(0, 1, "PER")]])
    assert outcomes.scores.tolist() == [1.0, 1.0]
    assert outcomes.right.all()
    alone = outcomes.take(np.array([0])).total()
    assert not FOUR.says("f1", alone)
    assert float(FOUR.measure(alone)["f1"]) == float(FOUR.measure(alone)["macro_f1"]) == 0.0
    assert FOUR.says("f1", outcomes.total())


def test_cells_do_not_depend_on_the_order_of_the_texts() -> None:
    labelled, answered = corpus(5, 40, 0.5, 4)
    order = random.Random(0).sample(range(40), 40)
    there = FOUR.outcomes(labelled, answered)
    back = FOUR.outcomes([labelled[n] for n in order], [answered[n] for n in order])
    assert np.array_equal(there.columns, back.columns)
    assert np.array_equal(there.values, back.values)
    assert np.array_equal(there.take(np.array(order)).cell, back.cell)


def test_sums_are_measured_over_leading_axes() -> None:
    totals = [FOUR.outcomes(*corpus(seed, 20, 0.5, 4)).total() for seed in range(3)]
    stacked = Totals(*(np.stack([getattr(total, name) for total in totals]) for name in ("counts", "sums", "rows")))
    for metric, values in FOUR.measure(stacked).items():
        assert values == pytest.approx([float(FOUR.measure(total)[metric]) for total in totals])


@pytest.mark.parametrize(
    ("answered", "start"),
    [
        ([[], []], "silent: it answers no entity at all, of 2 that are there"),
        ([[(5, 6, "PER")], []], "never right: none of its 1 entities is among the 2 that are there"),
        ([[(0, 1, "PER")], []], None),
    ],
)
def test_a_model_that_learnt_nothing_is_named(answered: Texts, start: str | None) -> None:
    flaws = FOUR.flaws(FOUR.outcomes([[(0, 1, "PER")], [(0, 2, "LOC")]], answered).total(), TYPES)
    assert [flaw[: len(start or "")] for flaw in flaws] == ([start] if start else [])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="type 'CITY' was found and LOC, ORG, PER, WORK are known"):
        FOUR.outcomes([[]], [[(0, 1, "CITY")]])
    with pytest.raises(DataError, match="2 labelled and 1 answered texts"):
        FOUR.outcomes([[], []], [[]])

import numpy as np
import pytest

from class_answers import come_to, of_classes
from kubetune.evaluation.intervals import Draws
from kubetune.evaluation.slices import group, measure_slices, quartiles, value_groups


def sizes(groups) -> dict[str, int]:
    return {name: int(inside.sum()) for name, inside in groups}


def test_length_bands_are_quartiles_that_cover_every_row_once() -> None:
    lengths = np.arange(1, 101)
    groups = group("length", lengths, lengths * 0, ("a",), None)
    assert sizes(groups) == {"1 to 25 tokens": 25, "26 to 50 tokens": 25, "51 to 75 tokens": 25, "76 to 100 tokens": 25}
    assert np.array_equal(np.sum([inside for _, inside in groups], axis=0), np.ones(100))


def test_equal_lengths_are_one_band() -> None:
    assert sizes(quartiles(np.full(9, 7.0), "tokens")) == {"7 tokens": 9}


def test_labels_without_rows_are_no_slice() -> None:
    labels = np.array([0, 2, 2])
    assert sizes(group("label", labels, labels, ("a", "b", "c"), None)) == {"a": 1, "c": 2}


def test_values_beyond_the_top_ten_and_missing_ones_are_slices_together() -> None:
    values = [f"v{number:02}" for number in range(14) for _ in range(20 - number)] + [None, None]
    found = sizes(value_groups(values))
    assert list(found)[:2] == ["v00", "v01"]
    assert found["other (4 values)"] == 10 + 9 + 8 + 7
    assert found["(missing)"] == 2
    assert sum(found.values()) == len(values)


def test_many_numbers_go_in_quartiles_and_few_stay_values() -> None:
    many = [str(number / 10) for number in range(40)] + [None, ""]
    assert sizes(value_groups(many)) == {"0 to 0.9": 10, "1 to 1.9": 10, "2 to 2.9": 10, "3 to 3.9": 10, "(missing)": 2}
    assert sizes(value_groups(["1", "2", "2"])) == {"2": 2, "1": 1}
    assert "other (30 values)" in sizes(value_groups([*(str(number) for number in range(39)), "nan"]))


def test_hostile_values_are_made_fit_to_show() -> None:
    names = [name for name, _ in value_groups(["\x1b[31mred\u202eder", "x" * 500, " "])]
    assert names == ["[31mredder", "(empty)", "x" * 59 + "…"]


def test_a_slice_that_is_really_worse_is_called_weak_and_a_tiny_one_never() -> None:
    labels = np.tile([0, 1], 300)
    predictions = labels.copy()
    predictions[:100] = 1 - predictions[:100]
    place = np.array(["bad"] * 200 + ["good"] * 390 + ["tiny"] * 10, dtype=object)
    predictions[-10:] = 1 - predictions[-10:]
    found = measure_slices(
        {"place": value_groups(place.tolist())}, come_to(labels, predictions, 2), of_classes(2), Draws(200, 0)
    )["place"]
    weak = {part["name"]: part["weak"] for part in found}
    assert weak == {"good": False, "bad": True, "tiny": False}
    bad = next(part for part in found if part["name"] == "bad")
    assert bad["accuracy"]["value"] == pytest.approx(0.5)
    assert bad["accuracy"]["low"] < 0.5 < bad["accuracy"]["high"]


def test_a_slice_with_one_true_class_has_no_macro_f1() -> None:
    labels = np.array([0, 0, 1, 1])
    groups = {"label": group("label", labels, labels, ("a", "b"), None)}
    found = measure_slices(groups, come_to(labels, labels, 2), of_classes(2), Draws(100, 0))
    assert [part["macro_f1"] for part in found["label"]] == [None, None]

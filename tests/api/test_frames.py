"""The rows of a run's report as a table, whatever its task answers."""

import pyarrow as pa
import pytest

from kubetune.api.runs import frame_of
from kubetune.tasks import load_task


def test_classes_are_given_by_name_with_a_column_each() -> None:
    answers = load_task("text-classification").answer_columns([[0.25, 0.75], [0.5, 0.5]])
    table = pa.table({"row_id": ["a", "b"], "label": pa.array([1, 1], pa.int32()), **answers})
    frame = frame_of(table.append_column("logits", table["probabilities"]), ("no", "yes"))
    assert list(frame) == ["row_id", "label", "prediction", "confidence", "probability no", "probability yes"]
    assert frame["label"].tolist() == ["yes", "yes"] and frame["prediction"].tolist() == ["yes", "no"]
    assert frame["probability yes"].tolist() == pytest.approx([0.75, 0.5])


def test_entities_are_given_as_they_are() -> None:
    entity = {"entity_group": "place", "score": 0.5, "word": "Berlin", "start": 3, "end": 9}
    answers = load_task("token-classification").answer_columns([[entity], []])
    truth = pa.array([[{"start": 3, "end": 9, "label": 0}], []])
    frame = frame_of(pa.table({"row_id": ["a", "b"], "label": truth, **answers}), ("place",))
    assert list(frame) == ["row_id", "label", "entities", "confidence"]
    assert [len(row) for row in frame["entities"]] == [1, 0]
    assert frame["entities"][0][0]["word"] == "Berlin" and frame["confidence"].tolist() == [0.5, 1.0]

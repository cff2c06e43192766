"""Training for several labels a text and for a number: the loss is Hugging Face's, and what is saved answers in units
of the data."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import toys
import trained_toys
from kubetune.errors import ConfigError
from kubetune.tasks import load_task
from kubetune.tasks.base import Encoding, ModelSpec
from kubetune.tasks.inference import feature_losses, predict_outputs
from kubetune.tasks.output_layer import change_unit, keep_exact, output_layer
from kubetune.tasks.rows import read_rows
from kubetune.tasks.spec import load_spec
from kubetune.training.launch import launch

MEAN = {"pooling": "mean", "hidden_size": None, "dropout": 0.0}
LABELS, SCORE = "text-classification-multi-label", "text-classification-regression"


def trained(folder: Path, kind: str, **changes: Any) -> tuple[Path, trained_toys.ToyContext, Path]:
    """Return artifact `model`, what was said, and the dataset."""
    dataset = trained_toys.write_dataset(folder / "dataset", kind, rows=240)
    weights = toys.write_toy_model(folder / "weights")
    labels = toys.LABELS if kind == LABELS else ()
    values = {
        "architecture": "own",
        "head": MEAN,
        "task": kind,
        "labels": labels,
        "steps": 60,
        "evaluate_every_steps": 30,
        "learning_rate": 8e-3,
        "encoder_dropout": 0.0,
    }
    context = trained_toys.ToyContext(folder / "scratch", folder / "kept")
    job = trained_toys.make_job(folder, dataset, weights, **values | changes)
    launch(job, context)
    return job.output, context, dataset


def answers(model: Path, dataset: Path) -> tuple[Any, Any, list[Any], list[Any]]:
    """Return the task as the model has it, its test rows, their outputs and predictions."""
    spec = load_spec(model)
    task = load_task(spec.task).of_model(spec)
    rows = read_rows(dataset, "test", task, spec.labels)
    features = rows.pick(np.arange(len(rows)))
    outputs = predict_outputs(task.build_model(spec, model, pretrained=False), features, task, trained_toys.PAD, 64)
    encoding = Encoding(features, list(range(len(features))), [])
    return task, features, outputs, list(task.predictions(outputs, encoding, [], spec.labels))


@pytest.mark.slow
def test_scores_trained_in_bf16_are_brought_to_their_unit_in_fp32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accelerate leaves its precision in the module: near 400, bf16 knows every second number."""
    monkeypatch.setattr("kubetune.training.determinism.native_bf16", lambda device: True)
    model, _, dataset = trained(tmp_path, SCORE, precision="bf16", steps=4)
    assert json.loads((model / "training.json").read_text())["precision"] == "bf16"
    _, features, _, found = answers(model, dataset)
    true = [row["label"][0] for row in features]
    assert np.mean(found) == pytest.approx(np.mean(true), abs=20)


def test_labels_are_learnt_and_thresholds_are_of_validation_rows(tmp_path: Path) -> None:
    model, context, dataset = trained(tmp_path, LABELS)
    task, features, outputs, found = answers(model, dataset)
    thresholds = load_spec(model).fitted["thresholds"]
    assert len(thresholds) == 2 and task.thresholds == tuple(thresholds)
    assert any("by the best micro F1 on 40 validation rows: negative 0." in note for note in context.notes)
    assert json.loads((model / "training.json").read_text())["said"]
    right = sum(list(row["label"]) == each["chosen"] for row, each in zip(features, found, strict=True))
    assert right / len(found) > 0.55  # the most frequent set: a third
    for each in found:
        assert each["chosen"] == [n for n, (p, t) in enumerate(zip(each["probabilities"], thresholds)) if p >= t]  # noqa: B905
    hot = torch.tensor([[float(n in row["label"]) for n in range(2)] for row in features])
    theirs = torch.nn.BCEWithLogitsLoss()(torch.from_numpy(np.stack(outputs)), hot)
    assert feature_losses(task, outputs, features).mean() == pytest.approx(float(theirs), rel=1e-6)


def test_thresholds_can_be_left_at_one_half(tmp_path: Path) -> None:
    model, context, _ = trained(tmp_path, LABELS, steps=2, tune=False)
    assert load_spec(model).fitted == {}
    assert "a label is chosen from a probability of 0.5: task.thresholds is half" in context.notes


def test_scores_far_from_0_are_learnt_and_answered_in_their_unit(tmp_path: Path) -> None:
    model, _, dataset = trained(tmp_path, SCORE)
    task, features, outputs, found = answers(model, dataset)
    assert (task.center, task.scale) == (0.0, 1.0)
    assert dict(load_spec(model).fitted) == {"least": [370.0], "most": [430.0]}
    true = np.array([row["label"][0] for row in features])
    assert ((np.array(found) - true) ** 2).mean() < 0.5 * true.var()
    assert feature_losses(task, outputs, features) == pytest.approx((np.array(found) - true) ** 2, rel=1e-3)
    report = json.loads((model / "training.json").read_text())
    assert report["best"]["validation"]["mse"] < 0.8 * true.var()  # in the unit of the data during training, too
    assert report["evaluations"][0]["train_loss"] < 5  # and the loss in variances


def test_the_head_of_an_architecture_is_brought_to_the_unit_of_the_scores(tmp_path: Path) -> None:
    head = {"pooling": "cls", "hidden_size": 1, "dropout": 0.0}  # of an own head, a second layer of one unit
    for architecture in ("stock", "own"):
        model, _, dataset = trained(tmp_path / architecture, SCORE, architecture=architecture, head=head, steps=2)
        *_, found = answers(model, dataset)
        assert min(found) > 390 and max(found) < 410
        assert json.loads((model / "config.json").read_text()).get("problem_type") == (
            "regression" if architecture == "stock" else None
        )


def test_an_output_layer_without_a_bias_gives_scores_without_a_mean() -> None:
    layer = torch.nn.Linear(3, 1, bias=False)
    before = layer(torch.ones(1, 3)).item()
    change_unit(layer, 0.0, 5.0)
    assert layer(torch.ones(1, 3)).item() == pytest.approx(5 * before)
    assert output_layer(torch.nn.Sequential(torch.nn.Linear(3, 1), layer), 1) is layer


def test_a_score_is_computed_in_32_bits_whatever_the_precision() -> None:
    """bf16 knows the multiples of 0.5 near 75, and no number between them."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1))
    change_unit(module[1], 75.2459, 0.1)
    rows = torch.linspace(0, 1, 40).reshape(10, 4)
    with torch.inference_mode():
        wanted, names = module(rows), list(module.state_dict())
        exact = keep_exact(module, 1)
        with torch.autocast("cpu", torch.bfloat16):
            found = exact(rows)
    assert found.dtype == torch.float32
    assert float((found - wanted).abs().max()) < 1e-3
    assert list(exact.state_dict()) == names
    assert len(set((2 * found).round().flatten().tolist()) & set((2 * found).flatten().tolist())) == 0


def test_a_smoothed_label_lies_nearer_to_one_half() -> None:
    task = load_task(LABELS)
    outputs, targets = torch.tensor([[2.0, -1.0], [0.5, 0.0]]), torch.tensor([[0, -1], [0, 1]])
    wanted = torch.tensor([[0.95, 0.05], [0.95, 0.95]])
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(outputs, wanted, reduction="none").mean(dim=1)
    assert torch.allclose(task.losses(outputs, targets, 0.1), theirs)
    empty = task.targets([{"label": []}, {"label": []}], 4)
    assert task.losses(outputs, empty).tolist() == pytest.approx(
        torch.nn.functional.softplus(outputs).mean(dim=1).tolist()
    )


def test_a_label_without_a_validation_row_keeps_one_half() -> None:
    task, spec = load_task(LABELS), ModelSpec(LABELS, ("a", "b"), "stock")
    rows = [{"input_ids": [1], "label": [0]}, {"input_ids": [1], "label": []}]

    class Rows(list):  # the part of `EncodedRows` that is read
        def pick(self, numbers: Any) -> list[Any]:
            return [self[number] for number in numbers]

    outputs = [np.array([-1.0, 3.0]), np.array([-2.0, 2.0])]
    fitted, said = task.finished(spec, torch.nn.Identity(), Rows(rows), lambda features: outputs, tune=True)  # type: ignore[arg-type]
    assert fitted.fitted["thresholds"][1] == 0.5 > fitted.fitted["thresholds"][0]
    assert said[1] == "no validation row has b: kept at 0.5"


class TrainRows(list[Any]):
    """As many rows as the list has, whose targets are given."""

    targets: np.ndarray

    def column(self, name: str) -> np.ndarray:
        assert name == "label"
        return self.targets


def rows_of(count: int, *targets: float) -> TrainRows:
    rows = TrainRows([{}] * count)
    rows.targets = np.array(targets)
    return rows


def test_a_new_head_of_labels_begins_at_their_shares() -> None:
    task = load_task("text-classification-multi-label")
    spec = ModelSpec(task.kind, ("a", "b"), "own")
    module = torch.nn.Sequential(torch.nn.Linear(4, 2))
    task.begun(spec, module, rows_of(8, 0, 0, 1, 0))
    assert torch.sigmoid(module[0].bias).tolist() == pytest.approx([4 / 10, 2 / 10])
    kept = torch.nn.Linear(4, 2)
    before = kept.bias.detach().clone()
    task.begun(replace(spec, architecture="stock"), kept, rows_of(8, 0, 0, 1, 0))
    assert torch.equal(kept.bias, before), "a head that goes on has its own"


def test_rare_labels_are_told_apart_before_any_reaches_one_half() -> None:
    """Else all weights of the first epochs are equal, and those of the first evaluation are kept."""
    task = load_task("text-classification-multi-label")
    features = [{"label": [0]}, {"label": []}, {"label": [1]}, {"label": []}]
    outputs = [np.array([-2.0, -4.0]), np.array([-3.0, -4.0]), np.array([-3.0, -3.5]), np.array([-3.1, -4.0])]
    totals = task.validation(outputs, Encoding(features, [0, 1, 2, 3], []), np.zeros(4), ("a", "b"), {}).total()
    assert task.statistics(("a", "b")).measure(totals)["micro_f1"] == 1.0
    assert not task.collapsed(totals, ("a", "b"))


def test_scores_that_32_bits_cannot_tell_apart_are_refused_before_training() -> None:
    task = load_task("text-classification-regression")

    with pytest.raises(ConfigError, match="subtract a constant"):
        task.begun(ModelSpec(task.kind, (), "own"), torch.nn.Linear(4, 1), rows_of(2, 1_600_000_000.0, 1_600_010_000.0))


def test_labels_are_learnt_without_a_linear_layer_at_the_end_and_scores_are_not() -> None:
    head = torch.nn.Sequential(torch.nn.Conv1d(4, 2, 1))
    spec = ModelSpec(LABELS, ("a", "b"), "stock")
    assert load_task(LABELS).begun(spec, head, rows_of(8, 0, 0, 1, 0)) == spec
    with pytest.raises(ConfigError, match="no linear layer"):
        load_task(SCORE).begun(ModelSpec(SCORE, (), "stock"), head, rows_of(2, 1.0, 2.0))

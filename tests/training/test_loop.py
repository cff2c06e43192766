"""The loop on toy rows, in this process: what it learns, freezes, refuses and records."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kubetune.errors import ConfigError, KubetuneError
from kubetune.training import loop, validation
from kubetune.training.loop import rate_factor

LEARNS: dict[str, dict[str, Any]] = {
    "stock": {"epochs": 10.0, "learning_rate": 3e-3},
    "own": {
        "epochs": 10.0,
        "learning_rate": 5e-3,
        "architecture": "own",
        "head": {"pooling": "mean", "hidden_size": 16, "dropout": 0.0},
    },
}


@pytest.mark.parametrize("kind", LEARNS)
def test_loss_falls_and_the_best_weights_are_kept(run_toy: Any, kind: str) -> None:
    done = run_toy(**LEARNS[kind])
    assert sum(done.losses[:8]) > 2 * sum(done.losses[-8:])
    report = json.loads((done.job.output / "training.json").read_text())
    values = [entry["validation"]["macro_f1"] for entry in report["evaluations"]]
    assert len(values) == 10
    assert report["best"]["value"] == max(values) > 0.85
    assert report["best"]["step"] == report["evaluations"][values.index(max(values))]["step"]
    assert done.outcome.metrics["validation_macro_f1"] == max(values)


@pytest.mark.slow
def test_bilstm_learns(run_toy: Any, scratch_weights: Path) -> None:
    done = run_toy(weights=scratch_weights, architecture="bilstm", epochs=15.0, learning_rate=1e-2)
    assert sum(done.losses[-8:]) < sum(done.losses[:8]) / 2


def test_pinned_loss(run_toy: Any) -> None:
    """A change of these numbers is a change of what is computed: it must be meant."""
    done = run_toy(steps=4, encoder_dropout=0.0, head={"dropout": 0.0})
    assert done.losses == pytest.approx(PINNED_LOSSES, abs=2e-4)
    assert done.context.of("step")[0]["norm"] == pytest.approx(PINNED_NORM, abs=2e-4)


PINNED_LOSSES = [0.689476, 0.702354, 0.686575, 0.693645]
PINNED_NORM = 0.249303


def test_two_runs_give_the_same_bytes(run_toy: Any) -> None:
    first, second = run_toy("a"), run_toy("b")
    files = sorted(path.name for path in first.job.output.iterdir())
    assert files == ["config.json", "kubetune.json", "model.safetensors", "training.json"]
    for name in files:
        assert (first.job.output / name).read_bytes() == (second.job.output / name).read_bytes()
    assert str(first.job.output.parent) not in (first.job.output / "training.json").read_text()
    assert first.outcome == second.outcome


def test_another_seed_gives_other_weights(run_toy: Any) -> None:
    assert run_toy("a", seed=0).sha != run_toy("b", seed=1).sha


@pytest.mark.parametrize(
    ("freeze", "still"),
    [
        ({"encoder": True}, ("embeddings.", "encoder.layer.")),
        ({"first_layers": 1}, ("embeddings.", "encoder.layer.0.")),
    ],
)
def test_frozen_tensors_are_bit_equal_and_the_others_move(
    run_toy: Any, toy_model: Path, freeze: dict[str, Any], still: tuple[str, ...]
) -> None:
    done = run_toy(freeze=freeze)
    before = load_file(toy_model / "model.safetensors")
    after = load_file(done.job.output / "model.safetensors")
    table = {row["name"]: row for row in json.loads((done.job.output / "training.json").read_text())["parameters"]}
    assert set(table) == set(after)
    frozen = {name for name in after if name.startswith(tuple(f"bert.{part}" for part in still))}
    assert frozen == {name for name, row in table.items() if not row["trainable"]}
    for name, row in table.items():
        assert row["moved"] == row["trainable"], name
        if name.removeprefix("bert.") in before:
            assert torch.equal(before[name.removeprefix("bert.")], after[name]) == (name in frozen), name
    assert table["classifier.weight"]["norm_before"] != table["classifier.weight"]["norm_after"]


def test_more_frozen_layers_than_there_are_is_refused(run_toy: Any) -> None:
    with pytest.raises(ConfigError, match="this encoder has 2 layers"):
        run_toy(freeze={"first_layers": 3})


def test_a_frozen_tensor_that_moves_is_an_error(run_toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.train_step

    def meddle(run: Any) -> bool:
        with torch.no_grad():
            run.module.state_dict(keep_vars=True)["bert.embeddings.word_embeddings.weight"].add_(1e-3)
        return real(run)

    monkeypatch.setattr(loop, "train_step", meddle)
    with pytest.raises(KubetuneError, match=r"word_embeddings\.weight \(frozen, moved\)"):
        run_toy(freeze={"encoder": True}, steps=2)


def test_a_trainable_tensor_that_stays_is_an_error(run_toy: Any) -> None:
    with pytest.raises(KubetuneError, match="trainable, did not move"):
        run_toy(steps=1, learning_rate=1e-30, weight_decay=0.0)


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_nan_aborts_before_the_optimizer_step(run_toy: Any, monkeypatch: pytest.MonkeyPatch, poison: str) -> None:
    real = loop.backward
    seen: list[Any] = []

    def broken(run: Any, parts: Any, rows: int) -> torch.Tensor:
        loss = real(run, parts, rows)
        if run.parameters and run.state.step == 5:
            seen.append((run, {name: tensor.detach().clone() for name, tensor in run.parameters.items()}))
            if poison == "loss":
                return loss * float("nan")
            next(iter(run.parameters.values())).grad[0, 0] = float("inf")
        return loss

    monkeypatch.setattr(loop, "backward", broken)
    with pytest.raises(ConfigError, match=r"Training broke at step 6: the (loss is nan|gradient norm is inf)"):
        run_toy(steps=10, checkpoints={"every_steps": 2})
    run, weights = seen[0]
    assert all(torch.equal(weights[name], tensor) for name, tensor in run.parameters.items())
    assert [folder.name for folder in run_toy.last.context.restore()] == ["step-00000004", "step-00000002"]
    assert not (run_toy.last.job.output / "model.safetensors").exists()


def test_poisoned_weights_never_reach_a_checkpoint(run_toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.train_step

    def poisoned(run: Any) -> bool:
        stop = real(run)
        with torch.no_grad():
            run.parameters["classifier.bias"][0] = float("nan")
        return stop

    monkeypatch.setattr(loop, "train_step", poisoned)
    with pytest.raises(ConfigError, match=r"classifier\.bias is not finite after step 1"):
        run_toy(steps=10, checkpoints={"every_steps": 1})
    assert run_toy.last.context.restore() == []


def test_divergence_aborts(run_toy: Any) -> None:
    with pytest.raises(ConfigError, match=r"diverges: the loss was above 0\.1 for 20 steps up to step 20"):
        run_toy(steps=30, divergence_loss=0.1, learning_rate=1e-5)


def test_early_stopping_keeps_the_best(run_toy: Any) -> None:
    done = run_toy(steps=200, evaluate_every_steps=5, early_stopping={"patience": 2, "min_delta": 0.9})
    report = json.loads((done.job.output / "training.json").read_text())
    assert report["stopped_early"]
    assert report["steps"] == 15
    assert report["planned_steps"] == 200


def test_a_validation_gives_a_sign_of_life_each_pass(run_toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[int] = []
    monkeypatch.setattr("kubetune.training.launch.ContextHost.alive", lambda host: beats.append(len(beats)))
    counts = []
    for batch in (40, 4):  # of 40 validation rows
        beats.clear()
        monkeypatch.setattr(validation, "EVALUATION_BATCH", batch)
        run_toy(f"of-{batch}", steps=1)
        counts.append(len(beats))
    assert counts[1] - counts[0] == 9


def test_collapse_is_recorded(run_toy: Any) -> None:
    done = run_toy(steps=2, learning_rate=1e-6)
    assert done.outcome.facts["collapsed"] is True
    assert json.loads((done.job.output / "training.json").read_text())["collapsed"] is True


def test_padding_and_order_options_cost_what_they_should(run_toy: Any) -> None:
    grouped = run_toy("a", steps=8).outcome.metrics["padding_ratio"]
    random = run_toy("b", steps=8, length_groups=False).outcome.metrics["padding_ratio"]
    padded = run_toy("c", steps=8, padding="max-length").outcome.metrics["padding_ratio"]
    assert 1 <= grouped < random < padded


def test_weights_of_classes(run_toy: Any) -> None:
    plain, balanced = run_toy("a", steps=2), run_toy("b", steps=2, class_weights="balanced")
    skewed = run_toy("c", steps=2, class_weights=[1.0, 3.0], label_smoothing=0.1)
    assert plain.losses == pytest.approx(balanced.losses, rel=1e-6)  # the toy classes are balanced
    assert skewed.losses[0] > 1.5 * plain.losses[0]
    with pytest.raises(ConfigError, match="has 3 values: the model has 2 outputs"):
        run_toy("d", class_weights=[1.0, 1.0, 1.0])


def test_clipping_bounds_the_step(run_toy: Any) -> None:
    free, clipped = run_toy("a", steps=3, clip_norm=None), run_toy("b", steps=3, clip_norm=1e-3)
    assert free.losses[0] == clipped.losses[0]
    assert free.losses[2] != clipped.losses[2]


def test_the_longest_batch_comes_first_and_leaves_no_trace(run_toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_trial = run_toy("a", steps=3)
    real = loop.backward
    calls: list[int] = []

    def watched(run: Any, parts: Any, rows: int) -> torch.Tensor:
        calls.append(int(run.train.lengths[parts[0].rows].max()))
        if len(calls) == 1:
            torch.rand(1000)  # more random numbers drawn in the trial must change nothing
        return real(run, parts, rows)

    monkeypatch.setattr(loop, "backward", watched)
    assert run_toy("b", steps=3).sha == with_trial.sha
    assert calls[0] == max(calls) == 23


def test_bf16_is_used_only_where_it_is_native(run_toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune.training.determinism.native_bf16", lambda device: False)
    assert run_toy("a", steps=1, precision="auto").outcome.facts["fingerprint"]["precision"] == "fp32"
    with pytest.raises(ConfigError, match="does not compute natively"):
        run_toy("b", steps=1, precision="bf16")
    monkeypatch.setattr("kubetune.training.determinism.native_bf16", lambda device: True)
    done = run_toy("c", steps=1, precision="auto")
    assert done.outcome.facts["fingerprint"]["precision"] == "bf16"
    assert {tensor.dtype for tensor in load_file(done.job.output / "model.safetensors").values()} == {torch.float32}


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_schedule_warms_up_and_never_reaches_zero(schedule: Any) -> None:
    factors = [rate_factor(schedule, step, 100, 0.1) for step in range(100)]
    assert factors[:10] == sorted(factors[:10])
    assert factors[10] == pytest.approx(1)
    assert min(factors) > 0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx({"linear": 1 / 90, "cosine": 0.0003, "constant": 1}[schedule], abs=1e-4)

"""Every architecture of every task: encoding, padding, gradients' groups, files."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import trained_toys
from kubetune.errors import ConfigError, DataError
from kubetune.tasks import load_task
from kubetune.tasks.arrays import softmax
from kubetune.tasks.base import ModelSpec, Task
from kubetune.tasks.inference import predict_logits
from kubetune.tasks.spec import load_spec, save_model
from kubetune.tasks.weights import own_storage, read_tensors

KINDS = ("text-classification", "pair-classification")
HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "stock": ("stock", {"dropout": 0.1}),
    "cls": ("own", {"pooling": "cls", "dropout": 0.1}),
    "mean-hidden": ("own", {"pooling": "mean", "hidden_size": 8, "dropout": 0.1}),
    "bilstm": ("bilstm", {"dropout": 0.1}),
}


def weights_of(head: str, toy_model: Path, tmp_path: Path) -> Path:
    return trained_toys.write_scratch_weights(tmp_path / "scratch") if head == "bilstm" else toy_model


def build(
    kind: str, head: str, weights: Path, encoder_dropout: float | None = None, **values: Any
) -> tuple[Task, ModelSpec, torch.nn.Module]:
    architecture, defaults = HEADS[head]
    spec = ModelSpec(kind, ("a", "b", "c"), architecture, defaults | values, encoder_dropout, max_length=24)
    torch.manual_seed(3)
    task = load_task(kind)
    return task, spec, task.build_model(spec, weights, pretrained=True)


def encoded(task: Task, toy_model: Path, count: int = 17) -> list[Any]:
    tokenizer = AutoTokenizer.from_pretrained(toy_model, local_files_only=True)
    items = [("the good day on monday " * (1 + n % 5),) * len(task.columns) for n in range(count)]
    return task.encode(tokenizer, items, 24).features


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_cuts_at_the_limit_and_says_so(kind: str, toy_model: Path) -> None:
    task = load_task(kind)
    names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer = AutoTokenizer.from_pretrained(toy_model, local_files_only=True, model_input_names=names)
    short, long = ("good day",) * len(task.columns), ("good " * 50,) * len(task.columns)
    encoding = task.encode(tokenizer, [short, long], 12)
    rows, truncated = encoding.features, encoding.truncated
    assert truncated == [False, True]
    assert len(rows[1]["input_ids"]) == 12
    assert set(rows[0]) >= {"input_ids"}
    assert task.encode(tokenizer, [], 12).features == []
    if kind == "pair-classification":
        assert rows[0]["token_type_ids"] == sorted(rows[0]["token_type_ids"]) != [0] * len(rows[0]["input_ids"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", HEADS)
def test_neighbours_and_padding_change_nothing(kind: str, head: str, toy_model: Path, tmp_path: Path) -> None:
    task, _, module = build(kind, head, weights_of(head, toy_model, tmp_path))
    rows = encoded(task, toy_model)
    together = predict_logits(module, rows, task, 0, 32)
    assert together.shape == (17, 3)
    assert together.dtype == np.float32
    for other in (
        predict_logits(module, rows, task, 0, 4),
        np.concatenate([predict_logits(module, [row], task, 0, 1) for row in rows]),
        predict_logits(module, rows[::-1], task, 0, 4)[::-1],
    ):
        assert np.abs(other - together).max() < 1e-6
    module.eval()
    with torch.inference_mode():
        padded = module(**task.collate(rows, 0, pad_to=40)).numpy()
    assert np.abs(padded - together).max() < 1e-6
    assert predict_logits(module, [], task, 0, 4).shape == (0, 0)


@pytest.mark.parametrize("head", HEADS)
def test_what_is_saved_loads_to_the_same_logits(head: str, toy_model: Path, tmp_path: Path) -> None:
    kind = "text-classification"
    task, spec, module = build(kind, head, weights_of(head, toy_model, tmp_path))
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(module, spec, folder)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    save_model(module, spec, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert not any(str(tmp_path).encode() in content or b"/" in content[:200] for content in first.values())
    again = task.build_model(load_spec(folder), folder, pretrained=False)
    rows = encoded(task, toy_model)
    assert np.array_equal(predict_logits(again, rows, task, 0, 8), predict_logits(module, rows, task, 0, 8))


def place_anew(path: Path, offset: int) -> None:
    """Write the same tensors again, the first of them at `offset` modulo 64 bytes, as another writer may."""
    tensors, pad = load_file(path), ""
    for _ in range(2):  # the header is padded to a multiple of 8, so that the second time is right
        save_file(tensors, path, metadata={"format": "pt", "pad": pad})
        start = 8 + int.from_bytes(path.read_bytes()[:8], "little")
        pad = "x" * ((offset - start) % 64)
    assert start % 64 == offset


def gradients(task: Task, module: torch.nn.Module, rows: list[Any]) -> list[torch.Tensor]:
    module.eval()  # without dropout
    logits = module(**task.collate(rows, 0))
    task.losses(logits, torch.arange(len(rows)) % 3).sum().backward()
    return [tensor.grad for tensor in module.parameters() if tensor.grad is not None]


@pytest.mark.parametrize(
    ("head", "pretrained"),
    [(head, pretrained) for head in HEADS for pretrained in (True, False) if (head, pretrained) != ("bilstm", True)],
)
def test_equal_weights_give_equal_bits_wherever_a_file_holds_them(
    head: str, pretrained: bool, toy_model: Path, tmp_path: Path
) -> None:
    """MKL sums narrow products by the alignment of their operands; a mapped file has any multiple of 8 bytes."""
    task, spec, module = build("text-classification", head, weights_of(head, toy_model, tmp_path))
    rows = encoded(task, toy_model)
    folder = tmp_path / "model"
    if pretrained:
        shutil.copytree(toy_model, folder)
    else:
        folder.mkdir()
        save_model(module, spec, folder)
    found = []
    for offset in (0, 8, 24, 32):
        place_anew(folder / "model.safetensors", offset)
        torch.manual_seed(3)
        module = task.build_model(spec, folder, pretrained=pretrained)
        assert {tensor.data_ptr() % 64 for tensor in module.state_dict().values()} == {0}
        answers = [predict_logits(module, rows, task, 0, batch) for batch in (1, 8)]
        found.append([*map(torch.from_numpy, answers), *gradients(task, module, rows[:8])])
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("offset", range(0, 64, 8))
def test_tensors_that_are_read_have_storage_of_their_own(offset: int, tmp_path: Path) -> None:
    wanted = {"a": torch.arange(3.0), "b": torch.arange(10.0).reshape(2, 5), "step": torch.tensor(7.0)}
    save_file(wanted, tmp_path / "t.safetensors")
    place_anew(tmp_path / "t.safetensors", offset)
    found = read_tensors(tmp_path / "t.safetensors")
    assert {name: tensor.tolist() for name, tensor in found.items()} == {n: t.tolist() for n, t in wanted.items()}
    assert [tensor.data_ptr() % 64 for tensor in found.values()] == [0, 0, 0]
    assert [len(tensor.untyped_storage()) for tensor in found.values()] == [
        4 * tensor.numel() for tensor in found.values()
    ]


def test_own_storage_leaves_shared_parameters_shared() -> None:
    module = torch.nn.ModuleDict({"one": torch.nn.Linear(3, 3), "two": torch.nn.Linear(3, 3)})
    module["two"].weight = module["one"].weight
    module["one"].register_buffer("transposed", torch.arange(6.0).reshape(2, 3).T)
    module["two"].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert own_storage(module) is module
    assert module["two"].weight is module["one"].weight
    assert not module["two"].weight.requires_grad
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(tensor.is_contiguous() for tensor in module.state_dict().values())


def test_a_stock_model_is_an_ordinary_transformers_folder(toy_model: Path, tmp_path: Path) -> None:
    task, spec, module = build("text-classification", "stock", toy_model)
    save_model(module, spec, tmp_path)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path, local_files_only=True).eval()
    assert theirs.config.id2label == {0: "a", 1: "b", 2: "c"}
    rows = encoded(task, toy_model, 1)
    with torch.inference_mode():
        logits = theirs(**task.collate(rows, 0)).logits.numpy()
    # Not bits: their weights lie where the file holds them, ours are aligned.
    assert logits == pytest.approx(predict_logits(module, rows, task, 0, 1), abs=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_every_parameter_belongs_to_one_part(head: str, toy_model: Path, tmp_path: Path) -> None:
    task, _, module = build("text-classification", head, weights_of(head, toy_model, tmp_path))
    groups = task.parameter_groups(module)
    names = [name for part in groups.values() for name in part]
    assert sorted(names) == sorted(name.removeprefix("network.") for name, _ in module.named_parameters())
    assert "head" in groups
    if head != "bilstm":
        assert {"embeddings", "layer.0", "layer.1"} <= set(groups)
        assert "rest" not in groups


def test_an_own_head_leaves_the_pooler_out(toy_model: Path) -> None:
    _, _, module = build("text-classification", "cls", toy_model)
    assert not [name for name in module.state_dict() if "pooler" in name]


def test_dropout_goes_where_the_recipe_says(toy_model: Path) -> None:
    _, _, module = build("text-classification", "stock", toy_model, dropout=0.4, encoder_dropout=0.2)
    config = module.configuration()
    assert config["classifier_dropout"] == 0.4
    assert config["hidden_dropout_prob"] == config["attention_probs_dropout_prob"] == 0.2


def test_the_head_follows_the_generator_and_the_encoder_does_not(toy_model: Path) -> None:
    states = []
    for seed in (1, 1, 2):
        task = load_task("text-classification")
        torch.manual_seed(seed)
        states.append(
            task.build_model(
                ModelSpec(task.kind, ("a", "b"), "stock", max_length=8), toy_model, pretrained=True
            ).state_dict()
        )
    same, other = states[0], states[2]
    for name, tensor in same.items():
        assert torch.equal(tensor, states[1][name])
        assert torch.equal(tensor, other[name]) == (name != "classifier.weight")


def damaged(toy_model: Path, folder: Path, damage: str) -> Path:
    folder.mkdir()
    config = json.loads((toy_model / "config.json").read_text())
    tensors = load_file(toy_model / "model.safetensors")
    if damage == "code":
        config["auto_map"] = {"AutoModel": "modeling.Evil"}
    elif damage == "nan":
        tensors["encoder.layer.1.output.dense.bias"][3] = float("nan")
    elif damage == "missing":
        del tensors["encoder.layer.1.output.dense.weight"]
    elif damage == "shape":
        tensors["encoder.layer.1.output.dense.weight"] = torch.zeros(3, 3)
    elif damage == "unknown":
        config["model_type"] = "no-such-architecture"
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    if damage == "truncated":
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    elif damage == "absent":
        (folder / "model.safetensors").unlink()
    elif damage == "pickle":
        torch.save(tensors, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize("damage", ["nan", "missing", "shape", "unknown", "truncated", "absent", "pickle"])
@pytest.mark.parametrize("head", ["stock", "cls"])
def test_damaged_weights_are_bad_data(damage: str, head: str, toy_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        build("text-classification", head, damaged(toy_model, tmp_path / "damaged", damage))
    assert caught.value.exit_code == 65
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_code_is_refused(toy_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="auto_map"):
        build("text-classification", "stock", damaged(toy_model, tmp_path / "damaged", "code"))


@pytest.mark.parametrize("damage", ["extra", "missing", "nan", "truncated", "spec", "format"])
def test_a_damaged_model_does_not_load(damage: str, toy_model: Path, tmp_path: Path) -> None:
    task, spec, module = build("text-classification", "stock", toy_model)
    save_model(module, spec, tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    if damage == "extra":
        tensors["surplus"] = torch.zeros(1)
    elif damage == "missing":
        del tensors["classifier.bias"]
    elif damage == "nan":
        tensors["classifier.bias"][0] = float("inf")
    save_file(tensors, path, metadata={"format": "pt"})
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "spec":
        (tmp_path / "kubetune.json").write_text("[]")
    elif damage == "format":
        (tmp_path / "kubetune.json").write_text('{"format": 99}')
    with pytest.raises(ConfigError if damage == "format" else DataError):
        task.build_model(load_spec(tmp_path), tmp_path, pretrained=False)


def test_more_tokens_than_positions_are_refused(toy_model: Path) -> None:
    task = load_task("text-classification")
    with pytest.raises(ConfigError, match="this encoder has 64 positions"):
        task.build_model(ModelSpec(task.kind, ("a", "b"), "stock", max_length=65), toy_model, pretrained=True)


def test_what_a_bilstm_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hidden_size"):
        build("text-classification", "bilstm", trained_toys.write_scratch_weights(tmp_path), hidden_size=4)


def test_losses_and_answers() -> None:
    task = load_task("text-classification")
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    losses = task.losses(logits, torch.tensor([0, 2]))
    assert losses.tolist() == pytest.approx([0.16984602, np.log(3)], abs=1e-6)
    weighted = task.losses(logits, torch.tensor([0, 2]), class_weights=torch.tensor([1.0, 1.0, 2.0]))
    assert weighted.tolist() == pytest.approx([0.16984602, 2 * np.log(3)], abs=1e-6)
    smoothed = task.losses(logits, torch.tensor([0, 2]), label_smoothing=0.3)
    # ln(1 + e^-2 + e^-3) is 0.16984602; the label keeps 0.8 of the probability, the others have 0.1 each.
    assert smoothed.tolist() == pytest.approx([0.16984602 + 0.1 * 2.0 + 0.1 * 3.0, np.log(3)], abs=1e-6)
    both = task.losses(logits, torch.tensor([0, 2]), 0.3, torch.tensor([0.5, 9.0, 2.0]))
    assert both.tolist() == pytest.approx([0.5 * (0.16984602 + 0.5), 2 * np.log(3)], abs=1e-6)
    probabilities = softmax(logits.numpy())
    assert probabilities.sum(axis=1) == pytest.approx([1, 1])
    best = task.form.decode(probabilities[0].tolist(), ("a", "b", "c"), {"top_k": 2})
    assert [item["label"] for item in best] == ["a", "b"]
    assert best[0]["score"] == pytest.approx(0.84379, abs=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("counts", [(990, 10), (900, 90, 10)])
def test_balanced_weights_with_smoothing_separate_what_is_separable(counts: tuple[int, ...], smoothing: float) -> None:
    """Each class around a corner of its own; a linear model that reads it has accuracy 1."""
    draw = torch.Generator().manual_seed(5)
    classes = len(counts)
    labels = torch.repeat_interleave(torch.arange(classes), torch.tensor(counts))
    points = torch.eye(classes)[labels] * 4 + 0.5 * torch.randn(len(labels), classes, generator=draw)
    weights = len(labels) / (classes * torch.tensor(counts, dtype=torch.float32))
    task, matrix, bias = load_task("text-classification"), torch.zeros(classes, classes), torch.zeros(classes)
    optimizer = torch.optim.Adam([matrix.requires_grad_(), bias.requires_grad_()], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        task.losses(points @ matrix + bias, labels, smoothing, weights).mean().backward()
        optimizer.step()
    found = (points @ matrix + bias).argmax(dim=1)
    assert [float((found[labels == name] == name).float().mean()) for name in range(classes)] == pytest.approx(
        [1.0] * classes, abs=0.02
    )

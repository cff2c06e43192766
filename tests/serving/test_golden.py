"""Golden vectors have teeth: each planted fault must keep an archive from counting as ready."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from kubetune.errors import ConfigError
from kubetune.serving.archive.manifest import _parse, write_manifest
from kubetune.serving.golden.vectors import Answers, Golden, Vector, check_golden, read_golden
from kubetune.serving.predictor import Answer, Predictor
from kubetune.tasks import load_task
from served_toys import CLEANING

FORM = load_task("text-classification").form


def ask(predictor: Predictor) -> Callable[[Sequence[Mapping[str, str]]], Answers]:
    def answers(items: Sequence[Mapping[str, str]]) -> Answers:
        outcomes = predictor.predict([[item[name] for name in predictor.task.columns] for item in items])
        labels = predictor.archive.labels
        found = [
            {"scores": dict(zip(labels, outcome.prediction, strict=True))} if isinstance(outcome, Answer) else None
            for outcome in outcomes
        ]
        return Answers(found, predictor.precision)

    return answers


def wrong_tokenizer(folder: Path) -> None:
    """Two ids change places, as when a vocabulary is built anew."""
    path = folder / "tokenizer" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["good"], vocabulary["bad"] = vocabulary["bad"], vocabulary["good"]
    vocabulary["food"], vocabulary["nasty"] = vocabulary["nasty"], vocabulary["food"]
    vocabulary["day"], vocabulary["sad"] = vocabulary["sad"], vocabulary["day"]
    path.write_text(json.dumps(tokenizer))


def permuted_labels(folder: Path) -> None:
    manifest = json.loads((folder / "archive.json").read_text())
    (folder / "archive.json").write_text(json.dumps(manifest | {"labels": manifest["labels"][::-1]}))


def no_cleaning(folder: Path) -> None:
    manifest = json.loads((folder / "archive.json").read_text())
    assert manifest["cleaning"] == list(CLEANING)
    (folder / "archive.json").write_text(json.dumps(manifest | {"cleaning": ["unicode-nfc", "whitespace"]}))


def shorter(folder: Path) -> None:
    manifest = json.loads((folder / "archive.json").read_text())
    (folder / "archive.json").write_text(json.dumps(manifest | {"max_length": 4}))


def no_special_tokens(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))


FAULTS = [wrong_tokenizer, permuted_labels, no_cleaning, shorter, no_special_tokens]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_archive_reproduces_its_vectors(archive: Path, precision: str) -> None:
    assert check_golden(read_golden(archive), ask(Predictor(archive, precision=precision, threads=1)), FORM) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_planted_fault_is_found(archive: Path, tmp_path: Path, fault: Callable[[Path], None], precision: str) -> None:
    copy = Path(shutil.copytree(archive, tmp_path / "copy"))
    fault(copy)
    write_manifest(copy, _parse(copy))
    wrong = check_golden(read_golden(copy), ask(Predictor(copy, precision=precision, threads=1)), FORM)
    assert wrong
    assert all(sentence.startswith("golden vector ") for sentence in wrong)


def test_a_sentence_holds_no_text_of_a_row() -> None:
    golden = Golden((Vector("longest", "r1", {"text": "private words"}, {"scores": {"no": 0.2, "yes": 0.8}}),), 1e-3)
    (sentence,) = check_golden(golden, lambda items: Answers([{"scores": {"no": 0.5, "yes": 0.4}}], "fp32"), FORM)
    assert sentence == "golden vector longest got 0.4000 for label 'yes' instead of 0.8000, where 0.001 is allowed"
    assert check_golden(golden, lambda items: Answers([None], "fp32"), FORM) == ["golden vector longest got no answer"]
    assert (
        "labels other than" in check_golden(golden, lambda items: Answers([{"scores": {"no": 1.0}}], "fp32"), FORM)[0]
    )
    assert check_golden(golden, lambda items: Answers([], "fp32"), FORM) == ["0 answers came to 1 golden vectors"]
    assert check_golden(golden, lambda items: Answers([{"scores": {"no": float("nan"), "yes": 0.8}}], "fp32"), FORM)


def test_bf16_is_given_ten_times_the_tolerance() -> None:
    golden = Golden((Vector("longest", "r1", {"text": "a"}, {"scores": {"no": 0.2, "yes": 0.8}}),), 1e-3)
    near = [{"scores": {"no": 0.205, "yes": 0.795}}]
    assert check_golden(golden, lambda items: Answers(near, "fp32"), FORM)
    assert not check_golden(golden, lambda items: Answers(near, "bf16"), FORM)


def test_vectors_of_another_format_are_refused(archive: Path, tmp_path: Path) -> None:
    values = json.loads((archive / "golden.json").read_text())
    for changed in (values | {"format": 2}, values | {"vectors": []}, {"format": 1}):
        (tmp_path / "golden.json").write_text(json.dumps(changed))
        with pytest.raises(ConfigError, match=r"golden\.json"):
            read_golden(tmp_path)

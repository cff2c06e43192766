"""What the predictor answers and refuses, without any server."""

import shutil
from pathlib import Path

import pytest
import torch

import served_toys
from kubetune.serving.predictor import Answer, Predictor, Refusal, threads_per_worker

LONG = 10 * 1024 * 1024

BAD_ITEMS = {
    "number": ((3,), 400, "must be a string, not int"),
    "null": ((None,), 400, "must be a string, not NoneType"),
    "list": ((["a"],), 400, "must be a string, not list"),
    "two texts": (("a", "b"), 400, "takes text: 2 texts given"),
    "no text": ((), 400, "takes text: 0 texts given"),
    "lone surrogate": (("a \ud800 b",), 422, "lone-surrogate"),
    "NUL": (("a \0 b",), 422, "nul-character"),
    "empty": (("",), 422, "empty after cleaning"),
    "white space": ((" \n\t ",), 422, "empty after cleaning"),
    "zero width": (("\u200b\ufeff\u2060",), 422, "empty after cleaning, or of blanks and invisible characters"),
    "one over the cap": (("a" * 2001,), 413, "2001 characters: at most 2000"),
    "ten megabytes": (("a " * (LONG // 2),), 413, f"{LONG} characters: at most 2000"),
}


@pytest.mark.parametrize("name", BAD_ITEMS)
def test_a_bad_item_is_refused_and_its_neighbours_are_answered(predictor: Predictor, name: str) -> None:
    item, status, reason = BAD_ITEMS[name]
    alone = predictor.predict([("good food",), ("bad film",)])
    first, found, last = predictor.predict([("good food",), item, ("bad film",)])
    assert isinstance(found, Refusal)
    assert found.status == status
    assert reason in found.reason
    assert [first, last] == alone


def test_odd_text_is_answered(predictor: Predictor) -> None:
    texts = ["a" * 2000, "\U0001f922", "\u202e\x1b[31m<script>", "=HYPERLINK(1)", "\ufeffgood", "e\u0301" * 50]
    outcomes = predictor.predict([(text,) for text in texts])
    assert all(isinstance(outcome, Answer) and sum(outcome.prediction) == pytest.approx(1) for outcome in outcomes)


def test_the_cap_comes_before_the_tokenizer(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a refused text reached cleaning or the tokenizer")

    monkeypatch.setattr("kubetune.text.gate.clean", never)
    assert isinstance(predictor.predict([("a" * 2001,)])[0], Refusal)


def test_order_and_batch_size_change_no_answer(archive: Path) -> None:
    predictor = Predictor(archive, precision="fp32", threads=1)
    texts = [(" ".join(["good", "film"] * count),) for count in (9, 1, 5, 30, 2, 7, 3, 11, 4, 6)]
    together = predictor.predict(texts)
    for text, answer in zip(texts, together, strict=True):
        (alone,) = predictor.predict([text])
        assert isinstance(alone, Answer)
        assert isinstance(answer, Answer)
        assert answer.prediction == pytest.approx(alone.prediction, abs=1e-6)


def test_a_model_that_fails_on_one_item_fails_that_item_alone(
    archive: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    predictor = Predictor(archive, threads=1)
    expected = predictor.predict([("good food",), ("bad film",)])
    (poison,) = predictor._tokenizer("nasty", add_special_tokens=False)["input_ids"]
    forward = predictor._module.forward

    def fragile(input_ids: torch.Tensor, **rest: torch.Tensor) -> torch.Tensor:
        if (input_ids == poison).any():
            raise RuntimeError("no kernel for: nasty secret")
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(predictor._module, "forward", fragile)
    first, found, last = predictor.predict([("good food",), ("nasty secret",), ("bad film",)])
    assert found == Refusal(500, "the model failed on this item")
    for outcome, wanted in zip([first, last], expected, strict=True):
        assert outcome.prediction == pytest.approx(wanted.prediction, abs=1e-2)
    assert "secret" not in caplog.text


def test_numbers_that_are_not_finite_are_no_answer(archive: Path) -> None:
    predictor = Predictor(archive, threads=1)
    with torch.no_grad():
        next(predictor._module.parameters()).fill_(float("nan"))
    assert predictor.predict([("good food",)]) == [Refusal(500, "the model failed on this item")]


def test_pairs_need_both_texts(pair_archive: Path) -> None:
    predictor = Predictor(pair_archive, threads=1)
    answer, refused = predictor.predict([("good food", "the day"), ("good food",)])
    assert isinstance(answer, Answer)
    assert refused == Refusal(400, "task pair-classification takes text and text_pair: 1 texts given")


def test_raw_text_is_cleaned_as_in_training(predictor: Predictor) -> None:
    raw, cleaned = predictor.predict([("  good @anna \n https://example.org/a",), ("good @user http",)])
    assert raw == cleaned


def test_warming_runs_every_length(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    forward = predictor._module.forward

    def watched(input_ids: torch.Tensor, **rest: torch.Tensor) -> torch.Tensor:
        seen.append(input_ids.shape[1])
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(predictor._module, "forward", watched)
    predictor.warm()
    assert seen == [4, 8, 16, served_toys.MAX_LENGTH]


@pytest.mark.parametrize(("cpus", "workers", "threads"), [(1, 1, 1), (2, 1, 1), (4, 1, 3), (8, 2, 3), (2, 4, 1)])
def test_one_cpu_is_left_to_the_server(cpus: int, workers: int, threads: int) -> None:
    assert threads_per_worker(cpus, workers) == threads


def test_threads_follow_the_quota(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune.serving.predictor.cpu_quota_threads", lambda: 6)
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    Predictor(archive)
    assert asked == [5]


def test_bf16_is_used_only_where_it_is_native(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for native, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr("kubetune.serving.predictor.native_bf16", lambda device, native=native: native)
        assert Predictor(archive, threads=1).precision == precision


def test_a_damaged_archive_is_not_loaded(archive: Path, tmp_path: Path) -> None:
    from kubetune.errors import CorruptArtifactError

    copy = tmp_path / "copy"
    shutil.copytree(archive, copy)
    weights = copy / "model.safetensors"
    flipped = bytearray(weights.read_bytes())
    flipped[-1] ^= 1
    weights.write_bytes(flipped)
    with pytest.raises(CorruptArtifactError, match=r"model\.safetensors"):
        Predictor(copy)


def test_casting_weights_once_changes_no_bit(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [("good food",), ("a sad day with you",), ("nice",)]
    cast = Predictor(archive, precision="bf16", threads=1)
    assert {part.weight.dtype for part in cast._module.modules() if isinstance(part, torch.nn.Linear)} == {
        torch.bfloat16
    }
    monkeypatch.setattr("kubetune.serving.predictor._cast_linears", lambda module: None)
    assert Predictor(archive, precision="bf16", threads=1).predict(texts) == cast.predict(texts)

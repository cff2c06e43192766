"""Masks from the archive to the client: equal to the pipeline's on the exported model."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from transformers import pipeline
from typer.testing import CliRunner

import mask_toys
from answering import answering, ask
from kubetune.api.predicting import TextPredictor
from kubetune.cli.app import app
from kubetune.serving import client
from kubetune.serving.archive.export import export_hf
from kubetune.serving.golden.rescoring import ask_again, golden_answers
from kubetune.serving.golden.vectors import check_golden, read_golden
from kubetune.serving.predictor import Predictor
from kubetune.tasks.forms.fill_mask import FORM

CLEANING = ("html", "unicode-nfc", "urls", "mentions", "whitespace", "lower-case")
"""`lower-case` would make `[mask]` of the mask, and `html` nothing of `<mask>`."""
TEXTS = [
    "the a [MASK] film food we",
    "[MASK] saw it",
    "saw it [MASK] good",
    "the [MASK] day [MASK] food",
    "Film food [MASK], saw!",
    "[MASK]",
    "[MASK][MASK] day",
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return mask_toys.served_inputs(tmp_path_factory.mktemp("masks"), CLEANING)


@pytest.fixture(scope="module")
def archive(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mask_toys.packaged(inputs, tmp_path_factory.mktemp("packaged") / "archive", CLEANING)


@pytest.fixture(scope="module")
def predictor(archive: Path) -> Predictor:
    return Predictor(archive, precision="fp32", threads=1)


@pytest.fixture(scope="module")
def url(predictor: Predictor) -> Any:
    with answering(predictor) as address:
        yield address


@pytest.fixture(scope="module")
def fill(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("exported") / "hf"
    export_hf(archive, folder)
    return pipeline("fill-mask", str(folder), tokenizer_kwargs={"truncation": True}, device="cpu")


@pytest.fixture
def hub(url: str, monkeypatch: pytest.MonkeyPatch) -> InferenceClient:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return InferenceClient(model=url)


def same(found: Any, expected: Any) -> None:
    """Compare answers of one mask, or lists of them."""
    if isinstance(expected[0], list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
        return
    assert [(one["token"], one["token_str"], one["sequence"]) for one in found] == [
        (one["token"], one["token_str"], one["sequence"]) for one in expected
    ]
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in expected], abs=1e-5)


@pytest.mark.parametrize("text", TEXTS)
def test_answers_are_those_of_the_pipeline(predictor: Predictor, fill: Any, text: str) -> None:
    cleaned = text.replace("[MASK]", "\0").lower().replace("\0", "[MASK]")  # the export does not clean
    for parameters in ({}, {"top_k": 2}, {"targets": ["day", "we", "##s"]}, {"targets": "food", "top_k": 3}):
        status, found = ask(predictor, {"inputs": text, "parameters": parameters})
        assert status == 200, found
        same(found, fill(cleaned, **parameters))


def test_random_texts_are_answered_as_the_pipeline_does(predictor: Predictor, fill: Any) -> None:
    draw = random.Random(3)
    items = []
    for text in mask_toys.texts(20, 11):
        words = text.split()
        for place in draw.sample(range(len(words)), draw.randint(1, 3)):
            words[place] = "[MASK]"
        items.append(" ".join(words))
    status, found = ask(predictor, {"inputs": items[:4], "parameters": {"top_k": 4}})
    assert status == 200
    for text, answer in zip(items[:4], found, strict=True):
        same(answer, fill(text, top_k=4))
    same(TextPredictor(predictor).predict(items)[9].answer, fill(items[9]))


def test_the_model_learnt_what_follows(predictor: Predictor) -> None:
    (answer,) = TextPredictor(predictor).predict(["day day [MASK] day"])
    assert answer.answer[0]["token_str"] == "day"
    assert answer.answer[0]["score"] > 0.5
    assert str(answer).splitlines()[0].endswith("day: day day day day")


def test_the_client_of_hugging_face_reads_them(hub: InferenceClient, fill: Any) -> None:
    found = hub.fill_mask("day [MASK] day day", top_k=3)
    same([vars(one) for one in found], fill("day [MASK] day day", top_k=3))
    (one, other) = hub.fill_mask("day [MASK] day day", targets=["day", "saw"])
    assert (one.token_str, other.token_str) == ("day", "saw")
    assert one.sequence == "day day day day"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"inputs": "the day"}, 400, "`text` has no [MASK]: put it where a token is wanted"),
        ({"inputs": "the [mask] day"}, 400, "`text` has no [MASK]"),
        ({"inputs": "[MASK] " * 21}, 400, "`text` has 21 times [MASK]: at most 20 are filled in one text"),
        (
            {"inputs": "a [MASK]", "parameters": {"targets": ["day", "dayfilm"]}},
            400,
            "`targets` must be tokens of the vocabulary, and 'dayfilm' is none: the tokenizer parts it into 'day',",
        ),
        ({"inputs": "a [MASK]", "parameters": {"targets": []}}, 400, "`targets` must be a token of the vocabulary or"),
        ({"inputs": "a [MASK]", "parameters": {"targets": [""]}}, 400, "`targets` must be a token of the vocabulary"),
        ({"inputs": "a [MASK]", "parameters": {"top_k": 0}}, 400, "`top_k` must be a whole number from 1 to 1,000"),
        ({"inputs": "a [MASK]", "parameters": {"top_p": 1}}, 400, "allowed are top_k, targets"),
        ({"inputs": f"{'day ' * 40}[MASK]"}, 422, "1 of its masks are behind the tokens that are read"),
        ({"inputs": {"text": "a [MASK]", "text_pair": "b"}}, 400, "an item must be a string or an object with `text`"),
    ],
)
def test_what_cannot_be_filled_is_refused(predictor: Predictor, body: Any, status: int, reason: str) -> None:
    found, answer = ask(predictor, body)
    assert found == status
    assert reason in answer["error"]["reason"]


def test_each_item_has_its_own_status(url: str) -> None:
    reply = client.call(url, "POST", {"inputs": ["a [MASK]", "a day", {"text": "[MASK] day"}], "top_k": 2})
    first, second, third = reply.value["results"]
    assert (len(first["predictions"]), len(third["predictions"])) == (2, 2)
    assert second["error"]["status"] == 400
    assert len(client.call(url, "POST", {"text": "a [MASK]"}).value["predictions"]) == 5
    assert len(client.call(url, "POST", {"text": "a [MASK]", "all_scores": True}).value["predictions"]) == 5


def test_markup_and_addresses_around_a_mask_are_cleaned(predictor: Predictor) -> None:
    _, found = ask(predictor, {"inputs": "Day <b>DAY</b> [MASK]  day @[MASK]", "parameters": {"top_k": 1}})
    assert len(found) == 2
    assert found[0][0]["sequence"] == "[CLS] day day day day [UNK] [MASK] [SEP]"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_golden_rows_are_requests_with_a_mask(archive: Path, precision: Any) -> None:
    golden = read_golden(archive)
    assert all("[MASK]" in vector.item["text"] and "masks" in vector.expected for vector in golden.vectors)
    assert {"ordinary", "longest", "shortest"} < {vector.name for vector in golden.vectors}
    predictor = Predictor(archive, precision=precision, threads=1)
    assert check_golden(golden, golden_answers(predictor), predictor.task.form) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tokens: tokens[:-1], "got 4 tokens instead of 5"),
        (lambda tokens: [{**tokens[0], "score": tokens[0]["score"] - 0.01}, *tokens[1:]], "where 0.001 is allowed"),
        (lambda tokens: [{**tokens[0], "score": float("nan")}, *tokens[1:]], "where 0.001 is allowed"),
        (lambda tokens: [{**tokens[0], "token": 99}, *tokens[1:]], "got "),
        (lambda tokens: [*tokens[:-1], {**tokens[-1], "token": 99}], None),  # as likely as the fifth: a tie
        (lambda tokens: [{**one, "score": one["score"] + 5e-4} for one in tokens], None),
    ],
)
def test_other_tokens_are_told_from_the_golden_ones(change: Any, sentence: str | None) -> None:
    tokens = [{"token": number, "score": 0.5 / 2**number} for number in range(5)]
    found = FORM.differs({"masks": [tokens]}, {"masks": [change(tokens)]}, 1e-3)
    assert (found is None) == (sentence is None)
    assert (sentence or "") in (found or "")
    assert FORM.differs({"masks": [tokens]}, {"masks": [tokens, tokens]}, 1e-3) == "got 2 masks filled instead of 1"


def test_an_archive_is_asked_again_for_the_same_masks(archive: Path, inputs: dict[str, Path]) -> None:
    """A champion is given raw texts alone, and is asked for the tokens that the candidate was asked for."""
    import pyarrow.parquet as pq

    table = pq.read_table(inputs["report"] / "predictions.parquet")
    items = [(text,) for text in table["raw_text"].to_pylist()]
    found = ask_again(archive, [*items, (" ",)], lambda _: None)
    assert found.answered.tolist() == [True] * len(items) + [False]
    assert mask_toys.TASK.comparable(table, found.columns).all()
    assert found.columns["nll"].to_pylist() == pytest.approx(table["nll"].to_pylist(), abs=1e-4)
    assert found.columns["top_1"].to_pylist() == table["top_1"].to_pylist()


def test_predict_prints_the_text_with_its_mask_filled(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["predict", "day [MASK] day day", "we [MASK] it [MASK]", "--endpoint", url])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "day [MASK] day day"
    assert lines[1].split(maxsplit=1)[1] == "day: day day day day"
    assert any("mask 2: " in line for line in lines)
    refused = CliRunner().invoke(app, ["predict", "no mask", "--endpoint", url])
    assert refused.exit_code != 0
    assert "has no [MASK]" in refused.output


def test_an_export_says_what_it_is(archive: Path, tmp_path: Path) -> None:
    export_hf(archive, tmp_path / "hf")
    config = json.loads((tmp_path / "hf/config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"]
    assert json.loads((tmp_path / "hf/tokenizer_config.json").read_text())["split_special_tokens"] is False
    assert 'pipeline("fill-mask", "FOLDER"' in (tmp_path / "hf/README.md").read_text()

"""Vectors from the archive to the client: a row of data has two texts, a request has one."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import tritonclient.http as triton
from huggingface_hub import InferenceClient
from transformers import AutoTokenizer
from typer.testing import CliRunner

import entity_toys
import served_toys
import toys
import vector_toys
from answering import answering
from gateway_in_process import NAME, InProcess, gateway_before
from kubetune.cli.app import app
from kubetune.errors import KubetuneError
from kubetune.serving import client
from kubetune.serving.archive.export import export_hf
from kubetune.serving.gateway.keys import KeyRing, new_key
from kubetune.serving.golden.rescoring import ask_again, golden_answers
from kubetune.serving.golden.vectors import check_golden, read_golden
from kubetune.serving.predictor import Predictor
from kubetune.stages import package
from kubetune.tasks import load_task
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.inference import predict_outputs
from kubetune.tasks.spec import save_model

TASK = load_task(vector_toys.SCORED)
MAX_LENGTH = 16
LONG = " ".join(["we saw the film with you on monday"] * 5) + " nice food"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("vectors")
    torch.set_num_threads(1)
    source = toys.write_toy_model(folder / "source")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    for name in served_toys.TOKENIZER:
        if (source / name).exists():
            (tokenizer / name).write_bytes((source / name).read_bytes())
    spec = ModelSpec(TASK.kind, (), "stock", vector_toys.HEAD, 0.0, MAX_LENGTH)
    rows = [*vector_toys.scored_rows(80), (LONG, "caf\u00e9 \U0001f922 the great love", 0.5)]
    items = [row[:2] for row in rows]
    encoding = TASK.encode(AutoTokenizer.from_pretrained(tokenizer), items, MAX_LENGTH)
    features = [{**feature, "label": [row[2]]} for feature, row in zip(encoding.features, rows, strict=True)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = TASK.build_model(spec, source, pretrained=True)
        entity_toys.learn(TASK, module, features, steps=10)
    (folder / "model").mkdir()
    save_model(module, spec, folder / "model")
    columns: dict[str, Any] = {"row_id": [f"{number:04}" for number in range(len(items))]}
    for place, name in enumerate(("text", "text_pair")):
        columns |= {f"raw_{name}": [item[place] for item in items], name: [item[place] for item in items]}
    columns |= {"length": [len(feature["input_ids"]) for feature in features]}
    outputs = predict_outputs(module, encoding.features, TASK, 0, 64)
    columns |= TASK.answer_columns(TASK.predictions(outputs, encoding, items, ()))
    (folder / "report").mkdir()
    pq.write_table(pa.table(columns), folder / "report" / "predictions.parquet")
    metrics = {"metrics": {}, "rows": len(items), "verdict": {"code": 0, "reasons": []}, "slices": {}, "truncated": 1}
    (folder / "report" / "metrics.json").write_text(json.dumps({**metrics, "labels": [], "per_class": []}))
    found = {name: folder / name for name in ("tokenizer", "model", "report")}
    found |= {"behaviour": served_toys.write_behaviour(folder / "behaviour")}
    return found | {"decision": served_toys.write_decision(folder / "decision")}


def packaged(inputs: dict[str, Path], out: Path) -> Path:
    view = served_toys.recipe_view(TASK.kind)
    view.data.cleaning, view.model.max_length = [], MAX_LENGTH
    out.mkdir()
    package.run(view, inputs, {"archive": out}, served_toys.Quiet(out.parent))
    return out


@pytest.fixture(scope="module")
def archive(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged(inputs, tmp_path_factory.mktemp("packaged") / "archive")


@pytest.fixture(scope="module")
def predictor(archive: Path) -> Predictor:
    return Predictor(archive, precision="fp32", threads=1)


@pytest.fixture(scope="module")
def url(predictor: Predictor) -> Any:
    with answering(predictor) as address:
        yield address


@pytest.fixture
def hub(url: str, monkeypatch: pytest.MonkeyPatch) -> InferenceClient:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return InferenceClient(model=url)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_golden_vectors_are_of_the_text_that_a_request_has(archive: Path, precision: Any) -> None:
    golden = read_golden(archive)
    assert all(set(vector.item) == {"text"} and len(vector.expected["vector"]) == 32 for vector in golden.vectors)
    names = {vector.name for vector in golden.vectors}
    assert {"ordinary", "longest", "shortest"} < names
    assert {"near", "far"} & names
    predictor = Predictor(archive, precision=precision, threads=1)
    assert check_golden(golden, golden_answers(predictor), predictor.task.form) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda vector: vector + 0.02 * np.roll(vector, 1), "at a cosine distance of"),
        (lambda vector: vector * 1.05, "whose length is off by 0.05, where 0.01 is allowed"),
        (lambda vector: vector[:-1], "got 31 numbers instead of 32"),
        (lambda vector: vector * 0, "without a direction"),
        (lambda vector: vector + 0.002 * np.roll(vector, 1), None),
    ],
)
def test_a_vector_elsewhere_is_told_from_the_golden_one(archive: Path, change: Any, sentence: str | None) -> None:
    expected = read_golden(archive).vectors[0].expected
    got = {"vector": change(np.array(expected["vector"])).tolist()}
    found = TASK.form.differs(expected, got, 1e-3)
    assert (found is None) == (sentence is None)
    assert (sentence or "") in (found or "")


def test_a_report_of_another_model_is_not_packaged(inputs: dict[str, Path], tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    table = pq.read_table(inputs["report"] / "predictions.parquet")
    place = table.column_names.index("confidence")
    shifted = pa.array(table["confidence"].to_numpy() - 0.1, pa.float32())
    pq.write_table(table.set_column(place, "confidence", shifted), report / "predictions.parquet")
    (report / "metrics.json").write_bytes((inputs["report"] / "metrics.json").read_bytes())
    with pytest.raises(KubetuneError, match="does not give what the report holds of its rows"):
        packaged({**inputs, "report": report}, tmp_path / "archive")


def test_the_client_of_hugging_face_reads_vectors(hub: InferenceClient, predictor: Predictor) -> None:
    expected = predictor.predict([("good film",)])[0].prediction.values[0]  # type: ignore[union-attr]
    one = hub.feature_extraction("good film")
    np.testing.assert_allclose(one, expected, atol=1e-6)
    normal = hub.feature_extraction("good film", normalize=True, truncate=True, truncation_direction="right")
    np.testing.assert_allclose(normal, expected / np.linalg.norm(expected), atol=1e-6)
    several = hub.feature_extraction(["good film", LONG])  # type: ignore[arg-type]
    assert several.shape == (2, 32)
    np.testing.assert_allclose(several[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"inputs": "a", "prompt_name": "query"}, "parameter `prompt_name` is not known: allowed are normalize"),
        ({"inputs": ["a"], "dimensions": 8}, "parameter `dimensions` is not known"),
        ({"inputs": "a", "truncation_direction": "left"}, "`truncation_direction` must be `right`"),
        ({"inputs": "a", "truncate": False}, "`truncate` must be true: of a longer text the beginning is read"),
        ({"inputs": "a", "normalize": "yes"}, "`normalize` must be true or false"),
        ({"inputs": "a", "encoding_format": "base64"}, "`encoding_format` must be `float`"),
        ({"text": "a", "text_pair": "b"}, "the body has an unknown key"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(url: str, body: dict[str, Any], reason: str) -> None:
    reply = client.call(url, "POST", body)
    assert reply.status == 400
    assert reason in reply.value["error"]["reason"]


def test_each_item_has_its_own_status(url: str) -> None:
    reply = client.call(url, "POST", {"inputs": [{"text": "good"}, {"text": " "}], "normalize": True})
    first, second = reply.value["results"]
    assert np.linalg.norm(first["predictions"]) == pytest.approx(1)
    assert second["error"]["status"] == 422


def test_predict_prints_cosines_and_numbers(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    both = CliRunner().invoke(app, ["predict", "good film", "good film", "bad day", "--endpoint", url])
    assert both.exit_code == 0, both.output
    lines = both.stdout.splitlines()
    assert lines[0] == "cosine with: good film"
    assert any(line.split() == ["good", "film", "1.000"] for line in lines)
    alone = CliRunner().invoke(app, ["predict", "good film", "--endpoint", url])
    assert "good film  32 numbers: " in alone.stdout
    paired = CliRunner().invoke(app, ["predict", "good film", "--pair", "bad day", "--endpoint", url])
    assert paired.exit_code != 0


@pytest.fixture(scope="module")
def live(predictor: Predictor) -> Any:
    with gateway_before(predictor) as found:
        yield found


@pytest.fixture
def openai_client(live: InProcess) -> Any:
    transport = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0, http_client=transport) as found:
        yield found


def test_the_client_of_openai_reads_vectors(openai_client: Any, predictor: Predictor) -> None:
    vector = predictor.predict([("good film",)])[0].prediction.values[0]  # type: ignore[union-attr]
    expected = vector / np.linalg.norm(vector)
    for how in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):  # without one it asks for base64
        found = openai_client.embeddings.create(model=NAME, input=["good film", LONG], **how)
        first, second = found.data
        if how.get("encoding_format") == "base64":
            first.embedding = np.frombuffer(base64.b64decode(first.embedding), "<f4").tolist()
        np.testing.assert_allclose(first.embedding, expected, atol=1e-5)
        assert (first.index, second.index, found.model, found.object) == (0, 1, NAME, "list")
        # What the model read: two words and two ends, and a text that was cut at its length.
        assert (found.usage.prompt_tokens, found.usage.total_tokens) == (4 + MAX_LENGTH, 4 + MAX_LENGTH)
    assert len(openai_client.embeddings.create(model=NAME, input="good film", user="ada").data) == 1
    assert [model.id for model in openai_client.models.list()] == [NAME]
    assert openai_client.models.retrieve(NAME).owned_by == "kubetune"


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"input": "a", "model": "gpt"}, 404, "model 'gpt' is not served here: this endpoint's is `toy`"),
        ({"input": "a", "model": None}, 404, "model None is not served here"),
        (
            {"input": [1, 2], "model": NAME},
            400,
            "`input` holds token ids, which belong to another tokenizer: send texts",
        ),
        ({"input": [[1], [2]], "model": NAME}, 400, "token ids"),
        ({"input": [], "model": NAME}, 400, "`input` must be a text or a list with at least one"),
        ({"input": {}, "model": NAME}, 400, "`input` must be a text or a list with at least one"),
        ({"input": [None], "model": NAME}, 400, "`input` must hold texts and nothing else"),
        ({"input": "a", "model": NAME, "dimensions": 8}, 400, "`dimensions` is not supported"),
        ({"input": "a", "model": NAME, "encoding_format": "int8"}, 400, "must be float or base64, not 'int8'"),
        ({"input": "a", "model": NAME, "user": 1}, 400, "`user` must be a string"),
        ({"input": "a", "model": NAME, "truncate": True}, 400, "the body's key `truncate` is not known"),
        ({"input": ["a", " "], "model": NAME}, 422, "item 1: text is empty after cleaning"),
        ({"input": ["a"] * 65, "model": NAME}, 413, "65 items: at most 64 are allowed"),
    ],
)
def test_what_openai_knows_and_we_do_not_is_refused(
    live: InProcess, openai_client: Any, body: dict[str, Any], status: int, sentence: str
) -> None:
    with pytest.raises(openai.APIStatusError, match=re.escape(sentence)) as raised:
        openai_client.post("/embeddings", body=body, cast_to=object)
    assert raised.value.status_code == status
    assert raised.value.type == "invalid_request_error" and raised.value.request_id is not None


def test_errors_of_openai_have_its_types(predictor: Predictor, tmp_path: Path) -> None:
    key, line = new_key("alice")
    (tmp_path / "keys").write_text(line)
    with gateway_before(predictor, KeyRing(tmp_path / "keys"), rate=0.4) as live:
        clients = [
            openai.OpenAI(
                base_url=f"{live.url}/v1",
                api_key=each,
                max_retries=0,
                http_client=openai.DefaultHttpxClient(trust_env=False),
            )
            for each in (key, "kt_wrong")
        ]
        with pytest.raises(openai.AuthenticationError, match="the API key is not known") as raised:
            clients[1].embeddings.create(model=NAME, input="a")
        assert (raised.value.type, raised.value.code) == ("authentication_error", "invalid_api_key")
        assert clients[0].embeddings.create(model=NAME, input="a").data
        with pytest.raises(openai.RateLimitError, match=r"more than 0\.4 requests a second") as limited:
            clients[0].embeddings.create(model=NAME, input="a")
        assert limited.value.response.headers["retry-after"] and limited.value.type == "rate_limit_error"
        for each in clients:
            each.close()


def test_vectors_are_a_tensor(live: InProcess, predictor: Predictor) -> None:
    expected = predictor.predict([("good film",)])[0].prediction.values[0]  # type: ignore[union-attr]
    client_ = triton.InferenceServerClient(live.address)
    given = triton.InferInput("text", [2], "BYTES")
    given.set_data_from_numpy(np.array(["good film", "bad"], dtype=object))
    found = client_.infer(NAME, [given], parameters={"normalize": False}).as_numpy("embedding")
    assert (found.shape, found.dtype) == ((2, 32), np.float32)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    client_.close()


def test_an_archive_answers_rows_of_data_again(archive: Path, inputs: dict[str, Path]) -> None:
    table = pq.read_table(inputs["report"] / "predictions.parquet")
    items = list(zip(table["raw_text"].to_pylist(), table["raw_text_pair"].to_pylist(), strict=True))[:6]
    found = ask_again(archive, [*items, ("good", " ")], lambda _: None)
    assert found.answered.tolist() == [True] * 6 + [False]
    assert found.columns["cosine"].to_pylist() == pytest.approx(table["cosine"].to_pylist()[:6], abs=1e-5)


def test_an_export_gives_the_same_vectors(archive: Path, predictor: Predictor, tmp_path: Path) -> None:
    from transformers import pipeline

    export_hf(archive, tmp_path / "hf")
    extract = pipeline("feature-extraction", str(tmp_path / "hf"), tokenize_kwargs={"truncation": True}, device="cpu")
    for text in ("good film", LONG):
        expected = predictor.predict([(text,)])[0].prediction.values[0]  # type: ignore[union-attr]
        np.testing.assert_allclose(np.array(extract(text)[0]).mean(axis=0), expected, atol=1e-5)
    pooling = json.loads((tmp_path / "hf/1_Pooling/config.json").read_text())
    assert (pooling["word_embedding_dimension"], pooling["pooling_mode_mean_tokens"]) == (32, True)
    assert not pooling["pooling_mode_cls_token"]
    assert [entry["path"] for entry in json.loads((tmp_path / "hf/modules.json").read_text())] == ["", "1_Pooling"]
    assert json.loads((tmp_path / "hf/config.json").read_text())["architectures"] == ["BertModel"]

"""The Open Inference Protocol: what real clients read, and what is refused, with which sentence."""

import http.client
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton

from gateway_in_process import NAME, InProcess, gateway_before
from kubetune.serving.gateway.keys import KeyRing, new_key
from kubetune.serving.gateway.refusal import HttpRefusal
from kubetune.serving.predictor import Predictor
from kubetune.serving.protocols import tensors
from kubetune.tasks import load_task

INFER = f"/v2/models/{NAME}/infer"
HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def live(predictor: Predictor) -> Iterator[InProcess]:
    with gateway_before(predictor) as found:
        yield found


@pytest.fixture(scope="module")
def pairs(pair_archive: Path) -> Iterator[InProcess]:
    with gateway_before(Predictor(pair_archive, threads=1)) as found:
        yield found


def send(
    live: InProcess, body: bytes, path: str = INFER, method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of the answer to raw bytes."""
    connection = http.client.HTTPConnection(live.address, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply.status, {name.lower(): text for name, text in reply.getheaders()}, json.loads(content)


def tensor(*texts: str, name: str = "text", **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [len(texts)], "data": list(texts), **more}


def ask(live: InProcess, *inputs: dict[str, Any], **more: Any) -> tuple[int, Any]:
    status, _, value = send(live, json.dumps({"inputs": inputs, **more}).encode())
    return status, value


def test_triton_client_reads_what_our_own_form_says(live: InProcess, predictor: Predictor) -> None:
    texts = ["a good day", "awful food at the caf\u00e9 \U0001f922"]
    expected = [answer.prediction for answer in predictor.predict([(text,) for text in texts])]  # type: ignore[union-attr]
    client = triton.InferenceServerClient(live.address)
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(NAME) and client.is_model_ready(NAME, "1.0")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for binary in (True, False):
        for version in ("", "1.0"):
            given = triton.InferInput("text", [2], "BYTES")
            given.set_data_from_numpy(np.array(texts, dtype=object), binary_data=binary)
            found = client.infer(NAME, [given], version, request_id="mine", parameters={"all_scores": True})
            scores = dict(zip(found.as_numpy("label")[1].tolist(), found.as_numpy("score")[1].tolist(), strict=True))
            for number, label in enumerate(predictor.archive.labels):
                assert scores[label.encode()] == pytest.approx(expected[1][number], abs=1e-6)
            assert (found.get_response()["id"], found.get_response()["model_version"]) == ("mine", "1.0")
    one = client.infer(NAME, [given], outputs=[triton.InferRequestedOutput("score", binary_data=False)])
    assert one.as_numpy("score").shape == (2, 1) and one.as_numpy("label") is None
    client.close()


def test_metadata_names_what_infer_takes_and_gives(pairs: InProcess) -> None:
    status, _, found = send(pairs, b"", f"/v2/models/{NAME}/versions/1.0", "GET")
    assert status == 200 and found["versions"] == ["1.0"]
    inputs = [tensor("a good day", "bad", name=each["name"]) for each in found["inputs"]]
    assert [each["name"] for each in inputs] == ["text", "text_pair"]
    status, answer = ask(pairs, *inputs)
    assert status == 200
    assert [(each["name"], each["datatype"], len(each["shape"])) for each in answer["outputs"]] == [
        (each["name"], each["datatype"], len(each["shape"])) for each in found["outputs"]
    ]
    assert [each["shape"] for each in answer["outputs"]] == [[2, 1], [2, 1]]


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_a_row_is_an_item(live: InProcess, shape: list[int]) -> None:
    data = [["a good day"], ["bad"]] if len(shape) == 2 else ["a good day", "bad"]
    status, answer = ask(live, tensor(shape=shape, data=data))
    assert status == 200 and len(answer["outputs"][0]["data"]) == 2


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"inputs": []}, 400, "`inputs` must be a list with at least one tensor"),
    ({}, 400, "`inputs` must be a list"),
    ({"inputs": ["a"]}, 400, "each input must be an object with a `name`"),
    ({"inputs": [tensor("a", name="texts")]}, 400, "input `texts` is not known: allowed are text, text_pair"),
    ({"inputs": [tensor("a"), tensor("a")]}, 400, "input `text` is there twice"),
    ({"inputs": [tensor("a", datatype="INT32")]}, 400, "input `text` has datatype 'INT32': texts are BYTES"),
    ({"inputs": [tensor("a", shape=[2])]}, 400, "input `text` has 1 texts and a shape of 2"),
    ({"inputs": [tensor("a", shape=[1, 2])]}, 400, "give [items] or [items, 1], one text an item"),
    ({"inputs": [tensor("a", shape=[True])]}, 400, "give [items] or [items, 1]"),
    ({"inputs": [tensor("a", shape="1")]}, 400, "give [items] or [items, 1]"),
    ({"inputs": [tensor()]}, 400, "input `text` has no item: give at least one"),
    ({"inputs": [tensor(data=[1], shape=[1])]}, 400, "input `text` holds something else than texts"),
    ({"inputs": [tensor(data=[["a", 1]], shape=[2])]}, 400, "input `text` holds something else than texts"),
    ({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1]}]}, 400, "neither `data` nor `binary_data_size`"),
    ({"inputs": [tensor("a", more=1)]}, 400, "input `text`: its key `more` is not known"),
    ({"inputs": [tensor("a", parameters={"shared_memory_region": "x"})]}, 400, "parameter `shared_memory_region` is"),
    ({"inputs": [tensor("a", parameters={"binary_data_size": 1})]}, 400, f"the header {HEADER} is missing"),
    ({"inputs": [tensor("a")], "parameters": {"topk": 1}}, 400, "parameter `topk` is not known: allowed are top_k"),
    ({"inputs": [tensor("a")], "parameters": {"top_k": 0}}, 400, "`top_k` must be a whole number from 1"),
    ({"inputs": [tensor("a")], "parameters": {"sequence_id": 1}}, 400, "parameter `sequence_id` is not known"),
    ({"inputs": [tensor("a")], "parameters": []}, 400, "`parameters` must be an object"),
    ({"inputs": [tensor("a")], "parameters": {"binary_data_output": 1}}, 400, "must be true or false"),
    (
        {"inputs": [tensor("a")], "outputs": [{"name": "logits"}]},
        400,
        "output `logits` is not known: allowed are label",
    ),
    ({"inputs": [tensor("a")], "outputs": [{"name": "score"}] * 2}, 400, "output `score` is asked for twice"),
    ({"inputs": [tensor("a")], "outputs": ["score"]}, 400, "each output must be an object with a `name`"),
    (
        {"inputs": [tensor("a")], "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
        400,
        "output `label`: parameter `classification` is not known: allowed are binary_data",
    ),
    ({"inputs": [tensor("a")], "id": 1}, 400, "`id` must be a string"),
    ({"inputs": [tensor("a")], "model": "x"}, 400, "the body's key `model` is not known"),
    ({"inputs": [tensor(*"a" * 65)]}, 413, "input `text` has 65 items: at most 64 are allowed"),
    ({"inputs": [tensor("a", name="text_pair")]}, 400, "an item must have `text`"),
    ({"inputs": [tensor("a"), tensor("b", name="text_pair")]}, 400, "takes text: 2 texts given"),
    (
        {"inputs": [tensor("a", "b"), tensor("b", name="text_pair")]},
        400,
        "different numbers of items: text 2, text_pair 1",
    ),
    ({"inputs": [tensor("good", " ")]}, 422, "item 1: text is empty after cleaning"),
    ({"inputs": [tensor("\ud800")]}, 422, "text holds a lone-surrogate"),
    ({"inputs": [tensor("good", "x" * 5000)]}, 413, "item 1: text has 5000 characters"),
]


@pytest.mark.parametrize(("body", "status", "sentence"), REFUSED)
def test_what_is_wrong_is_refused_in_a_sentence(live: InProcess, body: Any, status: int, sentence: str) -> None:
    found, headers, value = send(live, json.dumps(body).encode())
    assert (found, list(value)) == (status, ["error"])
    assert sentence in value["error"]
    assert headers["x-request-id"] and headers["content-type"].startswith("application/json")


def packed(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def binary(behind: bytes, size: int | None = None, count: int = 1, **more: Any) -> tuple[bytes, bytes]:
    """The JSON of a request, and the bytes behind it."""
    parameters = {"binary_data_size": len(behind) if size is None else size}
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [count], "parameters": parameters, **more}]
    return json.dumps({"inputs": inputs}).encode(), behind


@pytest.mark.parametrize(
    ("request_", "length", "sentence"),
    [
        (binary(packed(b"good")), "x", f"the header {HEADER} must be a number of bytes"),
        (binary(packed(b"good")), "-1", "must be a number of bytes"),
        (binary(packed(b"good")), "999999", "says 999999 bytes of JSON, and the body has"),
        (binary(packed(b"good")), "3", "what the header calls JSON is not JSON that can be read"),
        (binary(packed(b"good"), size=99), None, "input `text` has 99 bytes, and 8 are left behind the JSON"),
        (binary(packed(b"good"), size=-1), None, "must be a number of bytes"),
        (binary(packed(b"good"), size=4), None, "of which 0 came"),
        (binary(packed(b"good") + b"x", size=8), None, "1 bytes behind the JSON belong to no input"),
        (binary(packed(b"good") + b"x"), None, "1 bytes behind its last element"),
        (binary(b"\0\0"), None, "ends before the length of element 0"),
        (binary(struct.pack("<I", 1 << 31) + b"x"), None, "element 0 of input `text` has 2147483648 bytes"),
        (binary(packed(b"good"), count=2), None, "ends before the length of element 1"),
        (binary(packed(b"\xff")), None, "element 0 of input `text` is not UTF-8"),
        (binary(packed(b"good"), data=["good"]), None, "`data` and a `binary_data_size`: give one of them"),
    ],
)
def test_malformed_bytes_are_refused_in_a_sentence(
    live: InProcess, request_: tuple[bytes, bytes], length: str | None, sentence: str
) -> None:
    head, behind = request_
    given = {HEADER.replace("-", "_"): length or str(len(head))}
    status, _, value = send(live, head + behind, **given)
    assert status == 400 and sentence in value["error"]


def test_other_models_versions_and_paths_are_not_found(live: InProcess) -> None:
    for path in ("/v2/models/other/infer", f"/v2/models/{NAME}/versions/2/infer", f"/v2/models/{NAME}/config"):
        status, _, value = send(live, b"{}", path)
        assert (status, value) == (404, {"error": value["error"]})
        assert f"the endpoint has model {NAME}, version 1.0" in value["error"]
    assert send(live, b"", "/v2/repository/index")[0] == 404
    status, headers, value = send(live, b"", INFER, "GET")
    assert (status, headers["allow"], value["error"]) == (405, "POST", "use POST")
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert send(live, b"x", Content_Type=kind)[::2] == (
            415,
            {"error": "send application/json or application/octet-stream"},
        )
    assert send(live, b"x" * ((1 << 20) + 1))[0] == 413


def test_keys_are_asked_for_in_the_protocol(predictor: Predictor, tmp_path: Path) -> None:
    key, line = new_key("alice")
    (tmp_path / "keys").write_text(line)
    with gateway_before(predictor, KeyRing(tmp_path / "keys")) as live:
        client = triton.InferenceServerClient(live.address)
        assert client.is_server_live()
        with pytest.raises(
            triton.InferenceServerException, match="send an API key as `Authorization: Bearer KEY`"
        ) as e:
            client.get_model_metadata(NAME)
        assert e.value.status() == "401"
        assert client.get_model_metadata(NAME, headers={"Authorization": f"Bearer {key}"})["name"] == NAME
        client.close()


def test_labels_of_different_numbers_are_no_tensor() -> None:
    label, *_ = tensors.outputs_of(load_task("text-classification-multi-label").form)
    one, two = [{"label": "a"}], [{"label": "a"}, {"label": "b"}]
    assert tensors.tensor_of(label, [two, two], ["", ""]).shape == (2, 2)
    with pytest.raises(HttpRefusal, match="the items have 1 to 2 labels, which no tensor holds: send them one by one"):
        tensors.tensor_of(label, [one, two], ["", ""])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("text-classification", [("label", "BYTES", 2), ("score", "FP32", 2)]),
        ("text-classification-multi-label", [("label", "BYTES", 2), ("score", "FP32", 2), ("chosen", "BOOL", 2)]),
        ("text-classification-regression", [("label", "BYTES", 2), ("score", "FP32", 2)]),
        ("zero-shot-classification", [("label", "BYTES", 2), ("score", "FP32", 2)]),
        ("feature-extraction", [("embedding", "FP32", 2)]),
        ("token-classification", [("predictions", "BYTES", 1)]),
        (
            "question-answering",
            [("answer", "BYTES", 1), ("score", "FP32", 1), ("start", "INT64", 1), ("end", "INT64", 1)],
        ),
    ],
)
def test_each_task_has_tensors(kind: str, expected: list[tuple[str, str, int]]) -> None:
    found = tensors.outputs_of(load_task(kind).form)
    assert [(output.name, output.datatype, output.rank) for output in found] == expected

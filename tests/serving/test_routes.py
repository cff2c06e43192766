"""Every path of an endpoint: what the document says of it, and that none of them is a way round keys and limits."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from gateway_in_process import NAME, InProcess, gateway_before
from kubetune.serving.gateway import openapi
from kubetune.serving.gateway.keys import KeyRing, new_key
from kubetune.serving.gateway.probes import STATES
from kubetune.serving.gateway.routes import not_served, routes_of
from kubetune.serving.predictor import Predictor
from kubetune.serving.protocols import own, web_form
from manifests_toys import manifest, served

KINDS = [
    "text-classification",
    "text-classification-multi-label",
    "text-classification-regression",
    "pair-classification",
    "token-classification",
    "question-answering",
    "zero-shot-classification",
    "feature-extraction",
    "feature-extraction-scored-pairs",
]

VALIDATED = {("feature-extraction", True), ("text-classification-multi-label", False)}


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    return new_key("alice")


@pytest.fixture(scope="module")
def keyed(predictor: Predictor, key: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    path: Path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(key[1])
    with gateway_before(predictor, KeyRing(path)) as found:
        yield found


def send(
    live: InProcess, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(live.address, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply.status, {name.lower(): text for name, text in reply.getheaders()}, content


def every(live: InProcess) -> list[tuple[str, str, str]]:
    """Method, path and media type of everything that the endpoint serves."""
    routes = routes_of(live.gateway.served())
    shown = [("GET", path, "application/json") for path, route in routes.items() if route.show]
    asked = [("POST", path, wire.KINDS[0]) for path, route in routes.items() for wire in route.wires]
    assert len(shown) >= 8 and len(asked) >= 6
    return [*shown, *asked]


def test_no_path_goes_round_the_keys(keyed: InProcess, key: tuple[str, str]) -> None:
    before = len(keyed.asked)
    for method, path, kind in every(keyed):
        for wrong in ({}, {"x_api_key": "kt_wrong"}, {"Authorization": f"Basic {key[0]}"}):
            status, headers, _ = send(keyed, method, path, b"{}", Content_Type=kind, **wrong)
            assert (status, method, path) == (401, method, path)
            assert "realm" in headers["www-authenticate"]
    assert len(keyed.asked) == before
    for path in STATES:
        assert send(keyed, "GET", path)[0] == 200


def test_no_path_goes_round_the_limits(keyed: InProcess, key: tuple[str, str]) -> None:
    """Each bound of the one entrance, on each path that asks the model."""
    gateway, asked = keyed.gateway, [each for each in every(keyed) if each[0] == "POST"]
    before = len(keyed.asked)
    for method, path, kind in asked:
        how = {"Content_Type": kind, "x_api_key": key[0]}
        large = send(keyed, method, path, b"x" * ((1 << 20) + 1), **how)
        assert large[0] == 413, path
        assert send(keyed, method, f"{path}?a=1", b"{}", **how)[0] == 400, path
        assert send(keyed, method, path, b"{}", Content_Encoding="gzip", **how)[0] == 415, path
        gateway.in_flight.now = gateway.in_flight.limit
        full = send(keyed, method, path, b"{}", **how)
        gateway.in_flight.now = 0
        assert (full[0], full[1]["retry-after"]) == (503, "1"), path
        gateway.rate.rate, gateway.rate._buckets["alice"] = 0.001, (0.0, time.monotonic())
        limited = send(keyed, method, path, b"{}", **how)
        gateway.rate.rate = 0.0
        assert limited[0] == 429, path
        gateway.backend.health.workers = 0  # type: ignore[union-attr]
        away = send(keyed, method, path, b"{}", **how)
        gateway.backend.health.workers = 1  # type: ignore[union-attr]
        assert away[0] == 503 and b"no worker of the model is ready" in away[2], path
    assert len(keyed.asked) == before


def test_one_request_is_one_in_the_quarantine_whatever_its_protocol(keyed: InProcess, key: tuple[str, str]) -> None:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a good day"]}
    ours, theirs = {"inputs": [{"text": "a good day"}]}, {"inputs": [tensor]}
    for path, body in ((f"/predictions/{NAME}", ours), (f"/v2/models/{NAME}/infer", theirs)):
        how = {"Content_Type": "application/json", "x_api_key": key[0]}
        assert send(keyed, "POST", path, json.dumps(body).encode(), **how)[0] == 200
    first, second = keyed.asked[-2:]
    assert json.loads(first) == json.loads(second) and first == second


@pytest.mark.parametrize("kind", KINDS)
def test_the_document_is_openapi_and_names_each_path(kind: str) -> None:
    for keyed, form in ((True, True), (False, False)):
        view = served(manifest(task=kind), keyed=keyed, form_open=form)
        document = json.loads(json.dumps(openapi.document(view)))
        if (kind, keyed) in VALIDATED:  # the rest of a document is of the same parts, and a check takes its time
            validate(document)
        assert document["openapi"].startswith("3.1")
        routes = routes_of(view)
        assert set(document["paths"]) == {*routes, *STATES}
        for path, route in routes.items():
            methods = {"get"} if route.show else set()
            posts = {"post"} if [wire for wire in route.wires if path == "/" or wire is not web_form] else set()
            assert set(document["paths"][path]) == methods | posts, path
        assert ("security" in document) == keyed
        assert ("/v1/embeddings" in routes) == kind.startswith("feature-extraction")


def test_what_the_document_describes_is_what_is_answered(keyed: InProcess, key: tuple[str, str]) -> None:
    how = {"Content_Type": "application/json", "x_api_key": key[0]}
    status, _, content = send(keyed, "GET", "/openapi.json", **how)
    document = json.loads(content)
    assert status == 200

    def fits(name: str, value: Any) -> bool:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        return not list(OAS31Validator(schema).iter_errors(value))

    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a good day"]}
    for path, name, answer, value in (
        (f"/predictions/{NAME}", "Request", "Answer", {"inputs": ["a good day", {"text": " "}], "top_k": 2}),
        (f"/predictions/{NAME}", "OneItem", "Result", {"text": "a good day", "all_scores": True}),
        (f"/v2/models/{NAME}/infer", "InferRequest", "InferAnswer", {"inputs": [tensor], "parameters": {"top_k": 1}}),
    ):
        status, _, content = send(keyed, "POST", path, json.dumps(value).encode(), **how)
        assert status == 200 and fits(name, value) and fits(answer, json.loads(content)), (path, content)
    for name, wrong in (("Request", {"inputs": []}), ("InferRequest", {"inputs": [{**tensor, "datatype": "FP32"}]})):
        assert not fits(name, wrong)


def test_a_classifier_has_no_openai_api(keyed: InProcess, key: tuple[str, str]) -> None:
    for path in ("/v1/embeddings", "/v1/models", "/v1"):
        status, _, content = send(keyed, "POST", path, b"{}", x_api_key=key[0])
        error = json.loads(content)["error"]
        assert status == 404 and error["code"] == "not_found"
        assert error["message"] == (
            "OpenAI's API is served for models whose answers are vectors, which this one's are not: predictions are "
            f"asked for by POST /predictions/{NAME}"
        )


def test_a_form_that_is_off_leaves_no_path(predictor: Predictor, tmp_path: Path) -> None:
    key, line = new_key("alice")
    (tmp_path / "keys").write_text(line)
    with gateway_before(predictor, KeyRing(tmp_path / "keys"), form_open=False) as live:
        how = {"Content_Type": web_form.KINDS[0], "x_api_key": key}
        assert send(live, "POST", "/", b"text.text=a", **how)[0] == 405
        status, _, content = send(live, "POST", f"/predictions/{NAME}", b"text.text=a", **how)
        assert status == 415 and " or ".join(own.KINDS) in content.decode()
        page = send(live, "GET", "/", Accept="text/html", x_api_key=key)
        assert page[0] == 200 and b"<form" not in page[2]
        challenged = send(live, "GET", "/", Accept="text/html")
        assert challenged[1]["www-authenticate"].startswith("Bearer")


def test_explanations_are_no_prediction() -> None:
    assert not_served("/explanations/tweets", served()).startswith("explanations are not served")

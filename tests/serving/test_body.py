"""Request bytes: every malformed body is a 4xx with a reason, and nothing raises."""

import http.server
import json
import threading

import pytest
from huggingface_hub import InferenceClient

from kubetune.serving.predictor import Answer, Refusal
from kubetune.serving.request import Request, answer, parse_request, request_form
from kubetune.tasks import load_task

JSON, PLAIN = "application/json", "text/plain; charset=utf-8"
FORM = request_form(load_task("text-classification"), 4, {})
EVERY = {"top_k": None}

GOOD = {
    "string": (b'"good"', JSON, Request((("good",),))),
    "object": (b'{"text": "good"}', JSON, Request((("good",),))),
    "no type counts as JSON": (b'{"text": "good"}', "", Request((("good",),))),
    "pair": (b'{"text": "a", "text_pair": "b"}', JSON, Request((("a", "b"),))),
    "list": (b'{"inputs": ["a", {"text": "b"}]}', JSON, Request((("a",), ("b",)), batched=True)),
    "top_k": (b'{"text": "a", "top_k": 2}', JSON, Request((("a",),), parameters={"top_k": 2})),
    "all scores": (b'{"inputs": ["a"], "all_scores": true}', JSON, Request((("a",),), batched=True, parameters=EVERY)),
    "hub": (b'{"inputs": "a", "parameters": {}}', JSON, Request((("a",),), hub=True)),
    "hub, top_k": (
        b'{"inputs": ["a", "b"], "parameters": {"top_k": 2, "function_to_apply": null}}',
        JSON,
        Request((("a",), ("b",)), batched=True, parameters={"top_k": 2}, hub=True),
    ),
    "hub, pair": (
        b'{"inputs": {"text": "a", "text_pair": "b"}}',
        JSON,
        Request((("a", "b"),), hub=True),
    ),
    "plain": ("caf\u00e9".encode(), PLAIN, Request((("caf\u00e9",),))),
    "plain that looks like JSON": (b'"good"', PLAIN, Request((('"good"',),))),
    "surrogate pair": (b'"\\ud83e\\udd22"', JSON, Request((("\U0001f922",),))),
}

BAD = {
    "empty": (b"", JSON, 400, "empty"),
    "empty plain": (b"", PLAIN, 400, "empty"),
    "broken JSON": (b'{"text": ', JSON, 400, "at character 9"),
    "100,000 levels": (b"[" * 100_000, JSON, 400, "not JSON that can be read"),
    "100,000 levels of objects": (b'{"a":' * 100_000, JSON, 400, "not JSON that can be read"),
    "not UTF-8": (b'"caf\xe9"', JSON, 400, "not UTF-8 at byte 4"),
    "not UTF-8, plain": (b"\xff\xfeg\x00", PLAIN, 400, "not UTF-8 at byte 0"),
    "UTF-8 with a mark": (b'\xef\xbb\xbf"a"', JSON, 400, "not JSON that can be read"),
    "NaN": (b'{"text": NaN}', JSON, 400, "not JSON that can be read"),
    "huge number": (b"9" * 10_000, JSON, 400, "not JSON that can be read"),
    "null": (b"null", JSON, 400, "must be a string or an object"),
    "list": (b'["a"]', JSON, 400, "must be a string or an object"),
    "number": (b"3", JSON, 400, "must be a string or an object"),
    "unknown key": (b'{"text": "a", "temperature": 1}', JSON, 400, "allowed are text, text_pair"),
    "both forms": (b'{"text": "a", "inputs": ["b"]}', JSON, 400, "not both"),
    "inputs a number": (b'{"inputs": 3}', JSON, 400, "must be a list"),
    "parameters no object": (b'{"inputs": "a", "parameters": 3}', JSON, 400, "must be an object"),
    "a parameter of another task": (
        b'{"inputs": "a", "parameters": {"temperature": 1}}',
        JSON,
        400,
        "allowed are top_k",
    ),
    "sigmoid": (b'{"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}}', JSON, 400, "must be softmax"),
    "parameters and top_k": (b'{"inputs": "a", "top_k": 1, "parameters": {}}', JSON, 400, "nothing else"),
    "parameters without inputs": (b'{"text": "a", "parameters": {}}', JSON, 400, "nothing else"),
    "top_k of 0 in parameters": (b'{"inputs": "a", "parameters": {"top_k": 0}}', JSON, 400, "whole number from 1"),
    "parameters, no inputs": (b'{"inputs": [], "parameters": {}}', JSON, 400, "at least one"),
    "parameters, many": (json.dumps({"inputs": ["a"] * 5, "parameters": {}}).encode(), JSON, 413, "at most 4"),
    "no inputs": (b'{"inputs": []}', JSON, 400, "at least one"),
    "too many inputs": (json.dumps({"inputs": ["a"] * 5}).encode(), JSON, 413, "5 items: at most 4"),
    "top_k of 0": (b'{"text": "a", "top_k": 0}', JSON, 400, "whole number from 1"),
    "top_k as text": (b'{"text": "a", "top_k": "2"}', JSON, 400, "whole number from 1"),
    "top_k true": (b'{"text": "a", "top_k": true}', JSON, 400, "whole number from 1"),
    "all_scores as text": (b'{"text": "a", "all_scores": "yes"}', JSON, 400, "true or false"),
    "top_k and all_scores": (b'{"text": "a", "top_k": 1, "all_scores": true}', JSON, 400, "not both"),
    "form": (b"text=a", "application/x-www-form-urlencoded", 415, "application/json or text/plain"),
    "binary": (b"\0\1", "application/octet-stream", 415, "application/json or text/plain"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_bodies(name: str) -> None:
    body, kind, wanted = GOOD[name]
    assert parse_request(body, kind, FORM) == wanted


@pytest.mark.parametrize("name", BAD)
def test_bad_bodies(name: str) -> None:
    body, kind, status, reason = BAD[name]
    found = parse_request(body, kind, FORM)
    assert isinstance(found, Refusal)
    assert found.status == status
    assert reason in found.reason


@pytest.mark.parametrize("entry", [3, None, [], {}, {"texts": "a"}, {"text_pair": "b"}, {"text": "a", "top_k": 1}])
def test_a_bad_entry_is_refused_alone(entry: object) -> None:
    found = parse_request(json.dumps({"inputs": ["a", entry]}).encode(), JSON, FORM)
    assert isinstance(found, Request)
    assert found.items[0] == ("a",)
    assert isinstance(found.items[1], Refusal)
    assert found.items[1].status == 400


def test_answers() -> None:
    task, labels = load_task("text-classification"), ("no", "yes")
    good, bad = Answer((0.25, 0.75)), Refusal(413, "too long")
    single = answer(Request((("a",),)), [good], task, labels, 1)
    assert (single[0], json.loads(single[1])) == (200, {"predictions": [{"label": "yes", "score": 0.75}]})
    every = answer(Request((("a",),), parameters=EVERY), [good], task, labels, 1)
    assert [entry["label"] for entry in json.loads(every[1])["predictions"]] == ["yes", "no"]
    mixed = answer(Request((("a",), ("b",)), batched=True), [bad, good], task, labels, 1)
    assert mixed[0] == 200
    assert json.loads(mixed[1])["results"][0] == {"error": {"status": 413, "reason": "too long"}}
    assert answer(Request((("a",),), batched=True), [bad], task, labels, 1)[0] == 413


def test_the_client_of_hugging_face_reads_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own code makes the request and reads the answer; what lies between is our parser and our answer."""
    task, labels = load_task("text-classification"), ("no", "yes")
    sent = []

    class Inside(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent.append(json.loads(body))
            request = parse_request(body, self.headers["Content-Type"], FORM)
            assert isinstance(request, Request), request
            status, text = answer(request, [Answer((0.25, 0.75))] * len(request.items), task, labels, 1)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Inside) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = InferenceClient(model=f"http://127.0.0.1:{server.server_port}/predictions/toy")
        every = client.text_classification("good food")
        best = client.text_classification("good food", top_k=1)
        server.shutdown()
    assert [(found.label, found.score) for found in every] == [("yes", 0.75), ("no", 0.25)]
    assert [found.label for found in best] == ["yes"]
    assert all("parameters" in body for body in sent)


def test_an_item_that_is_refused_refuses_a_request_of_the_hub() -> None:
    task, labels = load_task("text-classification"), ("no", "yes")
    request = Request((("a",), ("b",)), batched=True, hub=True)
    status, text = answer(request, [Answer((0.25, 0.75)), Refusal(413, "too long")], task, labels, 1)
    assert (status, json.loads(text)["error"]["reason"]) == (413, "too long")

"""The adapter, called with TorchServe's own context object but without a server."""

import json
import logging
from pathlib import Path

import pytest
from ts.context import Context, RequestProcessor

from handler_requests import context_for, send
from kubetune.serving.archive.manifest import archive_digest
from kubetune.serving.torchserve import handler as torchserve_handler
from kubetune.serving.torchserve.config import manifest
from kubetune.serving.torchserve.handler import TextHandler

JSON = "application/json"


@pytest.fixture(scope="module")
def model_dir(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "archive").symlink_to(archive)
    return folder


@pytest.fixture(scope="module")
def handler(model_dir: Path) -> TextHandler:
    handler = TextHandler()
    handler.initialize(context_for(model_dir, []))
    return handler


def test_each_request_of_a_batch_has_its_own_status(handler: TextHandler, model_dir: Path, archive: Path) -> None:
    replies = send(
        handler,
        model_dir,
        [
            (b'{"text": "good food", "top_k": 2}', JSON),
            (b'{"text": ', JSON),
            (b"bad film", "text/plain"),
            (b'{"text": "a \\ud800"}', JSON),
            (b'{"inputs": ["good", 3, "bad"]}', JSON),
            (json.dumps({"text": "a" * 3000}).encode(), JSON),
            (b"\xff", "text/plain"),
            (b"good", "image/png"),
        ],
    )
    assert [reply[0] for reply in replies] == [200, 400, 200, 422, 200, 413, 400, 415]
    assert [reply[1] for reply in replies][:2] == ["OK", "Bad Request"]
    for _, _, headers, _ in replies:
        assert headers["content-type"] == JSON
        assert headers["x-archive-digest"] == archive_digest(archive)
        assert headers["x-model-name"] == "toy"
        assert headers["x-model-version"] == "1.0"
        assert headers["x-precision"] in ("fp32", "bf16")
    assert [entry["label"] for entry in replies[0][3]["predictions"]] == ["positive", "negative"]
    assert replies[2][3]["predictions"][0]["label"] == "negative"
    kinds = [next(iter(result)) for result in replies[4][3]["results"]]
    assert kinds == ["predictions", "error", "predictions"]


def test_answers_do_not_mix_between_requests(handler: TextHandler, model_dir: Path) -> None:
    texts = ["good", "bad", "love", "hate", "nice food", "sad day"] * 5
    together = send(handler, model_dir, [(json.dumps(text).encode(), JSON) for text in texts])
    alone = [send(handler, model_dir, [(json.dumps(text).encode(), JSON)])[0] for text in texts]
    labels = [[reply[3]["predictions"][0]["label"] for reply in replies] for replies in (together, alone)]
    assert labels[0] == labels[1]
    assert len(set(labels[0])) == 2


def test_a_body_that_the_server_decoded_is_read_as_well(handler: TextHandler, model_dir: Path) -> None:
    context = context_for(model_dir, [(b"", JSON)] * 3)
    replies = handler.handle([{"body": {"text": "good"}}, {"body": "good"}, {"body": None}], context)
    assert replies[0] == replies[1]
    assert context.get_response_status(2)[0] == 400


def test_a_form_is_told_what_to_send(handler: TextHandler, model_dir: Path) -> None:
    context = context_for(model_dir, [(b"", "")])
    (reply,) = handler.handle([{"data": b"good"}], context)
    assert context.get_response_status(0)[0] == 415
    assert "body" in json.loads(reply)["error"]["reason"]


def test_nothing_is_raised_even_when_the_predictor_does(
    handler: TextHandler, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(handler.predictor, "predict", broken)
    replies = send(handler, model_dir, [(b'"good"', JSON), (b"{", JSON)])
    assert [reply[0] for reply in replies] == [500, 400]


def test_no_text_of_a_request_is_logged(
    handler: TextHandler, model_dir: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "my card number is 4111"
    with caplog.at_level(logging.DEBUG):
        send(handler, model_dir, [(f'{{"text": "{secret}'.encode(), JSON), (f'"{secret}"'.encode(), JSON)])
        send(handler, model_dir, [(f'{{"{secret}": "a"}}'.encode(), JSON), (secret.encode() + b"\xff", "text/plain")])
    assert secret not in caplog.text + "".join(capfd.readouterr())
    assert "bytes, sha256" in caplog.text


def test_torchserve_finds_one_class() -> None:
    from ts.utils.util import list_classes_from_module

    assert list_classes_from_module(torchserve_handler) == [TextHandler]
    assert not hasattr(torchserve_handler, "handle")


def test_a_name_that_is_not_the_machines_is_refused_alone(handler: TextHandler, model_dir: Path) -> None:
    hosts = ["localhost:8080", "evil.example", "127.0.0.1:8080", "box.lan"]
    context = Context("toy", str(model_dir), manifest("toy"), 32, None, "0.12.0")
    parts = {"body": {"content-type": "text/plain"}}
    context.request_processor = [RequestProcessor({**parts, "HOST": host}) for host in hosts]
    data = [{"body": bytearray(b"good")} for _ in hosts]

    def statuses() -> list[int]:
        assert len(handler.handle(data, context)) == len(hosts)
        return [context.get_response_status(index)[0] for index in range(len(hosts))]

    assert statuses() == [200] * 4  # outside our own folders, such as in a .mar, any name is somebody's own
    handler.hosts = frozenset({"box.lan"})
    try:
        assert statuses() == [200, 421, 200, 200]
    finally:
        handler.hosts = None


def test_a_header_named_like_the_body_breaks_no_batch(handler: TextHandler, model_dir: Path) -> None:
    context = Context("toy", str(model_dir), manifest("toy"), 32, None, "0.12.0")
    context.request_processor = [RequestProcessor({"body": "x"}), RequestProcessor({"body": {"content-type": JSON}})]
    replies = handler.handle([{"body": bytearray(b'{"text": "good"}')}] * 2, context)
    assert [json.loads(reply).keys() for reply in replies] == [{"predictions"}] * 2

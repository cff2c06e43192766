"""TorchServe's view of the predictor: bytes ↔ items, a status an item. What needs no TorchServe is elsewhere."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch

from kubetune.serving import hosts
from kubetune.serving import request as body
from kubetune.serving.archive.manifest import archive_digest
from kubetune.serving.asking import ask
from kubetune.serving.predictor import Answer, Predictor, Refusal

log = logging.getLogger(__name__)
ARCHIVE_FOLDER = "archive"

PHRASES = {
    200: "OK",
    400: "Bad Request",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    500: "Internal Server Error",
}


class TextHandler:
    """The one class of this module, which is how TorchServe finds it."""

    def initialize(self, context: Any) -> None:
        """Load the archive below the model folder; raising here keeps the worker from becoming READY."""
        logging.getLogger().setLevel(logging.WARNING)  # TorchServe's worker prints a line for each batch
        logging.getLogger("ts.metrics").setLevel(logging.INFO)  # its metrics are lines as well, and wanted
        properties = context.system_properties
        folder = Path(properties["model_dir"]) / ARCHIVE_FOLDER
        gpu = properties.get("gpu_id")
        device = f"cuda:{gpu}" if gpu is not None and torch.cuda.is_available() else "cpu"
        self.predictor = Predictor(folder, device)
        self.predictor.warm()
        archive = self.predictor.archive
        self.form = body.request_form(self.predictor.task, archive.serving.max_items, archive.texts)
        self.hosts = hosts.read(Path(properties["model_dir"]))
        self.headers = {
            "x-model-name": str(context.model_name),
            "x-model-version": str(context.manifest["model"]["modelVersion"]),
            "x-archive-digest": archive_digest(folder),
            "x-precision": self.predictor.precision,
        }
        log.warning("loaded %s", self.headers)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[str]:
        """Answer a batch of requests; never raises, since one exception would fail every request of the batch."""
        parsed = [self._parse(index, fields, context) for index, fields in enumerate(data)]
        requests = [request for request in parsed if isinstance(request, body.Request)]
        try:
            outcomes = iter(ask(requests, self.predictor))
        except Exception as error:  # last resort: what the predictor did not foresee must not become eight 503s
            log.error("a batch of %d requests failed (%s)", len(requests), type(error).__name__)
            failed = Refusal(500, "the model failed on this batch")
            outcomes = iter([[failed] * len(request.items) for request in requests])
        replies = []
        for index, request in enumerate(parsed):
            tokens = 0
            if isinstance(request, Refusal):
                status, text = body.refuse(request)
            else:
                archive, own = self.predictor.archive, next(outcomes)
                status, text = body.answer(request, own, self.predictor.task, archive.labels, archive.serving.top_k)
                tokens = sum(outcome.tokens for outcome in own if isinstance(outcome, Answer))
            self._stamp(index, status, context)
            context.set_response_header(index, "x-tokens", str(tokens))
            replies.append(text)
        return replies

    def _parse(self, index: int, fields: dict[str, Any], context: Any) -> body.Request | Refusal:
        headers = context.get_all_request_header(index)
        host = next((value for name, value in headers.items() if name.lower() == "host"), "")
        if self.hosts is not None and not hosts.allowed(str(host), self.hosts):
            return Refusal(421, "this server is asked as localhost or 127.0.0.1; KUBETUNE_SERVE_HOSTS adds names")
        if "body" not in fields:
            return Refusal(415, "send the text as the request's body, application/json or text/plain")
        value = fields["body"]
        if not isinstance(value, bytes | bytearray):  # a server that decodes bodies itself (decode_input_request=true)
            return body.from_json(value, self.form)
        part = headers.get("body")  # of the body as TorchServe has it, unless a header of that name hides it
        kind = part.get("content-type", "") if isinstance(part, dict) else ""
        request = body.parse_request(bytes(value), kind, self.form)
        if isinstance(request, Refusal):
            log.warning(
                "refused %d bytes, sha256 %s: %s", len(value), hashlib.sha256(value).hexdigest()[:12], request.reason
            )
        return request

    def _stamp(self, index: int, status: int, context: Any) -> None:
        """TorchServe sends neither content type nor reason phrase by itself."""
        context.set_response_content_type(index, "application/json")
        context.set_response_status(status, PHRASES[status], index)
        for name, value in self.headers.items():
            context.set_response_header(index, name, value)

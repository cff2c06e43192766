"""OpenAI's `/v1/embeddings` and `/v1/models`, for models whose answers are vectors.

https://platform.openai.com/docs/api-reference/embeddings. Vectors have length 1, as OpenAI's have: its clients compare
them by dot products.
"""

import base64
import json
from typing import Any

import numpy as np

from kubetune.serving.gateway.refusal import JSON, HttpRefusal
from kubetune.serving.protocols import tensors
from kubetune.serving.protocols.base import (
    Answered,
    EndpointModel,
    Question,
    Received,
    Written,
    all_predictions,
    asked_of,
    load_object,
    only_known,
    reject,
)

KINDS = (JSON,)
KEYS = ("input", "model", "encoding_format", "dimensions", "user")
FORMATS = ("float", "base64")
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""Status → OpenAI's type of error; others of 4xx are invalid requests, 5xx are the server's."""
CODES = {401: "invalid_api_key", 404: "not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}


def answers_vectors(served: EndpointModel) -> bool:
    """Whether answers of a model are vectors."""
    return [output.name for output in tensors.outputs_of(served.task.form)] == [tensors.VECTOR]


def model_object(served: EndpointModel) -> dict[str, Any]:
    """Return what is said of the model. An archive knows no time, so `created` is 0."""
    return {"id": served.endpoint, "object": "model", "created": 0, "owned_by": "kubetune"}


def read_request(received: Received, served: EndpointModel) -> Question:
    """See `WireProtocol.read_request`."""
    body = load_object(received.body)
    only_known(body, KEYS, "the body's key")
    if "model" not in body:
        reject(400, f"`model` is missing: give `{served.endpoint}`")
    if body["model"] != served.endpoint:
        reject(404, f"model {body['model']!r:.80} is not served here: this endpoint's is `{served.endpoint}`")
    if body.get("dimensions") is not None:
        reject(400, "`dimensions` is not supported: this model's vectors mean nothing when they are cut, leave it out")
    if not isinstance(body.get("user"), str | None):
        reject(400, "`user` must be a string")
    wanted = body.get("encoding_format")
    if wanted is not None and wanted not in FORMATS:
        reject(400, f"`encoding_format` must be {' or '.join(FORMATS)}, not {wanted!r:.40}")
    return asked_of(_items(body.get("input"), served), {"normalize": True}, wanted or FORMATS[0])


def write_answer(answered: Answered, question: Question, served: EndpointModel) -> Written:
    """See `WireProtocol.write_answer`."""
    vectors = all_predictions(answered)
    found = [
        {"object": "embedding", "index": place, "embedding": _encoded(vector, question.kept)}
        for place, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": answered.tokens, "total_tokens": answered.tokens}
    return Written(json.dumps({"object": "list", "data": found, "model": served.endpoint, "usage": usage}).encode())


def write_refusal(refusal: HttpRefusal, request_id: str) -> Written:
    """See `WireProtocol.write_refusal`; the request's id is in a header."""
    del request_id
    kind = TYPES.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "server_error")
    error = {"message": refusal.reason, "type": kind, "param": None, "code": CODES.get(refusal.status)}
    return Written(json.dumps({"error": error}).encode(), status=refusal.status, headers=refusal.headers)


def _items(given: Any, served: EndpointModel) -> list[dict[str, str]]:
    """Return the items of `input`: a text or a list of texts."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        reject(400, "`input` must be a text or a list with at least one")
    if any(isinstance(text, int | list) for text in texts):
        reject(400, "`input` holds token ids, which belong to another tokenizer: send texts")
    if not all(isinstance(text, str) for text in texts):
        reject(400, "`input` must hold texts and nothing else")
    (name, *_) = served.accepted.named
    return [{name: text} for text in texts]


def _encoded(vector: list[float], wanted: str) -> list[float] | str:
    """Return a vector as numbers, or as the base64 of its numbers as little-endian FP32."""
    if wanted == FORMATS[0]:
        return vector
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode("ascii")

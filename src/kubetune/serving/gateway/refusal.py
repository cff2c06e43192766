"""The gateway's one error format: a status, one sentence, a request id."""

import json
from collections.abc import Mapping

from aiohttp import web

JSON = "application/json"


class HttpRefusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request gets this answer instead of a prediction.

    Attributes:
        status: HTTP status.
        reason: One sentence for the client; holds no text of the request.
        headers: Further headers, for example `Retry-After` (seconds).
        audit: What the log says of it beside the sender's address; holds no key. Empty: nothing.
    """

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None, *, audit: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, dict(headers or {})
        self.audit = audit


def render_error(status: int, reason: str, request_id: str) -> bytes:
    """Return the JSON body of an error; the handler's own errors look the same but for the id."""
    return json.dumps({"error": {"status": status, "reason": reason, "request_id": request_id}}).encode()


def with_id(body: bytes, status: int, request_id: str) -> bytes:
    """Return an error body of the server behind us in our format.

    The handler answers `{"error": {"status", "reason"}}`, TorchServe itself `{"code", "type", "message"}`. A list of
    which every item was refused stays: each has a reason of its own.
    """
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("results"), list):
        return json.dumps({**value, "request_id": request_id}).encode()
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict) and "reason" in error:
        return json.dumps({"error": {**error, "request_id": request_id}}).encode()
    message = value.get("message") if isinstance(value, dict) else None
    return render_error(status, str(message or "the model server gave no reason")[:200], request_id)


def refused(refusal: HttpRefusal, request_id: str) -> web.Response:
    """Return the answer that a refusal stands for."""
    body = render_error(refusal.status, refusal.reason, request_id)
    return web.Response(status=refusal.status, body=body, content_type=JSON, headers=refusal.headers)

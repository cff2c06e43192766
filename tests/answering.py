"""An archive behind HTTP and without it, with the server's own reader and writer of bodies."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubetune.serving import asking
from kubetune.serving import request as body
from kubetune.serving.predictor import Predictor, Refusal
from loopback import QuietHandler, serving


def replied(predictor: Predictor, content: bytes, content_type: str) -> tuple[int, bytes]:
    """Return status and body of the answer to a request."""
    request = body.parse_request(content, content_type, body.request_form(predictor.task, 4, predictor.archive.texts))
    if isinstance(request, Refusal):
        status, text = body.refuse(request)
    else:
        (outcomes,) = asking.ask([request], predictor)
        status, text = body.answer(request, outcomes, predictor.task, predictor.archive.labels, 1)
    return status, text.encode()


def ask(predictor: Predictor, value: Any) -> tuple[int, Any]:
    """Return status and answer to a JSON value."""
    status, text = replied(predictor, json.dumps(value).encode(), "application/json")
    return status, json.loads(text)


@contextmanager
def answering(predictor: Predictor) -> Iterator[str]:
    """Serve; yield the address of its predictions."""

    class Handler(QuietHandler):
        def answer(self) -> None:
            self.send(*replied(predictor, self.body(), self.headers["Content-Type"]), Content_Type="application/json")

    with serving(Handler) as address:
        yield f"{address}/predictions/toy"

"""Our own form and that of Hugging Face's clients, see `serving.request`: the model server reads and writes both."""

from kubetune.serving.gateway.refusal import JSON, HttpRefusal, render_error, with_id
from kubetune.serving.protocols.base import Answered, Question, Received, Served, Written

KINDS = (JSON, "text/plain")


def read(received: Received, served: Served) -> Question:
    """See `Dialect.read`: as it is."""
    del served
    return Question(received.body, received.kind, received.request_id)


def write(answered: Answered, question: Question, served: Served) -> Written:
    """See `Dialect.write`: as it is, a refusal with the request's id."""
    del served
    if answered.status < 400:
        return Written(answered.body)
    return Written(with_id(answered.body, answered.status, question.kept), status=answered.status)


def refused(refusal: HttpRefusal, request_id: str) -> Written:
    """See `Dialect.refused`."""
    body = render_error(refusal.status, refusal.reason, request_id)
    return Written(body, status=refusal.status, headers=refusal.headers)

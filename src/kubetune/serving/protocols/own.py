"""Our own form and that of Hugging Face's clients, see `serving.request`: the model server reads and writes both."""

from kubetune.serving.gateway.refusal import JSON, HttpRefusal, render_error, with_id
from kubetune.serving.protocols.base import Answered, EndpointModel, Question, Received, Written

KINDS = (JSON, "text/plain")


def read_request(received: Received, served: EndpointModel) -> Question:
    """See `WireProtocol.read_request`: as it is."""
    del served
    return Question(received.body, received.kind, received.request_id)


def write_answer(answered: Answered, question: Question, served: EndpointModel) -> Written:
    """See `WireProtocol.write_answer`: as it is, a refusal with the request's id."""
    del served
    if answered.status < 400:
        return Written(answered.body)
    return Written(with_id(answered.body, answered.status, question.kept), status=answered.status)


def write_refusal(refusal: HttpRefusal, request_id: str) -> Written:
    """See `WireProtocol.write_refusal`."""
    body = render_error(refusal.status, refusal.reason, request_id)
    return Written(body, status=refusal.status, headers=refusal.headers)

"""What a protocol is: a way to ask and to answer in bytes. What lies between is the same for all of them.

The gateway reads a body under its keys, limits and rate, lets the protocol turn it into a body of our own form
(`serving.request`), asks the model server, and lets the protocol write what came back. So no protocol has a text gate,
a limit or a golden check of its own, and a request that makes workers die is the same one in each of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn, Protocol

from kubetune.serving.archive.manifest import Archive
from kubetune.serving.gateway.refusal import JSON, HttpRefusal
from kubetune.serving.request import RequestForm
from kubetune.serving.schemas import archive_form
from kubetune.tasks import load_task
from kubetune.tasks.base import Task


@dataclass(frozen=True)
class EndpointModel:
    """What an endpoint serves.

    Attributes:
        endpoint: Its name; also the model's.
        digest: Of the archive.
        archive: What it says.
        keyed: Whether a key is asked for.
        form_open: Whether its page has a form to try a text with.
    """

    endpoint: str
    digest: str
    archive: Archive
    keyed: bool = False
    form_open: bool = True

    @cached_property
    def task(self) -> Task:
        """What kind of problem the model solves."""
        return load_task(self.archive.task)

    @cached_property
    def accepted(self) -> RequestForm:
        """What a request may say."""
        return archive_form(self.archive)


@dataclass(frozen=True)
class Received:
    """A request's body as it came.

    Attributes:
        body: Bytes.
        kind: Media type, lower case, without parameters.
        headers: Of the request.
        request_id: Of the gateway.
    """

    body: bytes
    kind: str
    headers: Mapping[str, str]
    request_id: str = ""


@dataclass(frozen=True)
class Question:
    """What the model server is asked.

    Attributes:
        body: In our own form.
        kind: Its media type.
        kept: What the protocol has to know when it answers.
    """

    body: bytes
    kind: str = JSON
    kept: Any = None


@dataclass(frozen=True)
class Answered:
    """What our handler said.

    Attributes:
        status: 200, or that of a request or of a list that was refused whole.
        body: In our own form.
        tokens: That the model read.
    """

    status: int
    body: bytes
    tokens: int = 0


@dataclass(frozen=True)
class Written:
    """An answer in a protocol.

    Attributes:
        body: Bytes.
        kind: Media type.
        status: HTTP status.
        headers: Further ones.
    """

    body: bytes
    kind: str = JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class WireProtocol(Protocol):
    """One protocol; its modules implement this with functions."""

    @property
    def KINDS(self) -> Sequence[str]:  # noqa: N802 - a constant of the module
        """Media types of a request's body; the first one is that of a body without any."""

    def read_request(self, received: Received, served: EndpointModel) -> Question:
        """Return what the model is asked.

        Raises:
            HttpRefusal: The body is none of the protocol.
        """

    def write_answer(self, answered: Answered, question: Question, served: EndpointModel) -> Written:
        """Return the answer.

        Raises:
            HttpRefusal: The request was refused, or an item of it where the protocol has no errors of items.
        """

    def write_refusal(self, refusal: HttpRefusal, request_id: str) -> Written:
        """Return the answer to a request that gets none, or failed."""


def reject(status: int, reason: str) -> NoReturn:
    """Refuse a request.

    Raises:
        HttpRefusal: Always.
    """
    raise HttpRefusal(status, reason)


def load_object(content: bytes, what: str = "the body") -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        HttpRefusal: 400, it is none.
    """
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        reject(400, f"{what} is not JSON that can be read")
    if not isinstance(found, dict):
        reject(400, f"{what} must be a JSON object")
    return found


def only_known(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """Refuse keys that are not known.

    Raises:
        HttpRefusal: 400, with those that are.
    """
    if unknown := sorted(set(given) - set(known)):
        reject(400, f"{what} `{unknown[0]:.60}` is not known: allowed are {', '.join(known) or 'none'}")


def asked_of(items: Sequence[Mapping[str, str]], parameters: Mapping[str, Any], kept: Any = None) -> Question:
    """Return the question for items, in our own form, hardly longer than they came."""
    asked = {"inputs": list(items), **parameters}
    try:
        body = json.dumps(asked, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which the text gate refuses by name
        body = json.dumps(asked).encode()
    return Question(body, JSON, kept)


def all_predictions(answered: Answered) -> list[Any]:
    """Return what was predicted of each item, for a protocol that has no errors of items.

    Raises:
        HttpRefusal: The request or one of its items was refused: with the first one's status, and its place.
    """
    value = json.loads(answered.body)
    if "results" not in value:
        error = value["error"]
        reject(error.get("status", answered.status), error["reason"])
    for place, result in enumerate(value["results"]):
        if error := result.get("error"):
            where = f"item {place}: " if len(value["results"]) > 1 else ""
            reject(error["status"], f"{where}{error['reason']}")
    return [result["predictions"] for result in value["results"]]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

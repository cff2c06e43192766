"""The form of an endpoint's page: fields of a browser into our own request, and the answer into the page again.

The page has no script, so its fields are texts. A parameter is read as its schema says: numbers and true or false as in
JSON, a list as one value a line or between commas.

A form of another site would make a person's browser ask with the key that the browser remembers. It could not read the
answer and nothing is changed by it, yet it is refused: a browser says where a form comes from.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from kubetune.serving.gateway import page
from kubetune.serving.gateway.refusal import HttpRefusal
from kubetune.serving.protocols.base import (
    Answered,
    EndpointModel,
    Question,
    Received,
    Written,
    all_predictions,
    asked_of,
    reject,
)
from kubetune.serving.request import RANKED

KINDS = ("application/x-www-form-urlencoded",)
MOST_FIELDS = 64
SAME = ("same-origin", "none")


class FilledForm(NamedTuple):
    """A form as it was sent.

    Attributes:
        fields: Values by the field's name.
        host: That the page was asked at.
    """

    fields: Mapping[str, str]
    host: str


def read_request(received: Received, served: EndpointModel) -> Question:
    """See `WireProtocol.read_request`; what may be ranked is asked for whole unless the form says fewer."""
    _check_origin(received.headers)
    filled = FilledForm(_fields(received.body), received.headers.get("Host", ""))
    parameters = {
        name: _value(filled.fields[key], served.accepted.parameters[name].schema)
        for name in served.accepted.own_parameters
        if (filled.fields.get(key := page.PARAMETER + name, "")).strip()
    }
    if RANKED in served.accepted.own_parameters and RANKED not in parameters:
        parameters["all_scores"] = True
    texts = {name: filled.fields.get(page.TEXT + name, "") for name in page.fields_of(served)}
    known = {*(page.TEXT + name for name in texts), *(page.PARAMETER + name for name in served.accepted.own_parameters)}
    if unknown := sorted(set(filled.fields) - known):
        reject(400, f"the form has no field `{unknown[0]:.60}`")
    # A text that may be left out is: an empty one would be refused.
    given = {name: text for place, (name, text) in enumerate(texts.items()) if text or not place}
    return asked_of([given], parameters, filled)


def write_answer(answered: Answered, question: Question, served: EndpointModel) -> Written:
    """See `WireProtocol.write_answer`: the page with the answer or the reason against one, and the form as it was."""
    filled: FilledForm = question.kept
    try:
        (prediction,) = all_predictions(answered)
    except HttpRefusal as refusal:
        return page.written_page(served, filled.host, page.Tried(filled.fields, reason=refusal.reason), refusal.status)
    return page.written_page(served, filled.host, page.Tried(filled.fields, prediction))


def write_refusal(refusal: HttpRefusal, request_id: str) -> Written:
    """See `WireProtocol.write_refusal`: a page that leads back; what was typed is in the browser's history."""
    return page.written_refusal(refusal, request_id)


def _check_origin(headers: Mapping[str, str]) -> None:
    """Refuse a form of another site.

    `Sec-Fetch-Site` comes over TLS and from this machine alone; `Origin` always, and a proxy may have changed `Host`.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site in SAME or (site is None and (origin is None or urlsplit(origin).netloc == headers.get("Host", ""))):
        return
    reject(403, "this form was sent by another site: open the endpoint's own page")


def _fields(body: bytes) -> dict[str, str]:
    """Return the fields; a browser sends each line end as CR LF, and the model is asked what was typed."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        reject(400, f"the form cannot be read: it has at most {MOST_FIELDS} fields in UTF-8")
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            reject(400, f"field `{name:.60}` of the form is there twice")
        found[name] = value.replace("\r\n", "\n")
    return found


def _value(given: str, schema: Mapping[str, Any]) -> Any:
    """Return a field's text as a value of a schema; what fits none stays a text, which the model server refuses."""
    if schema.get("type") == "array":
        parts = given.splitlines() if "\n" in given.strip() else given.split(",")
        return [part.strip() for part in parts if part.strip()]
    if schema.get("type") == "string":
        return given
    try:
        found = json.loads(given)
    except ValueError:
        return given.strip()
    return found if isinstance(found, bool | int | float) else given.strip()

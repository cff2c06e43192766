"""What a person sees who opens an endpoint in a browser: a form to try a text with, and how a program asks.

The page has no script and loads nothing: a form is sent by the browser itself, and its answer is the page again.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from kubetune.serving.gateway.answer_view import view_of
from kubetune.serving.gateway.refusal import HttpRefusal
from kubetune.serving.protocols import openai_embeddings
from kubetune.serving.protocols.base import EndpointModel, Written
from kubetune.serving.request import RANKED
from kubetune.serving.schemas import (
    answer_schema,
    columns_of,
    example_item,
    ranks_all,
    request_schema,
    wanted_texts,
)
from kubetune.tasks.answers import Parameter
from kubetune.tasks.base import Task

HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With `no-referrer` a browser would say that the page's own form comes from nowhere.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""The page has no script and loads nothing, so that nothing in it can do harm under the endpoint's name. It may hold
texts of a person, so nothing keeps it."""
HTML = "text/html"
MOST_LABELS = 200
TEXT, PARAMETER = "text.", "parameter."
"""What the names of fields begin with."""


@dataclass(frozen=True)
class Tried:
    """A form that was sent, and what came of it.

    Attributes:
        fields: Values by the field's name.
        prediction: Of the model.
        reason: Why there is none; empty: there is one.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    prediction: Any = None
    reason: str = ""


def written_page(served: EndpointModel, host: str, tried: Tried | None = None, status: int = 200) -> Written:
    """Return the page as an answer; see `render_page`."""
    return Written(render_page(served, host, tried).encode(), HTML, status, HEADERS)


def written_refusal(refusal: HttpRefusal, request_id: str) -> Written:
    """Return the page of a form that got no answer at all."""
    text = _template("refused.html.j2").render(reason=refusal.reason, status=refusal.status, request_id=request_id)
    return Written(text.encode(), HTML, refusal.status, {**refusal.headers, **HEADERS})


def render_page(served: EndpointModel, host: str, tried: Tried | None = None) -> str:
    """Return the page as HTML.

    Args:
        served: What the endpoint serves.
        host: The request's `Host`; one that is no host name becomes `HOST`.
        tried: A form that was sent; None: the page was opened.
    """
    archive, task, accepted = served.archive, served.task, served.accepted
    name = host if HOST.fullmatch(host) else "HOST"
    form = task.form
    ranked = {RANKED: archive.serving.top_k} if RANKED in accepted.own_parameters else {}
    everything, ranked = bool(ranked), {} if ranks_all(accepted) else ranked
    texts = [tried.fields.get(TEXT + each, "") for each in fields_of(served)] if tried else []
    return _template("page.html.j2").render(
        endpoint=served.endpoint,
        digest=served.digest,
        task=archive.task,
        labels=archive.labels[:MOST_LABELS],
        more=max(0, len(archive.labels) - MOST_LABELS),
        max_length=archive.max_length,
        max_items=archive.serving.max_items,
        most_characters=archive.serving.max_characters,
        says=form.says,
        client=form.hub.client if len(task.served) == 1 or not form.request_texts else None,
        given=_arguments(task),
        item=example_item(task),
        further=form.hub.example,
        asked=json.dumps({"inputs": [example_item(task)], **form.hub.example, **ranked}),
        everything=everything,
        root=f"http://{name}",
        url=f"http://{name}/predictions/{served.endpoint}",
        keyed=served.keyed,
        columns=columns_of(archive),
        request=json.dumps(request_schema(archive), indent=2),
        answer=json.dumps(answer_schema(form), indent=2),
        vectors=openai_embeddings.answers_vectors(served),
        open=served.form_open,
        fields=fields_of(served),
        controls=[control_of(each, accepted.parameters[each], form.hub.example) for each in accepted.own_parameters],
        values=tried.fields if tried else {},
        tried=tried,
        view=view_of(texts, tried.prediction, form.schema) if tried and not tried.reason else None,
    )


def fields_of(served: EndpointModel) -> tuple[str, ...]:
    """Return the names of the texts that the form has."""
    return wanted_texts(served.task)


@dataclass(frozen=True)
class Control:
    """A parameter in the form.

    Attributes:
        name: Its name.
        kind: `choice`, `number`, `list` or `text`.
        choices: Values of a choice.
        hint: What it must be.
        default: Where nothing is said; empty: the model's own.
        needed: Whether a text is no request without it.
        least: Least number.
    """

    name: str
    kind: str
    choices: tuple[str, ...]
    hint: str
    default: str
    needed: bool
    least: str = ""


def control_of(name: str, parameter: Parameter, needed: Mapping[str, Any]) -> Control:
    """Return the control for a parameter, from its schema."""
    schema, choices = parameter.schema, tuple[str, ...]()
    kind = {"boolean": "choice", "integer": "number", "array": "list"}.get(schema.get("type", ""), "text")
    if kind == "choice":
        choices = ("true", "false")
    elif "enum" in schema:
        kind, choices = "choice", tuple(json.dumps(each).strip('"') for each in schema["enum"])
    default = "" if parameter.default is None else json.dumps(parameter.default).strip('"')
    return Control(name, kind, choices, parameter.must, default, name in needed, str(schema.get("minimum", "")))


def _arguments(task: Task) -> str:
    """Return how the client of Hugging Face is called with it: by the names of the texts where they are several."""
    item, further = example_item(task), task.form.hub.example
    named = {**({} if isinstance(item, str) else item), **further}
    first = [json.dumps(item)] if isinstance(item, str) else []
    return ", ".join([*first, *(f"{key}={json.dumps(value)}" for key, value in named.items())])


@cache
def _template(name: str) -> Template:
    text = (files("kubetune.serving.gateway") / name).read_text(encoding="utf-8")
    return Environment(undefined=StrictUndefined, autoescape=True).from_string(text)

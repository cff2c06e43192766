"""What a person sees who opens an endpoint in a browser: what it takes, what it answers, and how to ask it."""

import json
import re
from functools import cache
from importlib.resources import files

from aiohttp import web
from jinja2 import Environment, StrictUndefined, Template

from kubetune.serving.archive.manifest import Archive
from kubetune.serving.request import RANKED, RequestForm, request_form
from kubetune.tasks import load_task
from kubetune.tasks.answers import AnswerForm
from kubetune.tasks.base import Task

HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""The page has no script and loads nothing, so that nothing in it can do harm under the endpoint's name."""
MOST_LABELS = 200


def page_response(
    request: web.BaseRequest, endpoint: str, digest: str, archive: Archive, *, keyed: bool
) -> web.Response:
    """Return the page as an answer; see `render_page`."""
    text = render_page(endpoint, digest, archive, request.headers.get("Host", ""), keyed=keyed)
    return web.Response(text=text, content_type="text/html", headers=HEADERS)


def render_page(endpoint: str, digest: str, archive: Archive, host: str, *, keyed: bool) -> str:
    """Return the page as HTML.

    Args:
        endpoint: Its name.
        digest: Of the archive that it serves.
        archive: The archive.
        host: The request's `Host`; one that is no host name becomes `HOST`.
        keyed: Whether a key is asked for.
    """
    name = host if HOST.fullmatch(host) else "HOST"
    task = load_task(archive.task)
    form = task.form
    accepted = request_form(task, archive.serving.max_items, archive.texts)
    ranked = {RANKED: archive.serving.top_k} if RANKED in accepted.own_parameters else {}
    everything, ranked = bool(ranked), {} if _all_parts(accepted) else ranked
    return _template().render(
        endpoint=endpoint,
        digest=digest,
        task=archive.task,
        labels=archive.labels[:MOST_LABELS],
        more=max(0, len(archive.labels) - MOST_LABELS),
        max_length=archive.max_length,
        max_items=archive.serving.max_items,
        says=form.says,
        client=form.hub.client if len(task.served) == 1 or not form.request_texts else None,
        given=_arguments(task),
        item=_item(task),
        further=form.hub.example,
        asked=json.dumps({"inputs": [_item(task)], **form.hub.example, **ranked}),
        everything=everything,
        url=f"http://{name}/predictions/{endpoint}",
        keyed=keyed,
        columns=columns_of(archive),
        request=json.dumps(request_schema(archive), indent=2),
        answer=json.dumps(answer_schema(form), indent=2),
    )


def request_schema(archive: Archive) -> dict[str, object]:
    """Return the JSON Schema of a request's body."""
    accepted = request_form(load_task(archive.task), archive.serving.max_items, archive.texts)
    text = {"type": "string", "minLength": 1}
    texts: dict[str, object] = {
        "type": "object",
        "properties": dict.fromkeys(accepted.named, text),
        "required": [accepted.named[0]],
    }
    settings = {}
    for name in accepted.own_parameters:
        parameter = accepted.parameters[name]
        settings[name] = {**parameter.schema, **({} if parameter.default is None else {"default": parameter.default})}
    if RANKED in settings and not _all_parts(accepted):
        settings[RANKED]["default"] = archive.serving.top_k
    forms: list[dict[str, object]] = [text, texts]
    if columns := columns_of(archive):
        properties = {name: {"type": "string"} for name in columns}
        forms.append({"type": "object", "properties": properties, "minProperties": 1})
    item = {"anyOf": forms}
    return {
        "type": "object",
        "properties": {
            "inputs": {"type": "array", "items": item, "minItems": 1, "maxItems": archive.serving.max_items},
            **settings,
            "all_scores": {"type": "boolean", "default": False},
        },
        "required": ["inputs"],
        "additionalProperties": False,
    }


def _all_parts(accepted: RequestForm) -> bool:
    """Whether an answer has all its parts where a request does not say."""
    return RANKED in accepted.parameters and accepted.parameters[RANKED].all_unless_asked


def _item(task: Task) -> str | dict[str, str]:
    """Return an item that the task takes, for an example."""
    hub = task.form.hub
    return hub.text if len(task.served) == 1 or hub.example else {name: f"A {name}" for name in task.served}


def _arguments(task: Task) -> str:
    """Return how the client of Hugging Face is called with it: by the names of the texts where they are several."""
    item, further = _item(task), task.form.hub.example
    named = {**({} if isinstance(item, str) else item), **further}
    first = [json.dumps(item)] if isinstance(item, str) else []
    return ", ".join([*first, *(f"{key}={json.dumps(value)}" for key, value in named.items())])


def columns_of(archive: Archive) -> list[str]:
    """Return the columns that a request may name in the place of the texts that were joined of them."""
    return [name for joined in archive.texts.values() for name in joined.columns]


def answer_schema(form: AnswerForm) -> dict[str, object]:
    """Return the JSON Schema of an answer with status 200.

    Args:
        form: Of the task.
    """
    error = {"type": "object", "properties": {"status": {"type": "integer"}, "reason": {"type": "string"}}}
    result = {
        "oneOf": [
            {"type": "object", "properties": {"predictions": dict(form.schema)}},
            {"type": "object", "properties": {"error": error}},
        ]
    }
    return {"type": "object", "properties": {"results": {"type": "array", "items": result}}}


@cache
def _template() -> Template:
    text = (files("kubetune.serving.gateway") / "page.html.j2").read_text(encoding="utf-8")
    return Environment(undefined=StrictUndefined, autoescape=True).from_string(text)

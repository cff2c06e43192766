"""What a request to an archive may say and what is answered, as JSON Schema: for the page and the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

from kubetune.serving.archive.manifest import Archive
from kubetune.serving.request import RANKED, RequestForm, request_form
from kubetune.tasks import load_task
from kubetune.tasks.answers import AnswerForm
from kubetune.tasks.base import Task

TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
REFUSED: Mapping[str, Any] = {
    "type": "object",
    "properties": {"status": {"type": "integer"}, "reason": {"type": "string"}},
}


def archive_form(archive: Archive) -> RequestForm:
    """Return what a request to an archive may say."""
    return request_form(load_task(archive.task), archive.serving.max_items, archive.texts)


def wanted_texts(task: Task) -> tuple[str, ...]:
    """Return the names of the texts that an item of the task has; further ones of its form are for other items."""
    return task.served[:1] if task.form.hub.example else task.served


def example_item(task: Task) -> str | dict[str, str]:
    """Return an item that the task takes."""
    named = wanted_texts(task)
    return task.form.hub.text if len(named) == 1 else {name: f"A {name}" for name in named}


def ranks_all(accepted: RequestForm) -> bool:
    """Whether an answer has all its parts where a request does not say."""
    return RANKED in accepted.parameters and accepted.parameters[RANKED].all_unless_asked


def columns_of(archive: Archive) -> list[str]:
    """Return the columns that a request may name in the place of the texts that were joined of them."""
    return [name for joined in archive.texts.values() for name in joined.columns]


def item_schema(archive: Archive) -> dict[str, Any]:
    """Return the JSON Schema of an item of a request."""
    accepted = archive_form(archive)
    texts: dict[str, Any] = {
        "type": "object",
        "properties": dict.fromkeys(accepted.named, TEXT),
        "required": [accepted.named[0]],
    }
    forms: list[Mapping[str, Any]] = [TEXT, texts]
    if columns := columns_of(archive):
        properties = {name: {"type": "string"} for name in columns}
        forms.append({"type": "object", "properties": properties, "minProperties": 1})
    return {"anyOf": forms}


def parameter_schemas(archive: Archive) -> dict[str, Any]:
    """Return the JSON Schema of each parameter of our own form."""
    accepted = archive_form(archive)
    found: dict[str, Any] = {}
    for name in accepted.own_parameters:
        parameter = accepted.parameters[name]
        found[name] = {**parameter.schema, **({} if parameter.default is None else {"default": parameter.default})}
    if RANKED in found and not ranks_all(accepted):
        found[RANKED]["default"] = archive.serving.top_k
    return {**found, "all_scores": {"type": "boolean", "default": False}}


def request_schema(archive: Archive) -> dict[str, Any]:
    """Return the JSON Schema of a request's body, with its items in a list."""
    items = {"type": "array", "items": item_schema(archive), "minItems": 1, "maxItems": archive.serving.max_items}
    return {
        "type": "object",
        "properties": {"inputs": items, **parameter_schemas(archive)},
        "required": ["inputs"],
        "additionalProperties": False,
    }


def result_schema(form: AnswerForm) -> dict[str, Any]:
    """Return the JSON Schema of what is answered on one item: predictions, or why there are none."""
    return {
        "oneOf": [
            {"type": "object", "properties": {"predictions": dict(form.schema)}, "required": ["predictions"]},
            {"type": "object", "properties": {"error": REFUSED}, "required": ["error"]},
        ]
    }


def answer_schema(form: AnswerForm) -> dict[str, Any]:
    """Return the JSON Schema of an answer with status 200.

    Args:
        form: Of the task.
    """
    return {"type": "object", "properties": {"results": {"type": "array", "items": result_schema(form)}}}

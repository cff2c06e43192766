"""The OpenAPI document of an endpoint: its paths, with the schemas of its task and the limits of its archive."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubetune.serving.protocols import open_inference, openai_embeddings, tensors, web_form
from kubetune.serving.protocols.base import EndpointModel
from kubetune.serving.schemas import (
    TEXT,
    answer_schema,
    item_schema,
    parameter_schemas,
    request_schema,
    result_schema,
    wanted_texts,
)
from kubetune.serving.torchserve.config import MODEL_VERSION

OPENAPI = "3.1.0"
OBJECT: Mapping[str, Any] = {"type": "object"}
STRING: Mapping[str, Any] = {"type": "string"}
BOOLEAN: Mapping[str, Any] = {"type": "boolean"}
INTEGER: Mapping[str, Any] = {"type": "integer"}
NO_KEY: Sequence[Any] = ()


def document(served: EndpointModel) -> dict[str, Any]:
    """Return the document."""
    digest = served.digest[:12]
    found: dict[str, Any] = {
        "openapi": OPENAPI,
        "info": {
            "title": f"Endpoint {served.endpoint}",
            "version": MODEL_VERSION,
            "description": f"Task {served.archive.task}, archive {digest}. {served.task.form.says}",
        },
        "paths": {**_probes(), **_ours(served), **_open_inference(served)},
        "components": {"schemas": _schemas(served)},
    }
    if openai_embeddings.answers_vectors(served):
        found["paths"] |= _openai(served)
    if served.keyed:
        bearer, header = {"type": "http", "scheme": "bearer"}, {"type": "apiKey", "in": "header", "name": "x-api-key"}
        found["components"]["securitySchemes"] = {"bearer": bearer, "header": header}
        found["security"] = [{"bearer": []}, {"header": []}]
    return found


def operation(
    says: str, answer: Mapping[str, Any] | None = None, errors: str = "Refusal", content: str = "application/json"
) -> dict[str, Any]:
    """Return an operation.

    Args:
        says: What it does, one sentence.
        answer: Schema of the answer with status 200.
        errors: Name of the schema of errors.
        content: Media type of the answer.
    """
    refused = {"content": {"application/json": {"schema": ref(errors)}}}
    return {
        "summary": says,
        "responses": {
            "200": {"description": "The answer.", "content": {content: {"schema": answer or OBJECT}}},
            "4XX": {"description": "The request is refused, with a sentence.", **refused},
            "5XX": {"description": "No answer now; `Retry-After` says when to ask again.", **refused},
        },
    }


def ref(name: str) -> dict[str, str]:
    """Return the reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(needed: Sequence[str], **parts: Any) -> dict[str, Any]:
    """Return the schema of an object without further keys."""
    return {"type": "object", "properties": parts, "required": list(needed), "additionalProperties": False}


def array_of(items: Mapping[str, Any], **bounds: int) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **bounds}


def body(schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a request's body, by media type."""
    return {"required": True, "content": {kind: {"schema": schema} for kind, schema in schemas.items()}}


def _schemas(served: EndpointModel) -> dict[str, Any]:
    """Return the schemas that have names."""
    error = {"status": {"type": "integer"}, "reason": STRING, "request_id": STRING}
    one = {**dict.fromkeys(served.accepted.text_keys, STRING), **parameter_schemas(served.archive)}
    names = served.accepted.parameters
    hub = closed(["inputs"], inputs={}, parameters={"type": "object", "properties": {name: {} for name in names}})
    found: dict[str, Any] = {
        "Request": request_schema(served.archive),
        "Item": item_schema(served.archive),
        "OneItem": {**closed([], **one), "minProperties": 1},
        "HubRequest": {
            **hub,
            "description": "As huggingface_hub.InferenceClient asks; the answer is a list of answers.",
        },
        "Result": result_schema(served.task.form),
        "Answer": answer_schema(served.task.form),
        "Refusal": {"type": "object", "properties": {"error": {"type": "object", "properties": error}}},
        "OpenInferenceError": closed(["error"], error=STRING),
    }
    found |= {"InferRequest": _infer_request(served), "InferAnswer": _infer_answer(served)}
    if openai_embeddings.answers_vectors(served):
        parts = {"message": STRING, "type": STRING, "param": {"type": ["string", "null"]}, "code": {}}
        found["OpenAIError"] = closed(["error"], error={"type": "object", "properties": parts})
    return found


def _probes() -> dict[str, Any]:
    """Return what needs no key."""
    said = {
        "/healthz": "Whether the model server answers.",
        "/readyz": "Whether the workers are ready and reproduced the golden vectors.",
        "/ping": "The same, as TorchServe says it.",
        "/v2/health/live": "Whether the model server answers.",
        "/v2/health/ready": "Whether the workers are ready and reproduced the golden vectors.",
    }
    return {path: {"get": {**operation(says), "security": [*NO_KEY]}} for path, says in said.items()}


def _ours(served: EndpointModel) -> dict[str, Any]:
    """Return our own protocol, the page and this document."""
    asked = {"anyOf": [STRING, ref("OneItem"), ref("Request"), ref("HubRequest")]}
    kinds: dict[str, Mapping[str, Any]] = {"application/json": asked, "text/plain": TEXT}
    said = {"anyOf": [ref("Result"), ref("Answer"), {"description": "To a HubRequest: the answers alone."}]}
    predict = {**operation("Predict.", said), "requestBody": body(kinds)}
    page = {"get": operation("The page of a person.", STRING, content="text/html")}
    form = {
        **operation("The page's form.", STRING, content="text/html"),
        "requestBody": body({web_form.KINDS[0]: OBJECT}),
    }
    ours = f"/predictions/{served.endpoint}"
    return {
        "/": {**page, **({"post": form} if served.form_open else {})},
        ours: {**page, "post": predict},
        f"{ours}/{MODEL_VERSION}": {"post": predict},
        "/openapi.json": {"get": operation("This document.")},
    }


def _open_inference(served: EndpointModel) -> dict[str, Any]:
    """Return the Open Inference Protocol."""
    errors = "OpenInferenceError"
    binary = {
        "type": "string",
        "format": "binary",
        "description": f"JSON, of as many bytes as {open_inference.HEADER} says, then tensors.",
    }
    infer = operation("Predict.", ref("InferAnswer"), errors)
    infer["responses"]["200"]["content"][open_inference.BINARY] = {"schema": binary}
    length = {
        "name": open_inference.HEADER,
        "in": "header",
        "required": False,
        "schema": {"type": "integer", "minimum": 0},
    }
    asked = body({"application/json": ref("InferRequest"), open_inference.BINARY: binary})
    found: dict[str, Any] = {"/v2": {"get": operation("What the server is.", None, errors)}}
    for path in (model := f"/v2/models/{served.endpoint}", f"{model}/versions/{MODEL_VERSION}"):
        found[path] = {"get": operation("Inputs and outputs of the model.", None, errors)}
        found[f"{path}/ready"] = {"get": operation("Whether the model can be asked.", None, errors)}
        found[f"{path}/infer"] = {"post": {**infer, "parameters": [length], "requestBody": asked}}
    return found


def _infer_request(served: EndpointModel) -> dict[str, Any]:
    """Return the schema of an inference request as JSON."""
    most = served.archive.serving.max_items
    shape = array_of({"type": "integer", "minimum": 0}, minItems=1, maxItems=2)
    data = array_of({"anyOf": [STRING, array_of(STRING)]}, maxItems=most)
    size = closed([], binary_data_size={"type": "integer", "minimum": 0})
    names = {"enum": [*dict.fromkeys([*wanted_texts(served.task), *served.accepted.text_keys])]}
    tensor = closed(
        ["name", "datatype", "shape"], name=names, datatype={"const": "BYTES"}, shape=shape, data=data, parameters=size
    )
    known = {"enum": [output.name for output in tensors.outputs_of(served.task.form)]}
    output = closed(["name"], name=known, parameters=closed([], binary_data=BOOLEAN))
    settings = {**parameter_schemas(served.archive), open_inference.ALL_BINARY: BOOLEAN}
    inputs = array_of(tensor, minItems=1)
    return closed(["inputs"], id=STRING, parameters=closed([], **settings), inputs=inputs, outputs=array_of(output))


def _infer_answer(served: EndpointModel) -> dict[str, Any]:
    """Return the schema of an inference answer as JSON."""
    outputs = tensors.outputs_of(served.task.form)
    parts = {
        "name": {"enum": [each.name for each in outputs]},
        "datatype": {"enum": sorted({each.datatype for each in outputs})},
    }
    tensor = {"type": "object", "properties": {**parts, "shape": array_of({"type": "integer"}), "data": array_of({})}}
    named = {"model_name": STRING, "model_version": STRING, "id": STRING}
    return {"type": "object", "properties": {**named, "outputs": array_of(tensor)}}


def _openai(served: EndpointModel) -> dict[str, Any]:
    """Return OpenAI's API."""
    texts = {"anyOf": [TEXT, array_of(TEXT, minItems=1, maxItems=served.archive.serving.max_items)]}
    formats = {"enum": [*openai_embeddings.FORMATS], "default": openai_embeddings.FORMATS[0]}
    model = {"const": served.endpoint}
    asked = closed(["input", "model"], input=texts, model=model, encoding_format=formats, user=STRING)
    vector = {"anyOf": [array_of({"type": "number"}), STRING]}
    one = {"type": "object", "properties": {"object": STRING, "index": {"type": "integer"}, "embedding": vector}}
    usage = {"type": "object", "properties": {"prompt_tokens": INTEGER, "total_tokens": INTEGER}}
    said = {"type": "object", "properties": {"object": STRING, "data": array_of(one), "model": STRING, "usage": usage}}
    errors = "OpenAIError"
    embed = {**operation("Vectors of length 1.", said, errors), "requestBody": body({"application/json": asked})}
    return {
        "/v1/embeddings": {"post": embed},
        "/v1/models": {"get": operation("The model, in a list.", None, errors)},
        f"/v1/models/{served.endpoint}": {"get": operation("The model.", None, errors)},
    }

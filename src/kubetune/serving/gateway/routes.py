"""The paths of an endpoint for its clients, each once: what a GET shows, and in which protocol a POST asks the model.

A POST has no function of its own: all go through `Gateway.admitted`, so no route can leave out a key or a limit.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from aiohttp import web

from kubetune.serving.gateway import openapi, page
from kubetune.serving.gateway.probes import readyz
from kubetune.serving.protocols import open_inference, openai_embeddings, own, web_form
from kubetune.serving.protocols.base import EndpointModel, WireProtocol, Written
from kubetune.serving.torchserve.config import MODEL_VERSION

if TYPE_CHECKING:
    from kubetune.serving.gateway.app import Gateway

Show = Callable[["Gateway", web.BaseRequest, EndpointModel], Awaitable[Written]]
OPEN_INFERENCE, OPENAI, DOCUMENT = "/v2", "/v1", "/openapi.json"
READS = ("GET", "HEAD")


@dataclass(frozen=True)
class Route:
    """What a path answers.

    Attributes:
        show: Makes the answer to a GET; None: there is none.
        wires: Protocols in which a POST asks the model, by its media type; none: it does not.
    """

    show: Show | None = None
    wires: tuple[WireProtocol, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that are answered, the first one that is meant."""
        return (*(("POST",) if self.wires else ()), *(READS if self.show else ()))


def predictions_path(endpoint: str) -> str:
    """Return the path of our own protocol."""
    return f"/predictions/{endpoint}"


def routes_of(served: EndpointModel) -> dict[str, Route]:
    """Return every path of an endpoint that asks for a key where keys are asked for."""
    ours, model = predictions_path(served.endpoint), f"{OPEN_INFERENCE}/models/{served.endpoint}"
    forms: tuple[WireProtocol, ...] = (web_form,) if served.form_open else ()
    found = {
        "/": Route(show_page, forms),
        ours: Route(show_page, (own, *forms)),
        f"{ours}/{MODEL_VERSION}": Route(None, (own,)),
        DOCUMENT: Route(show_document),
        OPEN_INFERENCE: Route(show_server),
    }
    for path in (model, f"{model}/versions/{MODEL_VERSION}"):
        found[path] = Route(show_model)
        found[f"{path}/ready"] = Route(show_ready)
        found[f"{path}/infer"] = Route(None, (open_inference,))
    if openai_embeddings.answers_vectors(served):
        found[f"{OPENAI}/embeddings"] = Route(None, (openai_embeddings,))
        found[f"{OPENAI}/models"] = Route(show_list)
        found[f"{OPENAI}/models/{served.endpoint}"] = Route(show_one)
    return found


def wire_of(path: str) -> WireProtocol:
    """Return the protocol whose errors a path has, whether it is served or not."""
    if path == OPEN_INFERENCE or path.startswith(f"{OPEN_INFERENCE}/"):
        return open_inference
    return openai_embeddings if path == OPENAI or path.startswith(f"{OPENAI}/") else own


def is_page(request: web.BaseRequest, endpoint: str) -> bool:
    """Whether a person's browser asks for the page or the document that it links to, or sends the form."""
    pages = ("/", predictions_path(endpoint))
    if request.method in READS:
        return request.path in (*pages, DOCUMENT) and "text/html" in request.headers.get("Accept", "")
    return request.method == "POST" and request.path in pages and media_type(request) in web_form.KINDS


def media_type(request: web.BaseRequest, default: str = "") -> str:
    """Return the media type of a body. Parameters may hold any byte, and nothing needs them."""
    return request.headers.get("Content-Type", default).partition(";")[0].strip().lower()


def not_served(path: str, served: EndpointModel) -> str:
    """Return what is said of a path that is none of the endpoint's."""
    asked = f"predictions are asked for by POST {predictions_path(served.endpoint)}"
    if path.startswith("/explanations"):
        return "explanations are not served: TorchServe would answer them with a prediction"
    if wire_of(path) is openai_embeddings and not openai_embeddings.answers_vectors(served):
        return f"OpenAI's API is served for models whose answers are vectors, which this one's are not: {asked}"
    if path.startswith(f"{OPEN_INFERENCE}/models/"):
        known = f"model {served.endpoint}, version {MODEL_VERSION}"
        return f"this model, version or path is not served: the endpoint has {known}"
    return f"this path is not served: {asked}"


def _json(value: Any) -> Written:
    return Written(json.dumps(value).encode())


async def show_page(gateway: "Gateway", request: web.BaseRequest, served: EndpointModel) -> Written:
    """The page of a person."""
    del gateway
    return page.written_page(served, request.headers.get("Host", ""))


async def show_document(gateway: "Gateway", request: web.BaseRequest, served: EndpointModel) -> Written:
    """The OpenAPI document of these routes."""
    del gateway, request
    return _json(openapi.document(served))


async def show_server(gateway: "Gateway", request: web.BaseRequest, served: EndpointModel) -> Written:
    """Server metadata of the Open Inference Protocol."""
    del gateway, request, served
    return _json(open_inference.server_metadata(version("kubetune")))


async def show_model(gateway: "Gateway", request: web.BaseRequest, served: EndpointModel) -> Written:
    """Model metadata of the Open Inference Protocol."""
    del gateway, request
    return _json(open_inference.model_metadata(served))


async def show_ready(gateway: "Gateway", request: web.BaseRequest, served: EndpointModel) -> Written:
    """Readiness of the model: that of the pod, which has no other."""
    del request
    await readyz(gateway)
    return _json({"name": served.endpoint, "ready": True})


async def show_list(gateway: "Gateway", request: web.BaseRequest, served: EndpointModel) -> Written:
    """OpenAI's list of models."""
    del gateway, request
    return _json({"object": "list", "data": [openai_embeddings.model_object(served)]})


async def show_one(gateway: "Gateway", request: web.BaseRequest, served: EndpointModel) -> Written:
    """OpenAI's model."""
    del gateway, request
    return _json(openai_embeddings.model_object(served))

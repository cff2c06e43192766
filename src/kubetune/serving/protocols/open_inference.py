"""The Open Inference Protocol, version 2, over REST: `/v2/…`, as KServe's and Triton's clients ask.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, with Triton's
extension for binary tensors, https://github.com/triton-inference-server/server (protocol/extension_binary_data), which
`tritonclient` uses unless it is told otherwise.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from kubetune.serving.gateway.refusal import JSON, HttpRefusal
from kubetune.serving.protocols import tensors
from kubetune.serving.protocols.base import (
    Answered,
    EndpointModel,
    Question,
    Received,
    Written,
    all_predictions,
    asked_of,
    load_object,
    only_known,
    reject,
)
from kubetune.serving.schemas import wanted_texts
from kubetune.serving.torchserve.config import MODEL_VERSION

BINARY = "application/octet-stream"
KINDS = (JSON, BINARY)
HEADER = "Inference-Header-Content-Length"
"""How many bytes of a body are its JSON, where tensors follow as bytes."""
EXTENSIONS = ("binary_tensor_data",)
ALL_BINARY = "binary_data_output"
PLATFORM = "pytorch_torchserve"


class Wanted(NamedTuple):
    """What an answer is to have.

    Attributes:
        id: Of the request, as it said; None: it said none.
        outputs: Tensors in their order, and whether each comes as bytes.
    """

    id: str | None
    outputs: Mapping[tensors.Output, bool]


def server_metadata(version: str) -> dict[str, Any]:
    """Return what the server says of itself."""
    return {"name": "kubetune", "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(served: EndpointModel) -> dict[str, Any]:
    """Return what the server says of its model; columns that texts were joined of may stand in for them."""
    return {
        "name": served.endpoint,
        "versions": [MODEL_VERSION],
        "platform": PLATFORM,
        "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in wanted_texts(served.task)],
        "outputs": [output.metadata for output in tensors.outputs_of(served.task.form)],
    }


def read_request(received: Received, served: EndpointModel) -> Question:
    """See `WireProtocol.read_request`."""
    content, behind = _parted(received)
    body = load_object(content, "the body" if not behind else "what the header calls JSON")
    only_known(body, ("id", "parameters", "inputs", "outputs"), "the body's key")
    identity = body.get("id")
    if not isinstance(identity, str | None):
        reject(400, "`id` must be a string")
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict):
        reject(400, "`parameters` must be an object")
    everything = parameters.get(ALL_BINARY, False)
    if not isinstance(everything, bool):
        reject(400, f"`{ALL_BINARY}` must be true or false")
    chosen = {name: value for name, value in parameters.items() if name != ALL_BINARY}
    only_known(chosen, (*served.accepted.own_parameters, "all_scores", ALL_BINARY), "parameter")
    wanted = Wanted(identity, _wanted(body.get("outputs"), everything, served))
    return asked_of(_items(body.get("inputs"), behind, served), chosen, wanted)


def write_answer(answered: Answered, question: Question, served: EndpointModel) -> Written:
    """See `WireProtocol.write_answer`; there are no errors of items, so one that is refused refuses all."""
    wanted: Wanted = question.kept
    predictions = all_predictions(answered)
    rendered = [json.dumps(prediction, ensure_ascii=False) for prediction in predictions]
    described, packed = [], []
    for output, binary in wanted.outputs.items():
        tensor = tensors.tensor_of(output, predictions, rendered)
        content = tensor.packed() if binary else None
        described.append(tensor.described(None if content is None else len(content)))
        packed.append(content or b"")
    identity = {} if wanted.id is None else {"id": wanted.id}
    body = {"model_name": served.endpoint, "model_version": MODEL_VERSION, **identity, "outputs": described}
    head = json.dumps(body).encode()
    if not any(wanted.outputs.values()):
        return Written(head)
    return Written(head + b"".join(packed), BINARY, headers={HEADER: str(len(head))})


def write_refusal(refusal: HttpRefusal, request_id: str) -> Written:
    """See `WireProtocol.write_refusal`: one sentence; the request's id is in a header."""
    del request_id
    return Written(json.dumps({"error": refusal.reason}).encode(), status=refusal.status, headers=refusal.headers)


def _parted(received: Received) -> tuple[bytes, bytes | None]:
    """Return the JSON of a body and the bytes behind it; None: it says of none."""
    given = received.headers.get(HEADER)
    if given is None:
        return received.body, None
    if not (given.isascii() and given.isdecimal() and len(given) <= 8):
        reject(400, f"the header {HEADER} must be a number of bytes")
    if (size := int(given)) > len(received.body):
        reject(400, f"the header {HEADER} says {size} bytes of JSON, and the body has {len(received.body)}")
    return received.body[:size], received.body[size:]


def _items(inputs: Any, behind: bytes | None, served: EndpointModel) -> list[dict[str, str]]:
    """Return the items that the inputs hold, a text of each input an item."""
    if not isinstance(inputs, list) or not inputs:
        reject(400, "`inputs` must be a list with at least one tensor")
    found: dict[str, list[str]] = {}
    place = 0
    for tensor in inputs:
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str):
            reject(400, "each input must be an object with a `name`")
        only_known({name: None}, served.accepted.text_keys, "input")
        if name in found:
            reject(400, f"input `{name}` is there twice")
        only_known(tensor, ("name", "datatype", "shape", "parameters", "data"), f"input `{name}`: its key")
        size = _binary_size(tensor, name, None if behind is None else len(behind) - place)
        content = None if behind is None or size is None else behind[place : place + size]
        place += size or 0
        found[name] = tensors.read_texts(tensor, content, served.archive.serving.max_items)
    if behind is not None and place != len(behind):
        reject(400, f"{len(behind) - place} bytes behind the JSON belong to no input")
    counts = {name: len(texts) for name, texts in found.items()}
    if len(set(counts.values())) > 1:
        reject(400, f"inputs have different numbers of items: {', '.join(f'{n} {c}' for n, c in counts.items())}")
    return [dict(zip(found, texts, strict=True)) for texts in zip(*found.values(), strict=True)]


def _binary_size(tensor: Mapping[str, Any], name: str, left: int | None) -> int | None:
    """Return how many bytes behind the JSON are an input's; None: its values are in the JSON."""
    parameters = tensor.get("parameters", {})
    if not isinstance(parameters, dict):
        reject(400, f"`parameters` of input `{name}` must be an object")
    only_known(parameters, ("binary_data_size",), f"input `{name}`: parameter")
    if "binary_data_size" not in parameters:
        return None
    size = parameters["binary_data_size"]
    if type(size) is not int or size < 0:
        reject(400, f"`binary_data_size` of input `{name}` must be a number of bytes")
    if left is None:
        reject(400, f"input `{name}` has a `binary_data_size`, and the header {HEADER} is missing")
    if "data" in tensor:
        reject(400, f"input `{name}` has `data` and a `binary_data_size`: give one of them")
    if size > left:
        reject(400, f"input `{name}` has {size} bytes, and {left} are left behind the JSON")
    return size


def _wanted(outputs: Any, everything: bool, served: EndpointModel) -> dict[tensors.Output, bool]:
    """Return the outputs that a request asks for, all where it names none."""
    known = {output.name: output for output in tensors.outputs_of(served.task.form)}
    if outputs is None or outputs == []:
        return dict.fromkeys(known.values(), everything)
    if not isinstance(outputs, list):
        reject(400, "`outputs` must be a list")
    found: dict[tensors.Output, bool] = {}
    for output in outputs:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str):
            reject(400, "each output must be an object with a `name`")
        only_known({name: None}, tuple(known), "output")
        if known[name] in found:
            reject(400, f"output `{name}` is asked for twice")
        parameters = output.get("parameters", {})
        if not isinstance(parameters, dict):
            reject(400, f"`parameters` of output `{name}` must be an object")
        only_known(output, ("name", "parameters"), f"output `{name}`: its key")
        only_known(parameters, ("binary_data",), f"output `{name}`: parameter")
        binary = parameters.get("binary_data", everything)
        if not isinstance(binary, bool):
            reject(400, f"`binary_data` of output `{name}` must be true or false")
        found[known[name]] = binary
    return found

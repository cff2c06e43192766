"""Bytes of a request into items, answers into JSON. One schema for every server.

A request is text/plain (the body is the text) or JSON: `"a text"`, `{"text": …}`, `{"text": …, "text_pair": …}`, or
`{"inputs": [any of these, …]}`; objects also take `top_k` (1, 2, …) or `all_scores` (true). Where training joined a
text of columns, an object may give those instead: `{"subject": …, "body": …}`; one that is missing or null is left out.

The clients of Hugging Face's inference API (`huggingface_hub.InferenceClient.text_classification`) send `{"inputs": "a
text", "parameters": {"top_k": 2}}`, and read `[[{"label": …, "score": …}, …]]`. A request with `parameters`, or whose
`inputs` is no list, is answered so: with every label unless `top_k` says fewer, and refused whole where an item is.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from kubetune.serving.predictor import Outcome, Refusal
from kubetune.tasks.base import Task
from kubetune.text.joining import Joined

TEXTS = ("text", "text_pair")
KEYS = (*TEXTS, "inputs", "top_k", "all_scores", "parameters")
PARAMETERS = ("top_k", "function_to_apply")
NONE: Mapping[str, Joined] = {}
MISSING = object()
ALL = 0
PHRASES = {
    200: "OK",
    400: "Bad Request",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    500: "Internal Server Error",
}


@dataclass(frozen=True)
class Request:
    """A parsed body.

    Attributes:
        items: Texts of each item, or why it has none.
        batched: Whether the answer is a list.
        top_k: Labels wanted; `ALL`; None: the archive's default.
        hub: Whether the answer has the form that clients of Hugging Face's inference API read.
    """

    items: tuple[tuple[object, ...] | Refusal, ...]
    batched: bool = False
    top_k: int | None = None
    hub: bool = False


class _BodyError(Exception):
    """The request as a whole is refused."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(status, reason)


def parse_request(
    body: bytes, content_type: str, max_items: int, texts: Mapping[str, Joined] = NONE
) -> Request | Refusal:
    """Read a request's bytes; never raises, whatever the bytes.

    Args:
        body: As received.
        content_type: The header's value; empty counts as JSON.
        max_items: Items that one request may hold.
        texts: How texts were joined of columns, as the archive says.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind not in ("", "application/json", "text/plain"):
            raise _BodyError(415, "send application/json or text/plain")
        text = _decode(body)
        return Request(((text,),)) if kind == "text/plain" else _request(_load(text), max_items, texts)
    except _BodyError as error:
        return error.refusal


def from_json(value: Any, max_items: int, texts: Mapping[str, Joined] = NONE) -> Request | Refusal:
    """Check a body that was decoded already; never raises."""
    try:
        return _request(value, max_items, texts)
    except _BodyError as error:
        return error.refusal


def answer(
    request: Request, outcomes: Sequence[Outcome], task: Task, labels: Sequence[str], top_k: int
) -> tuple[int, str]:
    """Return status and JSON body.

    A batched request has status 200 as soon as one item has an answer; each refused item then carries its own.

    Args:
        request: The request.
        outcomes: One an item.
        task: Turns probabilities into labels.
        labels: Class names by class number.
        top_k: Labels an item where the request does not say.
    """
    wanted = top_k if request.top_k is None else request.top_k or len(labels)
    rendered = [
        _error(outcome)
        if isinstance(outcome, Refusal)
        else {"predictions": task.decode(outcome.probabilities, labels, wanted)}
        for outcome in outcomes
    ]
    if request.hub:
        first = next((outcome for outcome in outcomes if isinstance(outcome, Refusal)), None)
        return refuse(first) if first else (200, json.dumps([each["predictions"] for each in rendered]))
    refused = [outcome.status for outcome in outcomes if isinstance(outcome, Refusal)]
    status = refused[0] if len(refused) == len(outcomes) else 200
    return status, json.dumps({"results": rendered} if request.batched else rendered[0])


def refuse(refusal: Refusal) -> tuple[int, str]:
    """Return status and JSON body of a request that was refused as a whole."""
    return refusal.status, json.dumps(_error(refusal))


def _error(refusal: Refusal) -> dict[str, Any]:
    return {"error": {"status": refusal.status, "reason": refusal.reason}}


def _decode(body: bytes) -> str:
    if not body:
        raise _BodyError(400, "the body is empty")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _BodyError(400, f"the body is not UTF-8 at byte {error.start}") from error


def _load(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise _BodyError(400, f"the body is not JSON that can be read{where}") from error


def _request(value: Any, max_items: int, texts: Mapping[str, Joined]) -> Request:
    if isinstance(value, str):
        return Request(((value,),))
    if not isinstance(value, dict):
        raise _BodyError(400, "the body must be a string or an object with `text` or `inputs`")
    keys = _text_keys(texts)
    if not set(value) <= {*keys, *KEYS}:
        raise _BodyError(400, f"the body has an unknown key: allowed are {', '.join(dict.fromkeys((*KEYS, *keys)))}")
    if "parameters" in value or isinstance(value.get("inputs"), str | dict):
        return _hub_request(value, max_items, texts)
    top_k = _top_k(value)
    if "inputs" not in value:
        item = _item({key: value[key] for key in keys if key in value}, texts)
        return Request((item,), top_k=top_k)
    inputs = value["inputs"]
    if given := [key for key in keys if key in value]:
        raise _BodyError(400, f"give `{given[0]}` or `inputs`, not both")
    if not isinstance(inputs, list) or not inputs:
        raise _BodyError(400, "`inputs` must be a list with at least one item")
    if len(inputs) > max_items:
        raise _BodyError(413, f"`inputs` has {len(inputs)} items: at most {max_items} are allowed")
    return Request(tuple(_item(entry, texts) for entry in inputs), batched=True, top_k=top_k)


def _hub_request(value: Mapping[str, Any], max_items: int, texts: Mapping[str, Joined]) -> Request:
    if extra := set(value) - {"inputs", "parameters"}:
        raise _BodyError(400, f"with `parameters` a body has `inputs` and nothing else, not `{min(extra):.60}`")
    parameters = value.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _BodyError(400, "`parameters` must be an object")
    given = {name: chosen for name, chosen in parameters.items() if chosen is not None}
    if unknown := given.keys() - set(PARAMETERS):
        raise _BodyError(400, f"parameter `{min(unknown):.60}` is not known: allowed are {', '.join(PARAMETERS)}")
    if given.get("function_to_apply", "softmax") != "softmax":
        raise _BodyError(400, "`function_to_apply` must be softmax: the scores are probabilities of one label each")
    inputs = value.get("inputs")
    inputs = inputs if isinstance(inputs, list) else [inputs]
    if not inputs:
        raise _BodyError(400, "`inputs` must be a text, an item or a list with at least one")
    if len(inputs) > max_items:
        raise _BodyError(413, f"`inputs` has {len(inputs)} items: at most {max_items} are allowed")
    top_k = _top_k({"top_k": given.get("top_k")})
    items = tuple(_item(entry, texts) for entry in inputs)
    return Request(items, batched=True, top_k=ALL if top_k is None else top_k, hub=True)


def _text_keys(texts: Mapping[str, Joined]) -> tuple[str, ...]:
    """Keys of an item, each once."""
    return tuple(dict.fromkeys([*TEXTS, *(name for of in texts.values() for name in of.columns)]))


def _item(entry: Any, texts: Mapping[str, Joined]) -> tuple[object, ...] | Refusal:
    if isinstance(entry, str):
        return (entry,)
    keys = _text_keys(texts)
    if not isinstance(entry, dict) or not entry or not set(entry) <= set(keys):
        columns = _listed(keys[len(TEXTS) :])
        also = f", or with the columns {columns}" if columns else ""
        return Refusal(400, f"an item must be a string or an object with `text` and, for pairs, `text_pair`{also}")
    found = [_text(entry, name, texts.get(name)) for name in TEXTS]
    refused = next((text for text in found if isinstance(text, Refusal)), None)
    if refused is not None:
        return refused
    if found[0] is MISSING:
        return Refusal(400, f"an item must have `text`{_instead(texts.get('text'))}")
    return tuple(text for text in found if text is not MISSING)


def _text(entry: Mapping[str, Any], name: str, joined: Joined | None) -> object:
    """Return one text of an item, `MISSING` where it has none, or why it cannot be joined."""
    given = [] if joined is None else [column for column in joined.columns if column in entry]
    if joined is None or not given:
        return entry.get(name, MISSING)
    if name in entry and name not in joined.columns:
        return Refusal(400, f"give `{name}` or the columns {_listed(joined.columns)}, not both")
    parts = [entry.get(column) for column in joined.columns]
    for column, part in zip(joined.columns, parts, strict=True):
        if part is not None and not isinstance(part, str):
            return Refusal(400, f"{column} must be a string or null, not {type(part).__name__}")
    return joined.join(parts) or ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name:.60}`" for name in names)


def _instead(joined: Joined | None) -> str:
    return "" if joined is None else f" or one of the columns {_listed(joined.columns)}"


def _top_k(value: dict[str, Any]) -> int | None:
    top_k, everything = value.get("top_k"), value.get("all_scores", False)
    if not isinstance(everything, bool):
        raise _BodyError(400, "`all_scores` must be true or false")
    if everything and top_k is not None:
        raise _BodyError(400, "give `top_k` or `all_scores`, not both")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise _BodyError(400, "`top_k` must be a whole number from 1")
    return ALL if everything else top_k


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

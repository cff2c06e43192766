"""Bytes of a request into items, answers into JSON. One schema for every server.

A request is text/plain (the body is the text) or JSON: `"a text"`, an object with the task's texts (`text` and
`text_pair` are the first and the second of any task), or `{"inputs": [any of these, …]}`; objects also take parameters
of the task (`top_k`: 1, 2, …) or `all_scores` (true: all that an answer ranks). Where training joined a text of
columns, an object may give those instead: `{"subject": …, "body": …}`; one that is missing or null is left out.

The clients of Hugging Face's inference API (`huggingface_hub.InferenceClient.text_classification`) send `{"inputs": "a
text", "parameters": {"top_k": 2}}`, and read the answers alone: `[[{"label": …, "score": …}, …]]`. A request with
`parameters`, or whose `inputs` is no list, is answered so: with every label unless `top_k` says fewer, and refused
whole where an item is.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from kubetune.serving.predictor import Outcome, Refusal
from kubetune.serving.root_parameters import with_parameters
from kubetune.tasks.answers import Parameter, chosen_parameters, too_many
from kubetune.tasks.base import Task
from kubetune.text.joining import Joined

TEXTS = ("text", "text_pair")
RANKED = "top_k"
"""Parameter of tasks whose answers rank their parts."""
MISSING = object()


@dataclass(frozen=True)
class RequestForm:
    """What a request may say.

    Attributes:
        named: Names of an item's texts, in order; the predictor refuses an item of too few or too many.
        parameters: Of the task.
        max_items: Items that one request may hold.
        texts: How texts were joined of columns, as the archive says; by name of the text.
        at_root: See `HubForm.at_root`.
    """

    named: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    max_items: int
    texts: Mapping[str, Joined] = field(default_factory=dict)
    at_root: bool = False

    @property
    def text_keys(self) -> tuple[str, ...]:
        """Keys of an item, each once."""
        joined = (name for of in self.texts.values() for name in of.columns)
        return tuple(dict.fromkeys([*self.named, *joined, *self.aliases]))

    @property
    def aliases(self) -> dict[str, str]:
        """Name that a text has for any task → name that it has for this one."""
        taken = {*self.named, *(name for of in self.texts.values() for name in of.columns)}
        return {alias: name for alias, name in zip(TEXTS, self.named, strict=False) if alias not in taken}

    @property
    def own_parameters(self) -> tuple[str, ...]:
        """Those that stand beside the texts in our own form."""
        return tuple(name for name, parameter in self.parameters.items() if not parameter.hub_only)


@dataclass(frozen=True)
class Request:
    """A parsed body.

    Attributes:
        items: Texts of each item, or why it has none.
        batched: Whether the answer is a list.
        parameters: What it says, checked; `top_k` None: all. One that is missing has the archive's or task's default.
        hub: Whether the answer has the form that clients of Hugging Face's inference API read.
    """

    items: tuple[tuple[object, ...] | Refusal, ...]
    batched: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    hub: bool = False


def request_form(task: Task, max_items: int, texts: Mapping[str, Joined]) -> RequestForm:
    """Return what a request of a task may say; see `RequestForm`."""
    named, parameters = task.form.request_texts or task.served, task.form.parameters
    return RequestForm(named, parameters, max_items, texts, task.form.hub.at_root)


class _BodyError(Exception):
    """The request as a whole is refused."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(status, reason)


def parse_request(body: bytes, content_type: str, form: RequestForm) -> Request | Refusal:
    """Read a request's bytes; never raises, whatever the bytes.

    Args:
        body: As received.
        content_type: The header's value; empty counts as JSON.
        form: What it may say.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind not in ("", "application/json", "text/plain"):
            raise _BodyError(415, "send application/json or text/plain")
        text = _decode(body)
        return Request(((text,),)) if kind == "text/plain" else _request(_load(text), form)
    except _BodyError as error:
        return error.refusal


def from_json(value: Any, form: RequestForm) -> Request | Refusal:
    """Check a body that was decoded already; never raises."""
    try:
        return _request(value, form)
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
        task: Turns predictions into answers.
        labels: Class names by class number.
        top_k: Parts of an answer that ranks them, where a request in our own form does not say.
    """
    ranked = task.form.parameters.get(RANKED)
    preset = {"own_form": True} if ranked is not None and ranked.all_unless_asked else {"own_form": True, RANKED: top_k}
    wanted = request.parameters if request.hub else {**preset, **request.parameters}
    rendered = [
        _error(outcome)
        if isinstance(outcome, Refusal)
        else {"predictions": task.form.decode(outcome.prediction, labels, wanted)}
        for outcome in outcomes
    ]
    if request.hub:
        first = next((outcome for outcome in outcomes if isinstance(outcome, Refusal)), None)
        answers = [each.get("predictions") for each in rendered]
        listed = request.batched or task.form.hub.in_list
        return refuse(first) if first else (200, json.dumps(answers if listed else answers[0]))
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


def _request(value: Any, form: RequestForm) -> Request:
    if isinstance(value, str):
        return Request(((value,),))
    if not isinstance(value, dict):
        raise _BodyError(400, f"the body must be a string or an object with `{form.named[0]}` or `inputs`")
    keys, own, value = form.text_keys, form.own_parameters, with_parameters(value) if form.at_root else value
    allowed = tuple(dict.fromkeys((*form.named, "inputs", *own, "all_scores", "parameters", *keys)))
    if not set(value) <= set(allowed):
        raise _BodyError(400, f"the body has an unknown key: allowed are {', '.join(allowed)}")
    if "parameters" in value or isinstance(value.get("inputs"), str | dict):
        return _hub_request(value, form)
    parameters = _own_parameters({name: value[name] for name in own if name in value}, value, form)
    if "inputs" not in value:
        item = {key: value[key] for key in keys if key in value}
        return Request(_items([item], form, parameters), parameters=parameters)
    inputs = value["inputs"]
    if given := [key for key in keys if key in value]:
        raise _BodyError(400, f"give `{given[0]}` or `inputs`, not both")
    if not isinstance(inputs, list) or not inputs:
        raise _BodyError(400, "`inputs` must be a list with at least one item")
    return Request(_items(inputs, form, parameters), batched=True, parameters=parameters)


def _hub_request(value: Mapping[str, Any], form: RequestForm) -> Request:
    if extra := set(value) - {"inputs", "parameters"}:
        raise _BodyError(400, f"with `parameters` a body has `inputs` and nothing else, not `{min(extra):.60}`")
    parameters = value.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _BodyError(400, "`parameters` must be an object")
    given = {name: chosen for name, chosen in parameters.items() if chosen is not None}
    if unknown := given.keys() - set(form.parameters):
        known = ", ".join(form.parameters) or "none"
        raise _BodyError(400, f"parameter `{min(unknown):.60}` is not known: allowed are {known}")
    chosen = _checked(given, form)
    inputs = value.get("inputs")
    listed = inputs if (batched := isinstance(inputs, list)) else [inputs]
    if not listed:
        raise _BodyError(400, "`inputs` must be a text, an item or a list with at least one")
    return Request(_items(listed, form, chosen), batched, chosen, hub=True)


def _items(
    inputs: Sequence[Any], form: RequestForm, chosen: Mapping[str, Any]
) -> tuple[tuple[object, ...] | Refusal, ...]:
    if reason := too_many(form.parameters, chosen, len(inputs), form.max_items):
        raise _BodyError(413, reason)
    return tuple(_item(entry, form) for entry in inputs)


def _item(entry: Any, form: RequestForm) -> tuple[object, ...] | Refusal:
    if isinstance(entry, str):
        return (entry,)
    keys, (first, *others) = form.text_keys, form.named
    if not isinstance(entry, dict) or not entry or not set(entry) <= set(keys):
        columns = _listed(key for key in keys[len(form.named) :] if key not in form.aliases)
        also = f", or with the columns {columns}" if columns else ""
        more = ", for pairs," if form.named == TEXTS else ""
        wanted = f"`{first}`" + "".join(f" and{more} `{name}`" for name in others)
        return Refusal(400, f"an item must be a string or an object with {wanted}{also}")
    for alias, name in form.aliases.items():
        if alias in entry and name in entry:
            return Refusal(400, f"give `{name}` or `{alias}`, not both")
    entry = {form.aliases.get(name, name): text for name, text in entry.items()}
    found = [_text(entry, name, form.texts.get(name)) for name in form.named]
    refused = next((text for text in found if isinstance(text, Refusal)), None)
    if refused is not None:
        return refused
    if found[0] is MISSING:
        return Refusal(400, f"an item must have `{first}`{_instead(form.texts.get(first))}")
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


def _own_parameters(given: Mapping[str, Any], body: Mapping[str, Any], form: RequestForm) -> dict[str, Any]:
    """Return checked parameters of our own form, `all_scores` among them: what ranks nothing has it anyway."""
    everything = body.get("all_scores", False)
    if not isinstance(everything, bool):
        raise _BodyError(400, "`all_scores` must be true or false")
    if everything and given.get(RANKED) is not None:
        raise _BodyError(400, f"give `{RANKED}` or `all_scores`, not both")
    return _checked(given, form) | ({RANKED: None} if everything and RANKED in form.parameters else {})


def _checked(given: Mapping[str, Any], form: RequestForm) -> dict[str, Any]:
    chosen = chosen_parameters(form.parameters, given)
    if isinstance(chosen, str):
        raise _BodyError(400, chosen)
    return chosen


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

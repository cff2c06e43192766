"""Requests with parameters beside `inputs`, as Hugging Face's client asks for vectors; see `HubForm.at_root`."""

from collections.abc import Mapping
from typing import Any

OURS = frozenset({"top_k", "all_scores", "parameters"})
"""Keys that such a client never sends."""


def with_parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body whose parameters stand in `parameters`; one in our own form as it is.

    Our own has objects in the list of `inputs`, or keys that only our own clients send.
    """
    inputs = body.get("inputs")
    plain = isinstance(inputs, str) or (isinstance(inputs, list) and all(isinstance(one, str) for one in inputs))
    if not plain or OURS & set(body):
        return dict(body)
    return {"inputs": inputs, "parameters": {name: value for name, value in body.items() if name != "inputs"}}

"""Tensors of the Open Inference Protocol, as JSON and as bytes behind it; and answers as tensors.

Bytes are little-endian and in row-major order. An element of a BYTES tensor is its length in 4 bytes and then itself.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kubetune.serving.protocols.base import reject
from kubetune.serving.request import RANKED
from kubetune.tasks.answers import AnswerForm

DATATYPES = {"string": "BYTES", "number": "FP32", "integer": "INT64", "boolean": "BOOL"}
"""JSON's type → the protocol's."""
NUMBERS: Mapping[str, Any] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8"), "BOOL": np.dtype("?")}
LENGTH = struct.Struct("<I")
VECTOR, ANSWER = "embedding", "predictions"


@dataclass(frozen=True)
class Output:
    """A tensor of an answer.

    Attributes:
        name: Its name: that of a part of the answer, `embedding`, or `predictions` where it is the answer as JSON.
        datatype: Of the protocol.
        rank: 1: a value an item; 2: a row an item.
    """

    name: str
    datatype: str
    rank: int

    @property
    def metadata(self) -> dict[str, Any]:
        """What a model's metadata says of it; -1 is any number."""
        return {"name": self.name, "datatype": self.datatype, "shape": [-1] * self.rank}


@dataclass(frozen=True)
class Tensor:
    """Values of an answer.

    Attributes:
        output: What it is.
        shape: Of it.
        values: In row-major order.
    """

    output: Output
    shape: tuple[int, ...]
    values: Sequence[Any]

    def described(self, size: int | None) -> dict[str, Any]:
        """Return what the JSON says of it: its values, or how many bytes they are behind it."""
        found = {"name": self.output.name, "datatype": self.output.datatype, "shape": list(self.shape)}
        if size is not None:
            return {**found, "parameters": {"binary_data_size": size}}
        numbers = NUMBERS.get(self.output.datatype)
        data = list(self.values) if numbers is None else np.asarray(self.values, numbers).tolist()
        return {**found, "data": data}

    def packed(self) -> bytes:
        """Return the values as bytes."""
        numbers = NUMBERS.get(self.output.datatype)
        if numbers is not None:
            return np.asarray(self.values, numbers).tobytes()
        encoded = [value.encode() for value in self.values]
        return b"".join(part for value in encoded for part in (LENGTH.pack(len(value)), value))


def outputs_of(form: AnswerForm) -> tuple[Output, ...]:
    """Return the tensors of a task's answers, from their schema.

    Numbers are one vector an item; labels that are ranked are a row for each of their parts; one object is a value for
    each. What has another shape from item to item, as entities have, is JSON.
    """
    schema = form.schema
    items = schema.get("items", {})
    if items.get("type") == "number":
        return (Output(VECTOR, "FP32", 2),)
    parts = _parts(schema if schema.get("type") == "object" else items)
    if parts and (schema.get("type") == "object" or RANKED in form.parameters):
        rank = 1 if schema.get("type") == "object" else 2
        return tuple(Output(name, datatype, rank) for name, datatype in parts.items())
    return (Output(ANSWER, "BYTES", 1),)


def _parts(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the data type of each part of an object; none where one has none."""
    kinds = {name: DATATYPES.get(part.get("type")) for name, part in schema.get("properties", {}).items()}
    return {name: kind for name, kind in kinds.items() if kind} if all(kinds.values()) else {}


def tensor_of(output: Output, predictions: Sequence[Any], rendered: Sequence[str]) -> Tensor:
    """Return the tensor of an output.

    Args:
        output: Of `outputs_of`.
        predictions: Of each item.
        rendered: The same as JSON.

    Raises:
        HttpRefusal: 400, items have different numbers of labels.
    """
    count = len(predictions)
    if output.name == ANSWER:
        return Tensor(output, (count,), rendered)
    if output.rank == 1:
        return Tensor(output, (count,), [prediction[output.name] for prediction in predictions])
    widths = sorted({len(prediction) for prediction in predictions})
    if len(widths) > 1:
        reject(
            400,
            f"the items have {widths[0]} to {widths[-1]} labels, which no tensor holds: send them one by one, or leave "
            "out the parameter that chooses among labels",
        )
    rows = predictions if output.name == VECTOR else [[each[output.name] for each in row] for row in predictions]
    return Tensor(output, (count, widths[0]), [value for row in rows for value in row])


def read_texts(tensor: Mapping[str, Any], content: bytes | None, most: int) -> list[str]:
    """Return the texts of an input.

    Args:
        tensor: What the JSON says of it; its name is checked.
        content: Its bytes; None: they are in the JSON.
        most: Items that a request may have.

    Raises:
        HttpRefusal: 400, it is no BYTES tensor of one text an item; 413, there are more than `most`.
    """
    name = tensor["name"]
    if tensor.get("datatype") != "BYTES":
        reject(400, f"input `{name}` has datatype {tensor.get('datatype')!r:.40}: texts are BYTES")
    count = _count(tensor.get("shape"), name)
    if count > most:
        reject(413, f"input `{name}` has {count} items: at most {most} are allowed")
    if content is not None:
        return list(_unpacked(content, count, name))
    if "data" not in tensor:
        reject(400, f"input `{name}` has neither `data` nor `binary_data_size`")
    data = tensor["data"]
    flat = _flat(data) if isinstance(data, list) else [data]
    if not all(isinstance(value, str) for value in flat):
        reject(400, f"input `{name}` holds something else than texts")
    if len(flat) != count:
        reject(400, f"input `{name}` has {len(flat)} texts and a shape of {count}")
    return flat


def _flat(data: Sequence[Any]) -> list[Any]:
    """Return values of a list, or of a list of lists."""
    return [value for row in data for value in (row if isinstance(row, list) else [row])]


def _count(shape: Any, name: str) -> int:
    """Return the number of items of a shape: [items] or [items, 1]."""
    sizes = shape if isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape) else []
    if len(sizes) not in (1, 2) or (len(sizes) == 2 and sizes[1] != 1):
        reject(400, f"input `{name}` has shape {shape!r:.60}: give [items] or [items, 1], one text an item")
    if not sizes[0]:
        reject(400, f"input `{name}` has no item: give at least one")
    return int(sizes[0])


def _unpacked(content: bytes, count: int, name: str) -> Iterator[str]:
    """Yield the elements of a BYTES tensor."""
    place = 0
    for number in range(count):
        if place + LENGTH.size > len(content):
            reject(400, f"input `{name}` ends before the length of element {number}")
        (size,) = LENGTH.unpack_from(content, place)
        place += LENGTH.size
        if place + size > len(content):
            reject(400, f"element {number} of input `{name}` has {size} bytes, of which {len(content) - place} came")
        try:
            yield content[place : place + size].decode("utf-8")
        except UnicodeDecodeError:
            reject(400, f"element {number} of input `{name}` is not UTF-8")
        place += size
    if place != len(content):
        reject(400, f"input `{name}` has {len(content) - place} bytes behind its last element")

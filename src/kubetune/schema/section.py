"""The base of all recipe sections: frozen, closed, documented a field, without secrets."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from kubetune.redaction import secret_in_query, secrets_in

BELONGS = (
    "recipes are stored and shown to many: leave it out here, and set KUBETUNE_SQL_URL, KUBETUNE_S3_ACCESS_KEY and "
    "KUBETUNE_S3_SECRET_KEY or HF_TOKEN where the stage runs, or give the file itself"
)


class SecretError(ValueError):
    """A value holds a secret, so that no explanation may repeat it."""


def is_secret(item: Mapping[str, Any]) -> bool:
    """Whether an error of pydantic's list is a `SecretError`."""
    return isinstance(item.get("ctx", {}).get("error"), SecretError)


class Section(BaseModel):
    """A part of a recipe. Unknown keys are errors; values cannot be changed once read."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    queries: ClassVar[frozenset[str]] = frozenset()
    """Fields that hold SQL, where `token = 5` is a comparison and no secret."""
    keeps_order: ClassVar[bool] = False
    """Whether maps stay as they were written. In a recipe they are sorted, as they are where it is stored: else the
    process that was given the recipe and the one that reads it back would see the same map in two orders."""

    @field_validator("*", mode="after")
    @classmethod
    def as_stored(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what is secret before it is in records, pods, logs and MLflow, and put maps in their one order."""
        look: Callable[[Any], Iterator[tuple[str, str]]] = _in_query if info.field_name in cls.queries else secrets_in
        for place, kind in look(value):
            where = f"`{place.removeprefix('.')}` of it holds" if place else "it holds"
            raise SecretError(f"{where} {kind}, and {BELONGS}")
        return value if cls.keeps_order else _sorted(value)


def _sorted(value: Any) -> Any:
    """Return plain maps, at any depth of lists and maps, in the order of their keys."""
    if isinstance(value, dict):
        return {name: _sorted(child) for name, child in sorted(value.items())}
    return [_sorted(child) for child in value] if isinstance(value, list) else value


def _in_query(value: Any) -> Iterator[tuple[str, str]]:
    found = secret_in_query(value) if isinstance(value, str) else None
    if found is not None:
        yield "", found

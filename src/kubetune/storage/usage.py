"""How many bytes a store holds."""

from dataclasses import dataclass

from kubetune import layout
from kubetune.storage.base import Store


@dataclass(frozen=True)
class Usage:
    """Bytes of a store.

    Attributes:
        results: Of artifacts, each content once.
        checkpoints: Of trainings, finished or not; `gc` removes those that nothing needs.
    """

    results: int
    checkpoints: int


def usage(store: Store) -> Usage:
    """Add up a store's objects; records, which are small, are left out."""
    return Usage(*(sum(stat.size for stat in store.list(prefix)) for prefix in (layout.BLOBS, layout.CHECKPOINTS)))

"""The comparisons of a model, in the order in which they were begun: each is counted before it is made."""

from collections.abc import Callable, Mapping
from typing import Any

from kubetune import layout
from kubetune.storage.base import Store
from kubetune.storage.records import update

FORMAT = 1

Rows = Mapping[str, Any]
"""What is known of test rows: enough to tell whether two splits are largely the same."""


def reserve_comparison(store: Store, name: str, rows: Rows, pair: str, same: Callable[[Rows, Rows], bool]) -> int:
    """Count a comparison before it is made, so that one that is killed and repeated is one, and none is forgotten.

    Args:
        store: Store.
        name: Model name.
        rows: Test rows of this comparison, plain JSON values.
        pair: Digest of what is compared with what, on which rows; the same one is counted once.
        same: Whether two comparisons were made on largely the same test rows.

    Returns:
        How many other comparisons on these rows were counted before it.

    Raises:
        KubetuneError: The list is broken: to begin a new one would spend all of alpha once more.
    """

    def change(standing: Mapping[str, Any] | None) -> dict[str, Any] | None:
        made = list(standing["made"]) if standing is not None else []
        if any(item["pair"] == pair for item in made):
            return None
        return {"format": FORMAT, "made": [*made, {"pair": pair, "rows": dict(rows)}]}

    found = update(store, layout.comparisons(layout.check_run(name)), parse_comparisons, change, required=True)
    earlier = 0
    for item in (found or {"made": ()})["made"]:
        if item["pair"] == pair:
            break
        earlier += same(rows, item["rows"])
    return earlier


def parse_comparisons(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read a record; KeyError, TypeError or ValueError says that it is none."""
    if value["format"] != FORMAT:
        raise ValueError("unknown format")
    return {"made": [{"pair": str(item["pair"]), "rows": dict(item["rows"])} for item in value["made"]]}

"""`kubetune compare A B`: two runs side by side."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.cli.common import AsJson, StoreUrl, opened, print_json, print_table, short

if TYPE_CHECKING:
    from kubetune.evaluation.compare import ComparedRow


def command(
    first: Annotated[str, typer.Argument(help="A run.")],
    second: Annotated[str, typer.Argument(help="Another run.")],
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show where two recipes differ and what that did to the metrics."""
    from dataclasses import asdict

    from kubetune.evaluation.compare import compare, flatten
    from kubetune.models.history import commits_of, known_run

    opened_store = opened(store)[1]
    recipes = [known_run(opened_store, run) for run in (first, second)]
    found = [commits_of(opened_store, run).get("evaluate") for run in (first, second)]
    metrics: list[dict[str, float]] = [dict(commit.metrics) if commit else {} for commit in found]
    rows = compare(recipes[0], recipes[1], metrics[0], metrics[1])
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    values = [flatten(recipe) for recipe in recipes]
    print_table(
        ["what", first, second, "difference", ""],
        [
            [row.name, *cells(row, values), "" if row.difference is None else f"{row.difference:+.4f}", row.note]
            for row in rows
        ],
    )


def cells(row: "ComparedRow", values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return both sides of a row: recipe values as `why` prints them, metrics with four decimals."""
    if row.kind == "recipe":
        return [short(json.dumps(side[row.name], sort_keys=True) if row.name in side else None) for side in values]
    return ["-" if value is None else f"{value:.4f}" for value in (row.left, row.right)]

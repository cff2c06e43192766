"""`kubetune why RUN STAGE`: which fields of the key made the stage run."""

from typing import Annotated

import typer

from kubetune.cli.common import AsJson, RunName, StoreUrl, opened, print_json, print_table, say, short


def command(
    run: RunName,
    stage: Annotated[str, typer.Argument(help="Stage name.")],
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Name what differs from the nearest other run: recipe values, inputs, code, packages, identity."""
    from kubetune.models.history import why

    found = why(opened(store)[1], run, stage)
    if as_json:
        print_json({"nearest": found.nearest, "differ": found.differ})
    elif found.nearest is None:
        say(f"No other run has stage {stage}: it ran because it was the first.")
    elif not found.differ:
        say(f"Nothing differs from {found.nearest}: the result is the same one.")
    else:
        say(f"Compared with {found.nearest}, the nearest other run of {stage}:")
        rows = [[name, short(there), short(here)] for name, (there, here) in found.differ.items()]
        print_table(["field", found.nearest, run], rows)

"""`kubetune pull RUN`: artifacts of a run as plain folders."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.cli.common import RunName, StoreUrl, opened, say
from kubetune.cli.report import PULLED


def command(
    run: RunName,
    artifacts: Annotated[list[str] | None, typer.Argument(help="Artifacts; the default is all.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder; the default is kubetune-runs/RUN.")] = None,
    store: StoreUrl = None,
) -> None:
    """Bring a run's artifacts to this machine, every digest checked."""
    from kubetune.models.history import pull

    for name, folder in pull(opened(store)[1], run, artifacts or [], to or PULLED / run).items():
        say(f"{name:<10}{folder}")

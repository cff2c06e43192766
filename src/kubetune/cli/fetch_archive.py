"""`kubetune fetch-archive`: the init container of a serving pod."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.cli.common import StoreUrl, say, settings_for


def command(
    endpoint: Annotated[str, typer.Option("--endpoint", help="Its name: a statement for another one does not count.")],
    into: Annotated[Path, typer.Option("--into", help="Folder that gets the archive as DIGEST/.")],
    store: StoreUrl = None,
) -> None:
    """Fetch the archive KUBETUNE_ARCHIVE by its digest, check every byte, place it whole; nothing to do: exit 0."""
    from kubetune.execution.run import open_configured_store
    from kubetune.models.delivery import fetch_archive
    from kubetune.models.sign import trust_for

    settings = settings_for(store)
    if not settings.archive:
        say("no archive was deployed yet: nothing to fetch")
        return
    # Only blobs and a statement are read: the user of a serving pod may not do what a probe would try.
    opened = open_configured_store(settings, probe=False)
    placed = fetch_archive(opened, settings.archive, into, trust_for(settings, endpoint, opened))
    say(f"archive {settings.archive[:12]} is in {placed}")

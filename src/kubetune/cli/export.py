"""`kubetune export RUN`: the model for other servers and for transformers."""

from pathlib import Path
from typing import Annotated

import typer

from kubetune.cli.common import RunName, StoreUrl, opened, say


def command(
    run: RunName,
    mar: Annotated[Path | None, typer.Option("--mar", help="Write a TorchServe .mar file here.")] = None,
    hf: Annotated[Path | None, typer.Option("--hf", help="Write a folder for transformers.pipeline here.")] = None,
    store: StoreUrl = None,
) -> None:
    """Export a run's archive as a .mar, as a Hugging Face folder, or both; an undecided candidate's too."""
    from kubetune.cli.progress import progress_for
    from kubetune.errors import ConfigError
    from kubetune.models.looks import archive_for_look

    if mar is None and hf is None:
        raise ConfigError("Nothing to export: give --mar FILE.mar, --hf FOLDER, or both.")
    settings, opened_store = opened(store)
    with archive_for_look(opened_store, settings, run, progress_for()) as archive:
        from kubetune.serving.archive.export import export_hf, export_mar

        for export, target in ((export_mar, mar), (export_hf, hf)):
            if target is not None:
                export(archive, target)
                say(f"wrote {target}")

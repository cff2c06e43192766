"""`kubetune export RUN`: the model for other servers and for transformers."""

import tempfile
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
    """Export a run's archive as a .mar, as a Hugging Face folder, or both."""
    from kubetune.errors import ConfigError
    from kubetune.history import artifact_of
    from kubetune.storage.blobs import fetch_tree

    if mar is None and hf is None:
        raise ConfigError("Nothing to export: give --mar FILE.mar, --hf FOLDER, or both.")
    opened_store = opened(store)[1]
    found = artifact_of(opened_store, run, "archive")
    from kubetune.serving.export import export_hf, export_mar

    with tempfile.TemporaryDirectory(prefix="kubetune-export-") as name:
        archive = Path(name) / "archive"
        archive.mkdir()
        fetch_tree(opened_store, found.outputs["archive"], archive)
        for export, target in ((export_mar, mar), (export_hf, hf)):
            if target is not None:
                export(archive, target)
                say(f"wrote {target}")

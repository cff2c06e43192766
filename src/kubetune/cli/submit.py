"""`kubetune submit RECIPE`: begin a run in the cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.cli.cluster import airflow_of, tell
from kubetune.cli.common import Overrides, RecipeName, next_lines, say, settings_for

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.storage.base import Store


def command(
    recipe: RecipeName,
    overrides: Overrides = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="File that is uploaded and takes the place of the recipe's data.")
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, as an argument.")] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Run id; the default is the next free RECIPE-N.", show_default=False)
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Endpoint to deploy to; the default is the recipe's name.")
    ] = None,
) -> None:
    """Check a recipe here and run it in the cluster; the same submission again changes nothing."""
    from kubetune.client.submission import Wish, submit
    from kubetune.config.version import skew

    settings = settings_for(None)
    wish = Wish(recipe, (*(overrides or []), *(changes or [])), data, run, endpoint, settings.recipes_dir)
    airflow = airflow_of(settings)
    done = submit(airflow, lambda: bucket(settings), wish)
    if differ := skew(airflow.version()):
        tell(differ)
    if done.upload is not None:
        say(f"uploaded {done.upload}")
    before = "was submitted before, with the same recipe"
    if done.end is not None:
        say(f"run {done.run} {before}, and is over ({done.end.word}). {done.end.sentence}".rstrip())
        next_lines(settings, ["show", done.run], ["logs", done.run, "train"])
        return
    say(f"run {done.run} {'is submitted' if done.created else before}")
    if done.paused:
        tell("Airflow holds the DAG back (it is paused): the run waits until somebody unpauses it.")
    next_lines(settings, ["follow", done.run], ["logs", done.run, "train"], ["cancel", done.run])


def bucket(settings: "Settings") -> "Store | None":
    """Return the cluster's store; None where the settings name none."""
    from kubetune.execution.platform import open_answering_store, s3_settings

    if not settings.store.startswith("s3://") or s3_settings(settings) is None:
        return None
    return open_answering_store(settings, probe=False)

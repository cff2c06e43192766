"""`kubetune check`: does an installed kubetune work? Each command is a pod of `helm test`."""

from typing import Annotated

import typer

from kubetune.cli.common import StoreUrl, say

app = typer.Typer(help="Check an installation.", no_args_is_help=True)


@app.command()
def store(store: StoreUrl = None) -> None:
    """Write to the store, and see whether it refuses to write a record twice."""
    from kubetune.api.opening import settings_for
    from kubetune.execution.platform import open_configured_store

    settings = settings_for(store)
    open_configured_store(settings, probe=True)
    say(f"{settings.store} can be written, and keeps what is written once.")


@app.command()
def airflow(
    dags: Annotated[list[str] | None, typer.Option("--dag", help="A DAG that must be there; may be repeated.")] = None,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds that it may take to appear.")] = 120.0,
) -> None:
    """Log in to Airflow and list its DAGs."""
    from kubetune.cli.cluster import airflow_of
    from kubetune.client.checks import wait_for_dags
    from kubetune.config.settings import load_settings

    found = wait_for_dags(airflow_of(load_settings()), dags or ["finetune"], wait)
    say(f"Airflow lists {', '.join(found)}.")


@app.command()
def endpoint(
    url: Annotated[str, typer.Argument(help="http(s)://host[:port]/predictions/NAME.")],
    text: Annotated[str, typer.Option("--text", help="What is sent.")] = "I love how fast this phone is",
) -> None:
    """Ask an endpoint for one prediction; one that has no model yet must say so."""
    from kubetune.client.checks import check_endpoint
    from kubetune.client.http import way_of
    from kubetune.config.settings import load_settings

    settings = load_settings()
    key = settings.api_key.get_secret_value() if settings.api_key else None
    say(check_endpoint(way_of(settings), url, text, key))


@app.command()
def recipes() -> None:
    """Check every mounted recipe; the errors are those of `kubetune validate`."""
    from kubetune.config.settings import load_settings
    from kubetune.orchestration.requests import find_recipe

    folder = load_settings().recipes_dir
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    for name in names:
        find_recipe(name, [], folder)
        say(f"{name}: the recipe is valid.")
    say(f"{len(names)} mounted recipes.")

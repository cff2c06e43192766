"""Runs in a cluster: log in, submit, follow, cancel."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.api.opening import settings_for
from kubetune.cli.common import Overrides, RecipeName, leave, next_lines, say

if TYPE_CHECKING:
    from kubetune.client.airflow import Airflow
    from kubetune.config.settings import Settings
    from kubetune.storage.base import Store


ClusterRun = Annotated[str, typer.Argument(help="A run, as `kubetune submit` printed it.")]


def airflow_of(settings: "Settings", deadline_s: float = 20.0) -> "Airflow":
    """Return a client of the Airflow that the settings name.

    Raises:
        ConfigError: They name none.
    """
    from kubetune.client.airflow import Airflow, AirflowAccess
    from kubetune.client.http import way_of
    from kubetune.errors import ConfigError

    password = settings.airflow_password
    if not settings.airflow_url or not settings.airflow_user or password is None:
        raise ConfigError(
            "No cluster is named: run `kubetune login`, or set KUBETUNE_AIRFLOW_URL, KUBETUNE_AIRFLOW_USER and "
            "KUBETUNE_AIRFLOW_PASSWORD."
        )
    access = AirflowAccess(settings.airflow_url, settings.airflow_user, password.get_secret_value())
    return Airflow(access, way_of(settings), deadline_s, tell)


def tell(line: str) -> None:
    """Say one line beside the output."""
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()


ASKED = (
    ("airflow_url", "Airflow's address (http(s)://host[:port])", False),
    ("airflow_user", "Airflow user", False),
    ("airflow_password", "Airflow password", True),
    ("store", "Store (s3://bucket, empty: none)", False),
    ("s3_endpoint", "Store's address (http(s)://host[:port], empty: none)", False),
    ("s3_access_key", "Store access key", False),
    ("s3_secret_key", "Store secret key", True),
    ("endpoint_url", "Endpoints' address ({endpoint} stands for the name, empty: none)", False),
    ("api_key", "Key of the endpoints (empty: none)", True),
)
KEPT = ("ca_bundle", "https_proxy", "no_proxy", "s3_region", "tracking", "tracking_user", "tracking_password")
Given = Annotated[str | None, typer.Option(show_default=False)]


def login(
    airflow_url: Given = None,
    airflow_user: Given = None,
    airflow_password: Given = None,
    store: Given = None,
    s3_endpoint: Given = None,
    s3_access_key: Given = None,
    s3_secret_key: Given = None,
    endpoint_url: Given = None,
    api_key: Given = None,
    ca_bundle: Annotated[Path | None, typer.Option(help="PEM file of a private certificate authority.")] = None,
    https_proxy: Given = None,
    no_proxy: Given = None,
) -> None:
    """Name a cluster for the other commands; what is not given is asked for, or kept from before.

    Secrets are better typed, or given as KUBETUNE_ variables, than as options, which other users of a machine can see.
    """
    from kubetune.config.settings import Settings, load_settings, user_file
    from kubetune.config.user_file import write_block

    before = load_settings()
    given: dict[str, Any] = {
        "airflow_url": airflow_url, "airflow_user": airflow_user, "airflow_password": airflow_password,
        "store": store, "s3_endpoint": s3_endpoint, "s3_access_key": s3_access_key, "s3_secret_key": s3_secret_key,
        "endpoint_url": endpoint_url, "api_key": api_key,
        "ca_bundle": None if ca_bundle is None else str(ca_bundle.absolute()),
        "https_proxy": https_proxy, "no_proxy": no_proxy,
    }  # fmt: skip
    block = complete(given, before)
    settings = Settings.model_validate({**before.model_dump(), **block})
    for line in checked(settings):
        say(line)
    write_block(user_file(), block)
    say(f"written to {user_file()}")


def complete(given: dict[str, Any], before: "Settings") -> dict[str, Any]:
    """Return the block: what was given, else what was set before, else what a person types."""
    block = {name: value for name, value in given.items() if value}
    for name in KEPT:
        if name not in block and name in before.model_fields_set and getattr(before, name):
            block[name] = plain(getattr(before, name))
    for name, question, hidden in ASKED:
        if given.get(name) is not None:
            continue
        known = plain(getattr(before, name)) if name in before.model_fields_set else None
        if known is None and sys.stdin.isatty():
            known = typer.prompt(question, default="", hide_input=hidden, show_default=False) or None
        if known is not None:
            block[name] = known
    return block


def plain(value: Any) -> str | None:
    """Return a setting as it stands in a file."""
    if value is None:
        return None
    return str(value.get_secret_value()) if hasattr(value, "get_secret_value") else str(value)


def checked(settings: "Settings") -> list[str]:
    """Try each door; returns a line for each.

    Raises:
        KubetuneError: One does not open.
    """
    from kubetune.client.endpoint import check_endpoints
    from kubetune.client.http import way_of
    from kubetune.config.version import skew
    from kubetune.errors import ConfigError

    airflow = airflow_of(settings)
    airflow.log_in()
    version = airflow.version()
    holds = "no DAG yet" if version is None else f"kubetune {version or 'of an older version'}"
    lines = [f"airflow   {settings.airflow_url}: {settings.airflow_user} may enter; {holds}"]
    if differ := skew(version):
        lines.append(f"version   {differ}")
    store = bucket(settings)
    if store is not None:
        list(zip(range(1), store.list("endpoints/"), strict=False))
        lines.append(f"store     {store.url}: readable")
    elif settings.store.startswith("s3://"):
        raise ConfigError("The store needs its address and keys too: give s3_endpoint, s3_access_key, s3_secret_key.")
    else:
        lines.append("store     none: `submit --data` and `pull` need one")
    if settings.endpoint_url is None:
        lines.append("endpoint  none: `predict` needs one")
    else:
        lines.append(f"endpoint  {settings.endpoint_url}: {check_endpoints(settings.endpoint_url, way_of(settings))}")
    return lines


def submit(
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
    from kubetune.client.submission import SubmitRequest, submit
    from kubetune.config.version import skew

    settings = settings_for(None)
    request = SubmitRequest(recipe, (*(overrides or []), *(changes or [])), data, run, endpoint, settings.recipes_dir)
    airflow = airflow_of(settings)
    done = submit(airflow, lambda: bucket(settings), request)
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


PATIENCE_S = 300.0
"""Seconds for which an api-server may be away, for example while it is upgraded."""
INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended


def follow(run: ClusterRun) -> None:
    """Show the stages of a run with their progress until it is over; exits as the run itself would have here."""
    from kubetune.cli.display import display
    from kubetune.client.watch import outcome, watch_run

    settings = settings_for(None)
    airflow = airflow_of(settings, PATIENCE_S)
    airflow.run(run)  # an unknown run is said before the screen is touched
    shown = display()
    try:
        for found, stages in watch_run(airflow, run):
            last = found, stages
            shown.show(stages)
    except KeyboardInterrupt:
        shown.close()
        leave(f"Run {run} goes on in the cluster; `kubetune cancel {run}` ends it.", INTERRUPTED)
    finally:
        shown.close()
    end = outcome(airflow, *last)
    if end.code or end.sentence:
        leave(end.sentence, end.code)
    say(f"run {run} is complete")
    next_lines(settings, ["show", run], ["pull", run])


def cancel(run: ClusterRun) -> None:
    """End a run: its pods are deleted, what it has committed stays."""
    from kubetune.client.watch import CANCELLED, outcome, stages_of

    settings = settings_for(None)
    airflow = airflow_of(settings)
    found = airflow.run(run)
    if found.finished:
        end = outcome(airflow, found, stages_of(airflow, run))
        say(f"run {run} is over already ({end.word}), nothing was changed. {end.sentence}".rstrip())
        return
    running = [view.name for view in stages_of(airflow, run) if view.state in {"running", "queued", "scheduled"}]
    airflow.fail(run, f"{CANCELLED} by {settings.airflow_user}")
    say(f"run {run} is cancelled; {ended(running)}")
    say("What it has committed stays and is adopted by the next run of the same recipe.")


def ended(stages: list[str]) -> str:
    """Say what happens to the stages that were under way."""
    if not stages:
        return "no stage was under way."
    return f"{' and '.join(stages)} {'was' if len(stages) == 1 else 'were'} under way: Airflow deletes the pods."

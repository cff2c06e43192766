"""`kubetune login`: one block of settings that names a cluster, checked and written for its owner alone."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.cli.cluster import airflow_of, way_of
from kubetune.cli.common import say

if TYPE_CHECKING:
    from kubetune.config.settings import Settings

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


def command(
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
    from kubetune.cli.submit import bucket
    from kubetune.client.endpoint import check_endpoints
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

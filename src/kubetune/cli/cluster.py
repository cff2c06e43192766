"""What the commands against a cluster share: the Airflow that the settings name, and how the way there is."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kubetune.client.airflow import Airflow
    from kubetune.client.http import Way
    from kubetune.config.settings import Settings

ClusterRun = Annotated[str, typer.Argument(help="A run, as `kubetune submit` printed it.")]


def way_of(settings: "Settings") -> "Way":
    """Return how addresses outside this machine are reached."""
    from kubetune.client.http import Way

    return Way(settings.ca_bundle, settings.https_proxy, settings.no_proxy)


def airflow_of(settings: "Settings", deadline_s: float = 20.0) -> "Airflow":
    """Return a client of the Airflow that the settings name.

    Raises:
        ConfigError: They name none.
    """
    from kubetune.client.airflow import Access, Airflow
    from kubetune.errors import ConfigError

    password = settings.airflow_password
    if not settings.airflow_url or not settings.airflow_user or password is None:
        raise ConfigError(
            "No cluster is named: run `kubetune login`, or set KUBETUNE_AIRFLOW_URL, KUBETUNE_AIRFLOW_USER and "
            "KUBETUNE_AIRFLOW_PASSWORD."
        )
    access = Access(settings.airflow_url, settings.airflow_user, password.get_secret_value())
    return Airflow(access, way_of(settings), deadline_s, tell)


def tell(line: str) -> None:
    """Say one line beside the output."""
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()

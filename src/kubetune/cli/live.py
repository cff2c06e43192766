"""What a cluster does with runs right now, beside what the store knows of them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kubetune.cli.cluster import airflow_of, tell

if TYPE_CHECKING:
    from kubetune.config.settings import Settings

PATIENCE_S = 3.0
"""Seconds that a listing of the store waits for an Airflow that does not answer."""


def stages_under_way(settings: "Settings", runs: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return of each run that Airflow has not ended: stage → `running`, `waiting` or when it is tried again.

    The store records a try that failed, not that another one is due. Without a cluster, and for stores in a folder,
    there is nothing to ask; an Airflow that does not answer is said in one line.
    """
    from kubetune.client.watch import under_way
    from kubetune.errors import KubetuneError

    if not settings.airflow_url or "://" not in settings.store:
        return {}
    try:
        return under_way(airflow_of(settings, PATIENCE_S), runs)
    except KubetuneError as error:
        tell(f"What the cluster does now is not known, states are those of the store: {error}")
        return {}

"""The one version of wheel, images and chart, and what a cluster says of its own."""

from collections.abc import Iterable
from importlib import metadata

TAG = "kubetune-"
"""Begins the tag of each DAG that states the version of the Airflow image, for whoever asks from outside."""


def installed() -> str:
    """Return the version that runs here."""
    return metadata.version("kubetune")


def tag() -> str:
    """Return the tag that states it."""
    return f"{TAG}{installed()}"


def tagged(tags: Iterable[str]) -> str:
    """Return the version that the tags of a DAG state; empty: it is older than such tags."""
    return next((name.removeprefix(TAG) for name in tags if name.startswith(TAG)), "")


def skew(theirs: str | None) -> str | None:
    """Say in a sentence how a cluster's version differs from ours; None where it does not, or is not known (None)."""
    ours = installed()
    if theirs in {ours, None}:
        return None
    return (
        f"This kubetune is {ours}, the cluster's is {theirs or 'older'}: the cluster checks recipes by its own rules "
        "and makes stages anew whose code differs; install its version here to be sure."
    )

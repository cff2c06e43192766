"""The pods of stages as Airflow would make them from the settings that the chart renders."""

from functools import cache

import yaml

from chart_world import Object, PodTemplate, named
from kubetune.config.cluster import ClusterSettings
from kubetune.config.load import load_recipe
from kubetune.orchestration.pods import Pod, PodWork, run_pods, task_pod

RECIPE = "tweets"


def cluster_of(found: tuple[Object, ...]) -> ClusterSettings:
    """Read the rendered settings with the model that Airflow reads them with."""
    text = named(found, "ConfigMap", "kubetune-cluster")["data"]["cluster.yaml"]
    return ClusterSettings.model_validate(yaml.safe_load(text))


def pods_as_objects(cluster: ClusterSettings, *overrides: str) -> dict[str, Pod]:
    """Return the pods of a run and of the nightly clean-up by stage."""
    pods = run_pods(recipe(overrides), "tests-1", None, cluster)
    return pods | {"housekeeping": task_pod(PodWork("housekeeping", "ingest", ("gc",)), cluster)}


@cache
def recipe(overrides: tuple[str, ...]):
    """Read a recipe once."""
    return load_recipe(RECIPE, list(overrides))


def stage_pods(found: tuple[Object, ...]) -> list[PodTemplate]:
    """Return them for the rules on pods."""
    return [
        PodTemplate("Pod", name, pod["metadata"]["labels"], pod["metadata"]["annotations"], pod["spec"])
        for name, pod in pods_as_objects(cluster_of(found)).items()
    ]

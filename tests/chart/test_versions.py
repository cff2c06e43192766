"""The same objects by Helm 3 and 4, for the lowest and the highest Kubernetes, fit for the schemas of both."""

import pytest
import yaml
from chart_helm import CHART, HIGHEST, LOWEST, HelmError, template

from chart_schemas import faults
from chart_stages import cluster_of, pods_as_objects
from chart_world import EXISTING, PROFILES, hashless, rendered, text_of, values_of
from kubetune.stages import STAGES

pytestmark = pytest.mark.slow


def minor(version: str) -> str:
    return version.rpartition(".")[0]


@pytest.mark.parametrize("kubernetes", [LOWEST, HIGHEST])
@pytest.mark.parametrize("profile", PROFILES)
def test_objects_fit_the_schemas(profile: str, kubernetes: str) -> None:
    found = rendered(profile, kubernetes=kubernetes)
    assert len(found) >= 40
    assert [fault for item in found for fault in faults(item, minor(kubernetes))] == []


@pytest.mark.parametrize("kubernetes", [LOWEST, HIGHEST])
@pytest.mark.parametrize("profile", PROFILES)
def test_stage_pods_fit_the_schemas(profile: str, kubernetes: str) -> None:
    cluster = cluster_of(rendered(profile, kubernetes=kubernetes))
    pods = pods_as_objects(cluster, "resources.train.gpus=2", "resources.train.cpu='4'")
    assert len(pods) == len(STAGES) + 1
    assert [fault for name, pod in pods.items() for fault in faults(with_name(pod, name), minor(kubernetes))] == []


def with_name(pod: dict, name: str) -> dict:
    """Airflow names the pod."""
    return {**pod, "metadata": {**pod["metadata"], "name": name}}


def test_the_lowest_version_is_the_charts() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["kubeVersion"] == f">={LOWEST}-0"
    assert "dependencies" not in chart
    with pytest.raises(HelmError, match="incompatible with Kubernetes"):
        template(["dev"], kubernetes="1.29.0")


@pytest.mark.parametrize("profile", ["dev", "kind", "prod"])
def test_both_helms_render_the_same(profile: str) -> None:
    given = [*values_of(profile), EXISTING]
    assert template(given, major=3) == template(given, major=4)


def test_helm_4_renders_everything() -> None:
    def names(major: int) -> list[tuple[str, str]]:
        found = rendered("all-features", major)
        return sorted((item["kind"], hashless(item["metadata"]["name"])) for item in found)

    assert names(3) == names(4)


@pytest.mark.parametrize("profile", ["dev", "kind", "prod"])
def test_a_render_is_repeatable(profile: str) -> None:
    """With Secrets that exist nothing is drawn, so that GitOps sees no change where there is none."""
    given = [*values_of(profile), EXISTING]
    assert template(given) == template(given)


def test_monitors_only_where_the_cluster_knows_them() -> None:
    kinds = {item["kind"] for item in rendered("all-features")}
    assert {"ServiceMonitor", "PrometheusRule", "HTTPRoute"} <= kinds
    plain = template(["all-features"])
    assert "ServiceMonitor" not in plain
    assert "PrometheusRule" not in plain
    assert text_of("all-features") != plain

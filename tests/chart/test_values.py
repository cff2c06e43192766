"""What values do: images, examples, and what lies over a default."""

import json
from pathlib import Path

import pytest
import yaml
from chart_helm import CHART, notes, template

from chart_world import EXAMPLES, PROFILES, named, objects, of_kind, pods_of, rendered, values_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("profile", PROFILES)
def test_registry_tag_and_digest_reach_every_image(profile: str) -> None:
    digest = "sha256:" + "ab" * 32
    settings = (
        'global.registry="registry.test:5000"', 'image.tag="9.9.9"', f'image.digests.serve="{digest}"',
        'global.pullSecrets=["registry-credentials"]',
    )  # fmt: skip
    if profile == "prod":  # its images have digests, which beat the tag
        none = {name: digest if name == "serve" else "" for name in ("train", "airflow", "deploy", "serve")}
        settings += ('global.productionExceptions.imagesByTag="tests"', f"image.digests={json.dumps(none)}")
    found = rendered(profile, settings=settings)
    images = {container["image"] for pod in pods_of(found) for container in pod.containers}
    own = {image for image in images if "/kubetune/" in image}
    assert f"registry.test:5000/kubetune/serve@{digest}" in own
    assert {image.rpartition(":")[2] for image in own if "@" not in image} == {"9.9.9"}
    others = {image for image in images if not image.startswith("registry.test:5000/")}
    assert others <= {"example/first:1", "example/beside:1"}
    pulls = {str(pod): pod.spec.get("imagePullSecrets") for pod in pods_of(found)}
    assert set(map(str, pulls.values())) == {str([{"name": "registry-credentials"}])}, pulls


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_each_example_renders_upon_production(example: str) -> None:
    assert len(list(EXAMPLES.glob("*.yaml"))) >= 6
    text = template([*values_of("prod"), EXAMPLES / example])
    assert len(objects(text)) > 40


def test_examples_say_what_they_promise() -> None:
    files = [EXAMPLES / name for name in ("gpu-nodes.yaml", "private-ca.yaml", "proxies-and-hub-token.yaml")]
    found = objects(template([*values_of("prod"), *files]))
    settings = yaml.safe_load(named(found, "ConfigMap", "kubetune-cluster")["data"]["cluster.yaml"])
    assert settings["secrets"]["ingest"] == ["kubetune-store-ingest", "hub-token"]
    assert settings["environment"]["fetch"]["KUBETUNE_HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert settings["ca_config_map"] == "private-ca"
    assert settings["gpu"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert settings["scheduling"]["priority_class"] == "kubetune-stage"
    served = named(found, "Deployment", "kubetune-serve-tweets")["spec"]["template"]["spec"]
    assert served["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert served["runtimeClassName"] == "nvidia"
    outside = [item for item in of_kind(found, "NetworkPolicy") if item["metadata"]["name"].endswith("allow-outside")]
    assert outside[0]["spec"]["egress"][0]["ports"] == [{"port": 3128, "protocol": "TCP"}]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_value_lies_over_the_default_also_when_it_is_empty(profile: str) -> None:
    """Helm's own merge would lose a false or a zero laid over a true."""
    endpoint = "serving.endpoints.tweets"
    found = rendered(profile, settings=(f"{endpoint}.preStopSleepSeconds=0", f'{endpoint}.pdb={{"enabled":false}}'))
    pod = named(found, "Deployment", "kubetune-serve-tweets")["spec"]["template"]["spec"]
    assert "lifecycle" not in pod["containers"][0]
    assert "kubetune-serve-tweets" not in {item["metadata"]["name"] for item in of_kind(found, "PodDisruptionBudget")}


def test_two_releases_share_a_namespace() -> None:
    """Nothing but the release's name tells their objects apart, so it must be in every name."""
    for item in rendered("all-features"):
        assert item["metadata"]["name"].startswith("kubetune"), item["metadata"]["name"]


def test_an_endpoints_settings_lie_over_the_charts() -> None:
    def variables(*settings: str) -> dict[str, str]:
        deployment = named(rendered("dev", settings=settings), "Deployment", "kubetune-serve-tweets")
        (gateway,) = deployment["spec"]["template"]["spec"]["containers"]
        return {entry["name"]: entry.get("value", "") for entry in gateway["env"]}

    assert variables()["KUBETUNE_READY_TIMEOUT_S"] == "600"
    given = 'serving.endpoints.tweets.settings={"KUBETUNE_READY_TIMEOUT_S":"900","KUBETUNE_GATEWAY_RATE":"5"}'
    assert variables(given) | {"KUBETUNE_READY_TIMEOUT_S": "900", "KUBETUNE_GATEWAY_RATE": "5"} == variables(given)


@pytest.mark.parametrize(("profile", "settings", "form"), [
    ("dev", (), "true"), ("prod", (), "false"), ("prod", ("serving.endpoints.tweets.pageForm=true",), "true"),
])  # fmt: skip
def test_the_form_of_a_page_is_off_in_production_unless_a_value_says_otherwise(
    profile: str, settings: tuple[str, ...], form: str
) -> None:
    deployment = named(rendered(profile, settings=settings), "Deployment", "kubetune-serve-tweets")
    (gateway,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "KUBETUNE_GATEWAY_FORM", "value": form} in gateway["env"]


def test_endpoints_share_a_host_where_their_paths_name_them() -> None:
    def ingress(name: str, *further: str) -> str:
        values = {"enabled": True, "host": "x.example.com", "path": f"/predictions/{name}", "furtherPaths": further}
        return f"serving.endpoints.{name}.ingress={json.dumps(values)}"

    found = rendered("dev", settings=(ingress("tweets"), ingress("other")))
    for name in ("tweets", "other"):
        (rule,) = named(found, "Ingress", f"kubetune-serve-{name}")["spec"]["rules"]
        assert [path["path"] for path in rule["http"]["paths"]] == [f"/predictions/{name}"]


def test_airflow_is_told_of_notices_and_pool() -> None:
    for name in ("scheduler", "dag-processor"):
        pod = named(rendered("all-features"), "Deployment", f"kubetune-{name}")["spec"]["template"]["spec"]
        variables = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
        assert variables["KUBETUNE_NOTICES_SMTP"] == "smtp_default"
        assert variables["KUBETUNE_NOTICES_TO"] == "a@kubetune.test, b@kubetune.test"
        assert variables["KUBETUNE_GPU_POOL"] == "gpus"
    assert "KUBETUNE_GPU_POOL" not in str(rendered("dev"))


def test_only_predictions_are_published(tmp_path: Path) -> None:
    """Metrics ask for no key, so no route from outside may lead to them; every protocol's path does."""
    paths = ["/predictions", "/v1", "/v2", "/openapi.json"]
    found = rendered("all-features")
    (rule,) = named(found, "Ingress", "kubetune-serve-tweets")["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == paths
    (rule,) = named(found, "HTTPRoute", "kubetune-serve-tweets")["spec"]["rules"]
    assert [match["path"]["value"] for match in rule["matches"]] == paths
    shown = notes(["all-features"], folder=tmp_path / "copy")
    assert "https://tweets.kubetune.test/predictions/tweets\n" in shown


def test_probes_and_metrics_have_a_port_that_the_service_does_not_publish() -> None:
    found = rendered("all-features")
    service = named(found, "Service", "kubetune-serve-tweets")["spec"]["ports"]
    assert [port["targetPort"] for port in service] == ["http"]
    deployment = named(found, "Deployment", "kubetune-serve-tweets")["spec"]["template"]["spec"]
    gateway = deployment["containers"][0]
    probes = {gateway[kind]["httpGet"]["port"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert probes == {"probes"}
    assert {port["name"]: port["containerPort"] for port in gateway["ports"]} == {"http": 8080, "probes": 8081}
    assert gateway["args"][-4:] == ["--port", "8080", "--probe-port", "8081"]
    monitors = [item for item in of_kind(found, "ServiceMonitor", "PodMonitor") if "serving" in str(item["spec"])]
    ends = [end for item in monitors for end in item["spec"].get("endpoints", item["spec"].get("podMetricsEndpoints"))]
    assert ends and all("probes" in {end.get("targetPort"), end.get("port")} for end in ends)
    rules = named(found, "NetworkPolicy", "kubetune-serving")["spec"]["ingress"]
    (metrics,) = [rule for rule in rules if rule["ports"] == [{"port": 8081, "protocol": "TCP"}]]
    assert metrics["from"][0] == {"podSelector": {}} and "monitoring" in str(metrics["from"][1:])


def test_the_gateway_ends_before_it_is_killed() -> None:
    """The kubelet's grace counts the sleep before SIGTERM; what is left is the gateway's one deadline."""
    more = 'serving.endpoints.tweets={"preStopSleepSeconds":10,"terminationGracePeriodSeconds":120}'
    for settings, seconds in (((), 50), ((more,), 105)):
        spec = named(rendered("kind", settings=settings), "Deployment", "kubetune-serve-tweets")
        pod = spec["spec"]["template"]["spec"]
        (value,) = [one["value"] for one in pod["containers"][0]["env"] if one["name"] == "KUBETUNE_GATEWAY_SHUTDOWN_S"]
        assert int(value) == seconds
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert int(value) + sleep < pod["terminationGracePeriodSeconds"]


def test_templates_are_short() -> None:
    found = [path for path in (CHART / "templates").rglob("*") if path.is_file()]
    assert len(found) > 50
    # checks.yaml and NOTES.txt are among them; helpers are bounded like modules.
    assert {path.name: n for path in found if (n := lines_of(path)) > (300 if path.suffix == ".tpl" else 150)} == {}


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())

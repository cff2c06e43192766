"""MLflow of a release: who reaches it, who reads which secret, and what is left where the server is one of yours."""

import base64
import shlex

import pytest
from chart_helm import HelmError, objects, template
from sqlalchemy.engine import make_url

from chart_checks import holders, references
from chart_stages import stage_pods
from chart_world import EXAMPLES, Object, named, of_kind, pods_of, rendered, values_of

EXTERNAL = (
    "tracking.enabled=true",
    'tracking.external={"url":"https://mlflow.example.org/","existingSecret":"mlflow-login"}',
)


def server(found: tuple[Object, ...] | list[Object]) -> Object:
    """The pod of the server."""
    return named(found, "Deployment", "kubetune-tracking")["spec"]["template"]["spec"]


def variables(container: Object) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


def mounted(spec: Object, container: Object) -> set[str]:
    """Keys of Secrets that one container sees, as `secret/key`."""
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    return {
        f"{source['secret']['name']}/{item['key']}"
        for volume in spec["volumes"]
        if volume["name"] in mounts
        for source in volume.get("projected", {}).get("sources", [])
        for item in source["secret"].get("items", [{"key": "*"}])
    }


def test_it_is_off_unless_asked_for() -> None:
    assert not [item for item in rendered("prod") if "tracking" in item["metadata"]["name"]]


@pytest.mark.parametrize("profile", ["kind", "all-features"])
def test_no_stage_reaches_it(profile: str) -> None:
    found = rendered(profile)
    label = "kubetune.io/access-tracking"
    assert [str(pod) for pod in stage_pods(found) if label in pod.labels] == []
    callers = {pod.name for pod in pods_of(found) if label in pod.labels}
    assert callers == {"kubetune-tracking-mirror", "kubetune-test-tracking"}
    for policy in of_kind(found, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            if {"port": 5000, "protocol": "TCP"} in rule.get("ports", []):
                assert policy["spec"]["podSelector"]["matchLabels"][label] == "true"


def test_only_the_edge_and_the_mirror_come_in() -> None:
    policy = named(rendered("all-features"), "NetworkPolicy", "kubetune-tracking")["spec"]
    (rule,) = policy["ingress"]
    labels = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in rule["from"]]
    assert [item["kubetune.io/access-tracking"] for item in labels if item] == ["true"]
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}} in rule["from"]


@pytest.mark.parametrize("profile", ["kind", "all-features"])
def test_each_container_sees_its_own_secrets(profile: str) -> None:
    """The superuser's connection is one Job's, the administrator's password the init container's alone."""
    found = rendered(profile)
    spec = server(found)
    prepare, main = spec["initContainers"][0], spec["containers"][0]
    assert mounted(spec, prepare) == {
        "kubetune-tracking-database/connection", "kubetune-tracking-admin/password",
        "kubetune-tracking-mirror/kubetune_tracking_user", "kubetune-tracking-mirror/kubetune_tracking_password",
    }  # fmt: skip
    assert mounted(spec, main) == {
        "kubetune-tracking-database/connection", "kubetune-tracking/flask_secret_key", "kubetune-tracking-mirror/*",
        "kubetune-store-tracking/kubetune_s3_access_key", "kubetune-store-tracking/kubetune_s3_secret_key",
    }  # fmt: skip
    mirror = named(found, "Deployment", "kubetune-tracking-mirror")["spec"]["template"]["spec"]
    assert mounted(mirror, mirror["containers"][0]) == {"kubetune-store-mirror/*", "kubetune-tracking-mirror/*"}
    roots = {pod for pod, _ in holders(found, "connection") if "tracking-database" in pod}
    assert len(roots) == 1


def test_nothing_of_it_calls_home_or_runs_jobs() -> None:
    found = rendered("kind")
    pods = [pod for pod in pods_of(found) if "tracking" in pod.labels["app.kubernetes.io/component"]]
    assert len(pods) == 3
    for pod in pods:
        for container in pod.containers:
            given = variables(container)
            assert (given["MLFLOW_DISABLE_TELEMETRY"], given["DO_NOT_TRACK"]) == ("true", "true"), pod
            assert given["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_the_server_knows_its_names_and_keeps_its_artifacts_apart() -> None:
    main = server(rendered("all-features"))["containers"][0]
    options = dict(word.removeprefix("--").split("=", 1) for word in main["command"][3:])
    assert options["app-name"] == "basic-auth"
    assert options["artifacts-destination"] == "s3://kubetune/models/tracking"
    hosts = options["allowed-hosts"].split(",")
    assert {"kubetune-tracking.kubetune.svc:5000", "mlflow.kubetune.test", "mlflow.other.kubetune.test"} <= set(hosts)
    assert "*" not in hosts
    assert "https://mlflow.kubetune.test" in options["cors-allowed-origins"].split(",")
    assert variables(main)["AWS_CA_BUNDLE"] == "/etc/kubetune/ca/ca.crt"
    assert shlex.join(main["readinessProbe"]["exec"]["command"]).endswith("tracking.py ask http://127.0.0.1:5000")
    assert main["livenessProbe"]["httpGet"]["path"] == "/health"


def test_its_url_keeps_hostile_characters() -> None:
    word = "p@ss/wo rd?%+#:é-long"
    found = objects(template(["kind"], settings=[f'tracking.database.password="{word}"']))
    data = named(found, "Secret", "kubetune-tracking-database")["data"]
    url = make_url(base64.b64decode(data["connection"]).decode())
    assert (url.username, url.password, url.host) == ("tracking", word, "kubetune-database.kubetune.svc")
    assert url.database == "tracking"


def test_an_mlflow_of_yours_leaves_the_mirror_alone() -> None:
    found = rendered("dev", settings=(*EXTERNAL, "network.enabled=true", 'network.tracking.cidrs=["192.0.2.7/32"]'))
    ours = {f"{item['kind']} {item['metadata']['name']}" for item in found if "tracking" in item["metadata"]["name"]}
    assert ours == {
        "ConfigMap kubetune-tracking-scripts", "Deployment kubetune-tracking-mirror", "Pod kubetune-test-tracking",
        "NetworkPolicy kubetune-allow-tracking", "ServiceAccount kubetune-tracking",
    }  # fmt: skip
    mirror = named(found, "Deployment", "kubetune-tracking-mirror")["spec"]["template"]["spec"]["containers"][0]
    assert variables(mirror)["KUBETUNE_TRACKING"] == "https://mlflow.example.org"
    assert references(found, {"Secret": {"mlflow-login"}}) == []
    (rule,) = named(found, "NetworkPolicy", "kubetune-allow-tracking")["spec"]["egress"]
    assert rule == {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"port": 443, "protocol": "TCP"}]}


def test_an_mlflow_without_a_login_needs_no_secret() -> None:
    settings = ("tracking.enabled=true", 'tracking.external.url="http://mlflow.test:5000"')
    found = rendered("dev", settings=settings)
    assert references(found, {}) == []
    assert not [item for item in of_kind(found, "Secret") if "tracking-mirror" in item["metadata"]["name"]]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ('tracking.external.url="https://mlflow.example.org"', "tracking.enabled is false"),
        ('tracking={"enabled":true,"server":{"allowedHosts":["*"]}}', "name the hosts"),
        ('tracking={"enabled":true,"server":{"ingress":{"enabled":true}}}', "tracking.server.ingress.host is empty"),
        (
            'tracking={"enabled":true,"server":{"httpRoute":{"enabled":true,"parentRefs":[{"name":"g"}]}}}',
            "needs parentRefs (the Gateway) and hostnames",
        ),
        ('tracking={"enabled":true,"auth":{"mirror":{"username":"admin"}}}', "which is no administrator"),
        ('tracking={"enabled":true,"auth":{"admin":{"password":"short"}}}', "MLflow asks for 12"),
        ('tracking={"enabled":true,"external":{"url":"mlflow.test"}}', "schema"),
    ],
)
def test_bad_values_are_refused_with_a_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(HelmError) as caught:
        template(["dev"], settings=[setting])
    assert sentence in str(caught.value)


def test_production_wants_its_secrets_and_database() -> None:
    with pytest.raises(HelmError, match=r"tracking\.database\.existingSecret is empty"):
        template(values_of("prod"), settings=["tracking.enabled=true", 'tracking.database.existingSecret=""'])
    found = objects(template([*values_of("prod"), EXAMPLES / "tracking.yaml"]))
    assert of_kind(found, "Secret") == []
    assert not [item for item in of_kind(found, "Job") if "tracking-database" in item["metadata"]["name"]]
    assert named(found, "Ingress", "kubetune-tracking")["spec"]["rules"][0]["host"] == "mlflow.example.com"

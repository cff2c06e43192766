"""What global.production refuses, and that each rule but those for trials has one named exception with a reason."""

import json
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from chart_helm import CHART, HelmError, notes, objects, template

from chart_world import named, of_kind, rendered, values_of

pytestmark = pytest.mark.slow

INGRESS = '{"enabled":true,"host":"x.example.com"}'
MLFLOW = {"tracking.enabled": True, "tracking.external.url": "https://mlflow.example.com"}
CLOSED = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"]


def settings_of(values: dict[str, object]) -> list[str]:
    """Pairs for Helm."""
    return [f"{path}={json.dumps(value)}" for path, value in values.items()]


TRIALS: dict[str, tuple[dict[str, object], str]] = {
    "no policies": ({"network.enabled": False}, "network.enabled is false"),
    "a database of ours": ({"database.mode": "bundled"}, "database.mode is bundled"),
    "a store of ours": ({"objectStore.mode": "bundled"}, "objectStore.mode is bundled"),
    "a login in plain text": ({"airflow.auth.manager": "simple"}, "wants fab"),
    "a test without a key": ({"tests.apiKeySecret": ""}, "tests.apiKeySecret is empty"),
}


@pytest.mark.parametrize("fault", sorted(TRIALS))
def test_what_is_for_trials_has_no_exception(fault: str) -> None:
    values, sentence = TRIALS[fault]
    with pytest.raises(HelmError, match=sentence):
        template(values_of("prod"), settings=settings_of(values))


REFUSED: dict[str, tuple[str, dict[str, object], str]] = {
    "a store in plain text": ("plainHttp", {"objectStore.endpoint": "http://s3.example.com"}, "endpoint is http:"),
    "an Airflow in plain text": (
        "plainHttp",
        {"airflow.mode": "external", "airflow.url": "http://a:8080", "network.airflow.cidrs": ["192.0.2.1/32"]},
        "airflow.url is http://a:8080",
    ),
    "an MLflow in plain text": (
        "plainHttp", {**MLFLOW, "tracking.external.url": "http://m:5000", "network.tracking.cidrs": ["192.0.2.1/32"],
        "image.digests.tracking": f"sha256:{'a' * 64}"}, "tracking.external.url is http://m:5000",
    ),
    "people's address in plain text": ("plainHttp", {"airflow.baseUrl": "http://a.example.com"}, "airflow.baseUrl is"),
    "a database without TLS": ("databaseWithoutTls", {"database.sslMode": "disable"}, "database.sslMode is disable"),
    "a database that may be without TLS": ("databaseWithoutTls", {"database.sslMode": "prefer"}, "sslMode is prefer"),
    "a database whose TLS nobody asked for": (
        "databaseWithoutTls", {"database.sslMode": "", "database.existingSecret": "", "database.password": "p"},
        "database.sslMode is empty, which means prefer",
    ),
    "logins in plain text": (
        "publishedWithoutTls", {"airflow.apiServer.ingress": json.loads(INGRESS)}, "airflow.apiServer.ingress has no"
    ),
    "texts in plain text": (
        "publishedWithoutTls", {"serving.endpoints.tweets.ingress": json.loads(INGRESS)},
        "serving.endpoints.tweets.ingress has no tlsSecret",
    ),
    "a port of every node": (
        "publishedWithoutTls", {"serving.endpoints.tweets.service": {"type": "NodePort"}},
        "serving.endpoints.tweets.service.type is NodePort",
    ),
    "no trusted keys": ("unsignedArchives", {"signing.trustedSecret": ""}, "signing.trustedSecret is empty"),
    "an image by tag": ("imagesByTag", {"image.digests.train": ""}, "image.digests lacks train:"),
    "several images by tag": (
        "imagesByTag", {"image.digests.serve": "", "image.digests.airflow": ""}, "image.digests lacks serve, airflow:"
    ),
    "MLflow's image by tag": (
        "imagesByTag", {**MLFLOW, "network.tracking.cidrs": ["192.0.2.1/32"], "image.digests.tracking": ""},
        "image.digests lacks tracking:",
    ),
    "a sidecar by tag": (
        "imagesByTag", {"airflow.scheduler.extraContainers": [{"name": "a", "image": "b:1"}]},
        "airflow.scheduler.extraContainers: image b:1 of a has no digest",
    ),
    "an endpoint's init container by tag": (
        "imagesByTag", {"serving.endpoints.tweets.extraInitContainers": [{"name": "c", "image": "b:1"}]}, "b:1 of c has"
    ),
    "one private network left open": (
        "openPrivateNetworks", {"network.outside.except": CLOSED[1:]}, "the private networks 10.0.0.0/8 as"
    ),
    "half of one": (
        "openPrivateNetworks", {"network.outside.except": ["10.0.0.0/9", *CLOSED[1:]]}, "networks 10.0.0.0/8 as"
    ),
    "the shared address space": (
        "openPrivateNetworks", {"network.outside.except": [*CLOSED[:3], *CLOSED[4:]]}, "networks 100.64.0.0/10 as"
    ),
    "the addresses of the cloud's metadata": (
        "openPrivateNetworks", {"network.outside.except": [*CLOSED[:4], *CLOSED[5:]]}, "networks 169.254.0.0/16 as"
    ),
    "private networks of IPv6": ("openPrivateNetworks", {"network.outside.except": CLOSED[:5]}, "fc00::/7, fe80::/10"),
    "halves of everything": (
        "openPrivateNetworks",
        {"network.outside.cidrs": ["0.0.0.0/1", "128.0.0.0/1"], "network.outside.except": CLOSED[1:]},
        "the private networks 10.0.0.0/8 as",
    ),
    "no block, which is every address": ("openPrivateNetworks", {"network.outside.cidrs": []}, "network.outside opens"),
    "messages to any address": (
        "openPrivateNetworks", {"network.notices.cidrs": ["0.0.0.0/0"]}, "network.notices opens the private networks"
    ),
    "a store at any address": ("openEgress", {"network.objectStore.cidrs": []}, "network.objectStore.cidrs is empty"),
    "a database at any address": ("openEgress", {"network.database.cidrs": []}, "network.database.cidrs is empty"),
    "Kubernetes at any address": ("openEgress", {"network.kubernetesApi.cidrs": []}, "network.kubernetesApi.cidrs is"),
    "an MLflow at any address": (
        "openEgress", {**MLFLOW, "image.digests.tracking": f"sha256:{'a' * 64}"}, "network.tracking.cidrs is empty"
    ),
    "endpoints that every pod may call": ("openIngress", {"network.ingressFrom": []}, "network.ingressFrom is empty"),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(REFUSED))
def test_production_refuses_and_names_its_exception(fault: str) -> None:
    rule, values, sentence = REFUSED[fault]
    with pytest.raises(HelmError) as caught:
        template(values_of("prod"), settings=settings_of(values))
    assert sentence in str(caught.value)
    assert f"global.productionExceptions.{rule}." in str(caught.value)
    assert str(caught.value).count("\n - ") == 1, "one fault, one sentence"


@pytest.mark.parametrize("rule", sorted({rule for rule, _, _ in REFUSED.values()}))
def test_an_exception_with_a_reason_is_accepted_for_its_rule_alone(rule: str) -> None:
    fault = next(name for name, (one, _, _) in sorted(REFUSED.items()) if one == rule)
    settings = settings_of(REFUSED[fault][1])
    template(values_of("prod"), settings=[*settings, f'global.productionExceptions.{rule}="our gateway does it"'])
    other = next(one for one, _, _ in REFUSED.values() if one != rule)
    with pytest.raises(HelmError, match=f"productionExceptions.{rule}"):
        template(values_of("prod"), settings=[*settings, f'global.productionExceptions.{other}="another"'])


def test_every_exception_is_tested() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(values["global"]["productionExceptions"]) == {rule for rule, _, _ in REFUSED.values()}


def test_an_exception_without_production_says_that_nothing_is_refused() -> None:
    with pytest.raises(HelmError, match=r"global\.production is false, where nothing is refused"):
        template(["dev"], settings=['global.productionExceptions.plainHttp="a reason"'])


ACCEPTED: dict[str, dict[str, object]] = {
    "halves that make up a private network": {
        "network.outside.except": ["10.0.0.0/9", "10.128.0.0/10", "10.192.0.0/10", *CLOSED[1:]]
    },
    "a wider exception": {"network.outside.except": ["0.0.0.0/1", *CLOSED[1:]]},
    "a private block by its name": {"network.outside.cidrs": ["0.0.0.0/0", "10.20.0.0/16"]},
    "public blocks alone": {
        "network.outside.cidrs": ["198.51.100.0/24", "2001:db8::/32"],
        "network.outside.except": [],
    },
    "a proxy": {"network.outside.cidrs": ["192.168.7.1/32"], "network.outside.except": []},
}


@pytest.mark.parametrize("what", sorted(ACCEPTED))
def test_what_is_closed_or_meant_is_accepted(what: str) -> None:
    found = objects(template(values_of("prod"), settings=settings_of(ACCEPTED[what])))
    (rule,) = named(found, "NetworkPolicy", "kubetune-allow-outside")["spec"]["egress"]
    assert rule["to"]
    for block in (peer["ipBlock"] for peer in rule["to"]):
        # Kubernetes refuses an exception that is no part of its block, or all of it.
        whole = ip_network(block["cidr"])
        for part in map(ip_network, block.get("except", [])):
            assert part.version == whole.version
            assert part.subnet_of(whole)
            assert part != whole


def test_production_has_no_image_by_tag() -> None:
    text = json.dumps(rendered("prod"))
    assert "@sha256:" in text
    cluster = named(rendered("prod"), "ConfigMap", "kubetune-cluster")["data"]["cluster.yaml"]
    assert '"train":"sha256:' in cluster.replace(" ", "")
    assert of_kind(rendered("prod"), "Ingress") == []


def test_notes_show_what_production_accepts(tmp_path: Path) -> None:
    values = tmp_path / "exceptions.yaml"
    values.write_text('global: {productionExceptions: {imagesByTag: "built on this very node"}}\n', encoding="utf-8")
    shown = notes([*values_of("prod"), values], folder=tmp_path / "copy")
    assert "Production accepts imagesByTag: built on this very node" in shown

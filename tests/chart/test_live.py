"""What a render learns from the cluster: immutable fields, and what is named and not there."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from chart_helm import NAMESPACE, HelmError, template

from chart_cluster import Object, cluster, config_map, namespace, secret
from chart_stages import stage_pods
from chart_world import pods_of, rendered, secrets_of_site, values_of
from kubetune.stages import STAGES

pytestmark = pytest.mark.slow

KEYS = (
    "fernet_key", "api_secret_key", "jwt_secret", "username", "password", "kubetune_airflow_user",
    "kubetune_airflow_password", "kubetune_s3_access_key", "kubetune_s3_secret_key", "signing.key", "keys",
    "kubetune_api_key",
)  # fmt: skip
URL = "postgresql+psycopg2://airflow:pw@db.example.com/airflow?sslmode=verify-full"


def site(*without: str) -> list[Object]:
    """The namespace of a production release with all that it names, but for some Secrets."""
    names = secrets_of_site("prod")["Secret"] - set(without)
    return [namespace(), *(secret(name, *KEYS, connection=URL) for name in sorted(names))]


def refusal(folder: Path, objects: list[Object], profile: str = "prod", *settings: str, major: int = 3) -> str:
    """What the chart says against this cluster; empty: it renders."""
    with cluster(folder, objects) as asked:
        try:
            template(values_of(profile), settings=settings, extra=["--is-upgrade", *asked], major=major)
        except HelmError as error:
            return str(error)
    return ""


@pytest.mark.parametrize("major", [3, 4])
def test_all_that_is_missing_is_listed_at_once(tmp_path: Path, major: int) -> None:
    found = refusal(tmp_path, site("kubetune-admin", "kubetune-store-train", "kubetune-tweets-keys"), major=major)
    assert found.count("\n - ") == 1
    for name, path in (
        ("kubetune-admin", "airflow.auth.admin.existingSecret"),
        ("kubetune-store-train", "objectStore.users.train.existingSecret"),
        ("kubetune-tweets-keys", "serving.endpoints.tweets.apiKeys.existingSecret"),
    ):
        assert f"Secret {name} ({path})" in found
    assert "make them first, or set secrets.checkExisting=false" in found


def test_a_site_with_all_of_it_renders(tmp_path: Path) -> None:
    assert refusal(tmp_path, site()) == ""


def test_nothing_is_said_where_no_cluster_can_be_asked(tmp_path: Path) -> None:
    """A namespace without its account is one that does not exist yet, or a render without a cluster."""
    assert refusal(tmp_path, []) == ""
    assert template(values_of("prod"))


def test_every_secret_that_a_pod_mounts_is_looked_for(tmp_path: Path) -> None:
    """All that pods mount, and no more: what nobody mounts need not be there."""
    found = rendered("prod")
    mounted = {name for pod in [*pods_of(found), *stage_pods(found)] for name in _secrets(pod.spec)}
    assert len(mounted) >= 18
    said = refusal(tmp_path, [namespace()])
    assert {name for name in mounted if f"Secret {name} (" not in said} == set()
    assert set(re.findall(r"Secret ([a-z-]+) \(", said)) == mounted


def _secrets(spec: Mapping[str, Any]) -> Iterator[str]:
    """Names of the Secrets that a pod needs to start."""
    yield from (item["name"] for item in spec.get("imagePullSecrets", []))
    for volume in spec.get("volumes", []):
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            if "secret" in source:
                yield source["secret"].get("secretName") or source["secret"]["name"]


def test_what_something_makes_later_may_be_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path, [namespace()], "prod", "secrets.checkExisting=false") == ""


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    found = refusal(tmp_path, [*site("kubetune-airflow"), secret("kubetune-airflow", "fernet_key", "jwt_secret")])
    assert "Secret kubetune-airflow in namespace kubetune has no key api_secret_key, which airflow.secrets" in found


def test_pipelines_of_another_namespace_have_their_own(tmp_path: Path) -> None:
    settings = ('pipelines.namespaces=["stages"]', 'pipelines.secrets.default=["proxy"]')
    found = refusal(tmp_path, [*site(), namespace("stages")], "prod", *settings)
    assert "Namespace stages lacks Secret kubetune-store-behave" in found
    for name in ("kubetune-store-train", "registry-credentials", "kubetune-signing-key", "proxy"):
        assert f"Secret {name} (" in found
    assert "kubetune-admin" not in found, "only the release's own pods mount it"
    assert "pipelines.namespaces holds stages, which the cluster does not have" in refusal(
        tmp_path, site(), "prod", *settings
    )


EXTRAS = {
    "a variable": (
        "airflow.scheduler.extraEnv", '[{"name":"A","valueFrom":{"secretKeyRef":{"name":"lost","key":"k"}}}]'
    ),
    "variables": ("airflow.apiServer.extraEnvFrom", '[{"configMapRef":{"name":"lost"}}]'),
    "a volume": ("tracking.server.extraVolumes", '[{"name":"v","secret":{"secretName":"lost"}}]'),
    "a projected volume": (
        "serving.endpoints.tweets.extraVolumes",
        '[{"name":"v","projected":{"sources":[{"configMap":{"name":"lost"}}]}}]',
    ),
    "a sidecar's variables": (
        "airflow.triggerer.extraContainers", '[{"name":"c","image":"a:1","envFrom":[{"secretRef":{"name":"lost"}}]}]'
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(EXTRAS))
def test_what_extras_name_is_looked_for(tmp_path: Path, what: str) -> None:
    path, value = EXTRAS[what]
    found = refusal(tmp_path, [namespace()], "dev", f"{path}={value}", "secrets.generate=false", *given())
    assert f" lost ({path})" in found
    optional = value.replace('"lost"', '"lost","optional":true')
    assert refusal(tmp_path, [namespace()], "dev", f"{path}={optional}", "secrets.generate=false", *given()) == ""


def given() -> list[str]:
    """Values for all Secrets of ours, so that none is looked for."""
    users = [*(stage.name for stage in STAGES), "serve", "housekeeping", "client"]
    pairs = [f'objectStore.users.{user}={{"accessKey":"a","secretKey":"b"}}' for user in users]
    pairs += ['airflow.secrets={"fernetKey":"a","apiSecretKey":"b","jwtSecret":"c"}', 'database.password="p"']
    pairs += ['airflow.auth.admin.password="p"', 'airflow.auth.trigger.password="p"']
    return [*pairs, 'objectStore.bundled.root={"user":"u","password":"p"}']


def test_a_connection_that_may_be_in_plain_text_is_refused(tmp_path: Path) -> None:
    plain = secret("kubetune-database", connection=URL.partition("?")[0])
    found = refusal(tmp_path, [*site("kubetune-database"), plain])
    assert "holds a connection with sslmode prefer, since none is given" in found
    assert "productionExceptions.databaseWithoutTls" in found
    accepted = 'global.productionExceptions.databaseWithoutTls="a tunnel"'
    assert refusal(tmp_path, [*site("kubetune-database"), plain], "prod", accepted) == ""


def test_a_schedule_names_a_recipe_of_the_map_that_is_named(tmp_path: Path) -> None:
    settings = (
        'airflow.schedules={"a":{"cron":"@daily","recipe":"minr","endpoint":"tweets"}}',
        'recipes.existingConfigMap="ours"', "secrets.generate=false", *given(),
    )  # fmt: skip
    there = [namespace(), config_map("ours", **{"mine.yaml": "name: mine"})]
    assert "neither shipped nor in ConfigMap ours: it has mine.yaml" in refusal(tmp_path, there, "dev", *settings)
    right = (settings[0].replace("minr", "mine"), *settings[1:])
    assert refusal(tmp_path, there, "dev", *right) == ""


def stateful(name: str, size: str, policy: str = "Parallel", storage_class: str | None = None) -> Object:
    """A StatefulSet as the cluster has it."""
    claim: Object = {"resources": {"requests": {"storage": size}}}
    if storage_class:
        claim["storageClassName"] = storage_class
    templates = [{"metadata": {"name": "data"}, "spec": claim}]
    spec = {"podManagementPolicy": policy, "volumeClaimTemplates": templates}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}


STORE, DATABASE = "kubetune-object-store", "kubetune-database"
LIVE: dict[str, tuple[Object, tuple[str, ...], str]] = {
    "a set of the first releases": (
        stateful(STORE, "20Gi", "OrderedReady"), (),
        f"kubectl --namespace kubetune delete statefulset {STORE} --cascade=orphan (its pod and its volume stay), then",
    ),
    "the database's": (stateful(DATABASE, "2Gi", "OrderedReady"), (), f"statefulset {DATABASE} --cascade=orphan"),
    "a larger volume": (
        stateful(STORE, "20Gi"), ('objectStore.bundled.persistence.size="30Gi"',),
        f"patch persistentvolumeclaim data-{STORE}-0 --patch "
        '\'{"spec":{"resources":{"requests":{"storage":"30Gi"}}}}\' and kubectl --namespace kubetune delete',
    ),
    "the database's larger volume": (
        stateful(DATABASE, "2Gi"), ('database.bundled.persistence.size="2100Mi"',),
        "database.bundled.persistence.size is 2100Mi and the volume of StatefulSet kubetune-database was made with 2Gi",
    ),
    "a smaller volume": (
        stateful(STORE, "20Gi"), ('objectStore.bundled.persistence.size="10Gi"',), "a volume does not shrink"
    ),
    "another storage class": (
        stateful(STORE, "20Gi", storage_class="slow"), ('objectStore.bundled.persistence.storageClass="fast"',),
        "objectStore.bundled.persistence.storageClass is fast and the volume of StatefulSet kubetune-object-store was",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(LIVE))
def test_what_kubernetes_does_not_change_is_refused_with_what_to_do(tmp_path: Path, what: str) -> None:
    live, settings, sentence = LIVE[what]
    found = refusal(tmp_path, [namespace(), live], "dev", "secrets.generate=false", *given(), *settings)
    assert sentence in found
    assert found.count("\n - ") == 1


def test_equal_sizes_in_other_units_are_equal(tmp_path: Path) -> None:
    there = [namespace(), stateful(STORE, "20480Mi"), stateful(DATABASE, "2Gi")]
    assert refusal(tmp_path, there, "dev", "secrets.generate=false", *given()) == ""


def priority(value: int, release: str | None = "kubetune", policy: str = "Never") -> Object:
    """A PriorityClass as the cluster has it."""
    owner = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": NAMESPACE}
    metadata = {"name": "kubetune-stage", "annotations": owner if release else {}}
    kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
    return {**kind, "metadata": metadata, "value": value, "preemptionPolicy": policy}


CLASSES = {
    "another number": (priority(500), "PriorityClass kubetune-stage was made with 500, Never"),
    "another policy": (priority(1000, policy="PreemptLowerPriority"), "was made with 1000, PreemptLowerPriority"),
    "another release's": (
        priority(1000, "other"),
        "is there and is not of this release: set pipelines.priorityClass.create",
    ),
    "a person's": (priority(1000, None), "set pipelines.priorityClass.create=false and name=kubetune-stage to use it"),
}


@pytest.mark.parametrize("what", sorted(CLASSES))
def test_a_class_that_is_other_or_of_others_is_refused(tmp_path: Path, what: str) -> None:
    live, sentence = CLASSES[what]
    settings = ("pipelines.priorityClass.create=true", "secrets.generate=false", *given())
    assert sentence in refusal(tmp_path, [namespace(), live], "dev", *settings)
    used = ('pipelines.priorityClass={"create":false,"name":"kubetune-stage"}', *settings[1:])
    assert refusal(tmp_path, [namespace(), live], "dev", *used) == ""


def test_a_class_of_the_release_is_upgraded(tmp_path: Path) -> None:
    settings = ("pipelines.priorityClass.create=true", "secrets.generate=false", *given())
    assert refusal(tmp_path, [namespace(), priority(1000)], "dev", *settings) == ""

"""The pod of a stage: restricted, complete, and the recipe inside it survives Kubernetes' expansion."""

import json
import re

import pytest

from kubetune.config.cluster import ClusterSettings, load_cluster
from kubetune.config.load import canonical, load_recipe, parse_recipe
from kubetune.errors import ConfigError
from kubetune.orchestration.pods import PodWork, run_pods, task_pod
from kubetune.stages import STAGES

CLUSTER = {
    "release": "kubetune",
    "namespace": "pipelines",
    "images": {"registry": "registry.example:5000", "tag": "1.2.3", "digests": {"train": "sha256:" + "a" * 64}},
    "store": {"url": "s3://bucket", "endpoint": "https://store.example:9000"},
    "serving": {"namespace": "serving", "release": "kubetune"},
    "accounts": {"default": "kubetune-stage", "deploy": "kubetune-deploy"},
    "secrets": {"ingest": ["kubetune-store-ingest", "hub"], "train": ["kubetune-store-train"]},
    "environment": {"ingest": {"HTTPS_PROXY": "http://proxy.example:3128"}},
    "ca_config_map": "ca",
    "stages": {"default": {"cpu": "1", "cpu_request": "100m", "memory": "2Gi"}},
    "gpu": {
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "node_selector": {"pool": "gpu"},
        "runtime_class": "nvidia",
    },
    "scheduling": {"priority_class": "kubetune-stages"},
}


def pods(*overrides: str) -> dict:
    cluster = ClusterSettings.model_validate(CLUSTER)
    return run_pods(load_recipe("tweets", overrides), "tweets-1", "live", cluster)


def test_every_stage_of_the_table_has_a_pod_that_runs_its_command() -> None:
    found = pods()
    assert list(found) == [stage.name for stage in STAGES]
    for name, pod in found.items():
        args = pod["spec"]["containers"][0]["args"]
        assert args[:6] == ["stage", name, "--run", "tweets-1", "--endpoint", "live"]


def test_the_recipe_inside_is_the_whole_recipe_also_with_dollar_signs() -> None:
    recipe = load_recipe("tweets", ["description=cost $(HOME) $$(X)"])
    pod = run_pods(recipe, "tweets-1", None, ClusterSettings.model_validate(CLUSTER))["train"]
    text = pod["spec"]["containers"][0]["args"][-1]
    assert "$$(HOME)" in text
    assert "EXPANDED" not in _expand(text)
    assert canonical(parse_recipe(_expand(text))) == canonical(recipe)
    assert json.loads(_expand(text))["description"] == "cost $(HOME) $$(X)"


def _expand(text: str) -> str:
    """What Kubernetes makes of an argument: `$$` is a dollar sign, `$(NAME)` a variable (here always `EXPANDED`)."""
    return re.sub(r"\$\$|\$\([^)]*\)", lambda found: "$" if found[0] == "$$" else "EXPANDED", text)


def test_images_by_tag_or_digest_and_the_digest_reaches_the_records() -> None:
    found = pods()
    train, ingest = found["train"]["spec"]["containers"][0], found["ingest"]["spec"]["containers"][0]
    assert train["image"] == "registry.example:5000/kubetune/train@sha256:" + "a" * 64
    assert ingest["image"] == "registry.example:5000/kubetune/ingest:1.2.3"
    assert _env(train)["KUBETUNE_IMAGE_DIGEST"] == "sha256:" + "a" * 64


def test_only_ingest_and_fetch_may_reach_out_and_only_deploy_has_a_token() -> None:
    for name, pod in pods().items():
        labels = pod["metadata"]["labels"]
        assert ("kubetune.io/access-outside" in labels) == (name in {"ingest", "fetch"})
        assert ("kubetune.io/access-kubernetes-api" in labels) == (name == "deploy")
        assert pod["spec"]["automountServiceAccountToken"] == (name == "deploy")
        assert pod["spec"]["serviceAccountName"] == ("kubetune-deploy" if name == "deploy" else "kubetune-stage")
        assert _env(pod["spec"]["containers"][0])["KUBETUNE_OFFLINE"] == str(name not in {"ingest", "fetch"}).lower()
    assert _env(pods()["ingest"]["spec"]["containers"][0])["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert "HTTPS_PROXY" not in _env(pods()["train"]["spec"]["containers"][0])


def test_gpus_bring_resource_placement_and_shared_memory() -> None:
    spec = pods("resources.train.gpus=4")["train"]["spec"]
    resources = spec["containers"][0]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "4"
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert spec["runtimeClassName"] == "nvidia"
    assert {"key": "gpu", "operator": "Exists"} in spec["tolerations"]
    assert "/dev/shm" in {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    plain = pods()["train"]["spec"]
    assert "nodeSelector" not in plain
    assert "nvidia.com/gpu" not in plain["containers"][0]["resources"]["limits"]


def test_cpu_ranks_get_shared_memory_too() -> None:
    spec = pods("resources.train.processes=2")["train"]["spec"]
    volume = next(volume for volume in spec["volumes"] if volume["name"] == "shared-memory")
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}


def test_every_pod_is_restricted_and_bounded() -> None:
    cluster = ClusterSettings.model_validate(CLUSTER)
    found = [*pods("resources.train.gpus=1").values(), task_pod(PodWork("housekeeping", "ingest", ("gc",)), cluster)]
    for pod in found:
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert container["name"] == "base"
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert spec["activeDeadlineSeconds"] > 0
        assert {volume["name"] for volume in spec["volumes"]} == {item["name"] for item in container["volumeMounts"]}


def test_a_stage_without_secrets_mounts_none() -> None:
    assert "secrets" not in {volume["name"] for volume in pods()["prepare"]["spec"]["volumes"]}
    sources = next(v for v in pods()["ingest"]["spec"]["volumes"] if v["name"] == "secrets")["projected"]["sources"]
    assert sources == [{"secret": {"name": "kubetune-store-ingest"}}, {"secret": {"name": "hub"}}]


def test_the_signing_key_is_for_register_alone() -> None:
    cluster = ClusterSettings.model_validate({**CLUSTER, "signing_secret": "signing"})
    for name, pod in run_pods(load_recipe("tweets"), "tweets-1", None, cluster).items():
        (container,) = pod["spec"]["containers"]
        mounted = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        assert ("signing" in mounted) == ("KUBETUNE_SIGNING_KEY" in _env(container)) == (name == "register")
        if name == "register":
            place = next(item for item in container["volumeMounts"] if item["name"] == "signing")
            assert _env(container)["KUBETUNE_SIGNING_KEY"] == f"{place['mountPath']}/signing.key"
            assert mounted["signing"]["secret"] == {"secretName": "signing", "defaultMode": 0o440}
    assert all("KUBETUNE_SIGNING_KEY" not in _env(pod["spec"]["containers"][0]) for pod in pods().values())


def test_a_pod_before_which_a_person_is_asked_says_so() -> None:
    asked = pods("promotion.approval=true")
    endpoint = asked["register"]["metadata"]["annotations"].pop("kubetune.io/for-endpoint")
    assert endpoint == "live", "whose policy says who may agree"
    assert asked["register"]["metadata"]["annotations"] == {"kubetune.io/approval": "promotion.approval"}
    assert not any(pod["metadata"]["annotations"] for name, pod in asked.items() if name != "register")
    assert not any(pod["metadata"]["annotations"] for pod in pods().values())


def test_the_recipe_beats_the_platforms_defaults() -> None:
    found = pods("resources.train.cpu=3", "resources.train.memory=6Gi", "resources.train.timeout_minutes=7")
    container = found["train"]["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "3", "memory": "6Gi"}
    assert found["train"]["spec"]["activeDeadlineSeconds"] == 7 * 60 + 300
    assert found["prepare"]["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "100m", "memory": "2Gi"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("release: kubetune\nnamspace: x\n", "namspace"),
        ("- a\n", "not usable"),
        ("a: [", "no YAML"),
    ],
)
def test_cluster_settings_that_do_not_fit_are_refused_with_their_keys(tmp_path, text: str, said: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_cluster(path)


def test_absent_cluster_settings_say_how_to_give_them(tmp_path) -> None:
    with pytest.raises(ConfigError, match="KUBETUNE_CLUSTER_FILE"):
        load_cluster(tmp_path / "cluster.yaml")


def _env(container: dict) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in container["env"]}

"""The pods as Kubernetes gets them: what the operator makes of `pods.py`'s dicts, for every recipe on three clusters.

`KUBETUNE_TEST_WRITE_GOLDEN=1` writes the golden files again.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes.client import ApiClient

from airflow_toys import CLUSTER
from kubetune.config.cluster import ClusterSettings
from kubetune.config.load import load_recipe, shipped_recipes
from kubetune.orchestration.operators import stage_task
from kubetune.orchestration.pods import run_pods
from kubetune.orchestration.requests import SweepRequest, sweep_calls
from kubetune.orchestration.sweep_pods import sweep_pods
from kubetune.stages import BY_NAME, STAGES

GOLDEN = Path(__file__).parent / "golden"
KUBERNETES = "1.34"
CLUSTERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "kind": {
        "images": {"tag": "0.1.0", "registry": "registry.example.com", "pull_policy": "IfNotPresent"},
        "stages": {"default": {"cpu": "1", "cpu_request": "100m", "memory": "1Gi", "scratch": "1Gi"}},
    },
    "prod": {
        "images": {
            "tag": "0.1.0",
            "registry": "registry.example.com",
            "digests": {"train": f"sha256:{'a' * 64}"},
            "pull_secrets": ["registry"],
        },
        "store": {"url": "s3://bucket/team", "endpoint": "https://s3.example.com", "region": "eu-central-1"},
        "ca_config_map": "company-ca",
        "environment": {"ingest": {"KUBETUNE_HTTPS_PROXY": "http://proxy.example.com:3128"}},
        "gpu": {
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "node_selector": {"pool": "gpu"},
            "runtime_class": "nvidia",
        },
        "scheduling": {"priority_class": "kubetune-stages", "node_selector": {"pool": "work"}},
        "annotations": {"example.com/team": "text"},
    },
}
GPUS = ["resources.train={cpu: '4', memory: 16Gi, gpus: 2, hardware: gpu}"]


def made(name: str) -> ClusterSettings:
    return ClusterSettings.model_validate({**CLUSTER, **CLUSTERS[name]})


def built(stage: str, pod: dict[str, Any]) -> dict[str, Any]:
    """The object that the operator would create."""
    task = stage_task(BY_NAME[stage], pod)
    document = ApiClient().sanitize_for_serialization(task.build_pod_request_obj(dry_run=True))
    assert document["metadata"]["name"].startswith(f"{stage}-")
    document["metadata"]["name"] = f"{stage}-0"
    return document


@cache
def validate(text: str) -> None:
    """Check a pod against Kubernetes' schema; pods of several recipes differ in an argument's text only."""
    kubernetes_validate.validate(json.loads(text), KUBERNETES, strict=True)


def checked(document: dict[str, Any], *, token: bool, gpus: int) -> None:
    """Valid for Kubernetes, and inside Pod Security `restricted` with limits and a deadline."""
    spec = document["spec"]
    (container,) = spec["containers"]
    validate(json.dumps(document | {"spec": spec | {"containers": [container | {"args": ["…"]}]}}, sort_keys=True))
    assert all(isinstance(word, str) for word in container["args"])
    security = container["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is token
    assert spec["serviceAccountName"] == ("kubetune-deploy" if token else "kubetune-stage")
    assert spec["activeDeadlineSeconds"] > 0
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"]["limits"])
    assert container["resources"]["limits"].get("nvidia.com/gpu") == (str(gpus) if gpus else None)
    assert not [item["name"] for item in container["env"] if "SECRET" in item["name"] or "KEY" in item["name"]]
    assert not any("hostPath" in volume for volume in spec["volumes"])
    assert ":latest" not in container["image"]


@pytest.mark.parametrize("where", CLUSTERS)
@pytest.mark.parametrize("recipe", shipped_recipes())
def test_every_recipe_makes_pods_that_kubernetes_takes(recipe: str, where: str) -> None:
    loaded = load_recipe(recipe, GPUS)
    pods = run_pods(loaded, "run-1", None, made(where))
    assert list(pods) == [stage.name for stage in STAGES]
    for stage in STAGES:
        document = built(stage.name, pods[stage.name])
        checked(document, token=stage.reaches_kubernetes, gpus=getattr(loaded.resources, stage.name).gpus)
        labels = document["metadata"]["labels"]
        assert labels["kubetune.io/run"] == "run-1"
        assert ("kubetune.io/access-outside" in labels) is stage.reaches_outside
        assert ("kubetune.io/access-kubernetes-api" in labels) is stage.reaches_kubernetes


@pytest.mark.parametrize("where", CLUSTERS)
def test_pods_are_the_golden_ones(where: str) -> None:
    pods = run_pods(load_recipe("tickets", GPUS), "run-1", "support", made(where))
    documents = [built(name, pod) for name, pod in pods.items()]
    for document in documents:
        arguments = document["spec"]["containers"][0]["args"]
        arguments[arguments.index("--resolved") + 1] = "RECIPE"  # its own tests pin it
        document["metadata"]["labels"]["airflow_version"] = "AIRFLOW"
    path = GOLDEN / f"{where}.yaml"
    if os.environ.get("KUBETUNE_TEST_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")
    assert documents == list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_a_sweeps_pods_are_valid_and_share_what_trials_have_in_common(tmp_path: Path) -> None:
    request = SweepRequest(
        recipes=["tickets"],
        grid={"training.learning_rate": [1e-4, 2e-4], "model.max_length": [64, 128]},
        sweep="wide",
    )
    sweep, trials = sweep_calls(request, tmp_path, "manual__1")
    pods = sweep_pods(sweep, trials, made("plain"))
    assert {name: len(found) for name, found in pods.items() if isinstance(found, list)} == {
        "ingest": 1,
        "fetch": 1,
        "prepare": 2,
        "train": 4,
    }
    wanted = dict(trials[0][0].recipe.resources)
    for name, found in pods.items():
        stage = "evaluate" if name == "choose" else name
        for pod in found if isinstance(found, list) else [found]:
            checked(built(stage, pod), token=BY_NAME[stage].reaches_kubernetes, gpus=wanted[stage].gpus)
    (ingest,) = pods["ingest"]
    also = [word.partition("=")[0] for word in ingest["spec"]["containers"][0]["args"] if word.startswith("wide-")]
    assert also == ["wide-1", "wide-2", "wide-3", "wide-4"]
    assert pods["choose"]["spec"]["containers"][0]["args"] == ["choose", "wide", *(f"wide-{n}" for n in (1, 2, 3, 4))]
    assert pods["package"]["spec"]["containers"][0]["args"][:5] == ["stage", "package", "--run", "wide", "--winner"]

"""The pod of a stage as a plain dict: what Airflow starts, what a Job in `manifests/` holds, what tests compare."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from kubetune.config.cluster import ClusterSettings, StageDefaults
from kubetune.config.load import canonical
from kubetune.config.recipe import Recipe
from kubetune.config.resources import StageResources
from kubetune.config.settings import SECRETS_FOLDER
from kubetune.plan import StageCall, plan

USER = 10001
CONTAINER = "base"
"""The name by which KubernetesPodOperator finds the container whose log and exit code count."""
SCRATCH = "/tmp"  # noqa: S108 (a volume of the pod's own)
SHARED_MEMORY = "/dev/shm"  # noqa: S108
CA_FOLDER = "/etc/kubetune/ca"
SIGNER = "register"
"""The stage that signs what a version was made of."""
SIGNING_FOLDER = "/run/secrets/kubetune-signing"
TRUSTED_FOLDER = "/run/secrets/kubetune-trusted"
GRACE_S = 30
RESUMABLE_GRACE_S = 120
"""Seconds between SIGTERM and SIGKILL: a resumable stage saves a checkpoint in them."""
DEADLINE_MARGIN_S = 300
RUN_LABEL = "kubetune.io/run"
APPROVAL = "kubetune.io/approval"
"""Annotation of a pod before which a person is asked; its value is the recipe path that wants it, or `policy`."""
ENDPOINT = "kubetune.io/for-endpoint"
"""Annotation of such a pod: whose policy says who may agree."""
MOVERS = frozenset({"register", "deploy"})
"""Whose pods make a champion, and are given the policies of endpoints."""

Pod = dict[str, Any]


@dataclass(frozen=True)
class PodWork:
    """What a pod is to run.

    Attributes:
        name: Stage name, or another key of the settings' maps such as `housekeeping`.
        image: One of our images.
        args: Arguments of `kubetune`.
        labels: Further pod labels.
        resources: What the recipe asks for.
        outside: Whether it may use hub, proxies and the web.
        kubernetes: Whether it may use the Kubernetes API.
        grace_s: Seconds from SIGTERM to SIGKILL.
        annotations: Further pod annotations.
        endpoint: Endpoint that it is about; empty: none, or one that only the store knows.
    """

    name: str
    image: str
    args: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: StageResources = field(default_factory=StageResources)
    outside: bool = False
    kubernetes: bool = False
    grace_s: int = 30
    annotations: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = ""


def run_pods(
    recipe: Recipe, run: str, endpoint: str | None, cluster: ClusterSettings, until: str | None = None
) -> dict[str, Pod]:
    """Return the pod of each stage of a run, by stage name in plan order.

    Raises:
        ConfigError: The run id, endpoint or `until` is not allowed.
    """
    return {call.stage.name: stage_pod(call, cluster) for call in plan(recipe, run, endpoint, until)}


def stage_pod(call: StageCall, cluster: ClusterSettings) -> Pod:
    """Return the pod that runs one stage of a run.

    The recipe travels inside, so that a file which changes mid-run is of no consequence.
    """
    stage = call.stage
    resolved = json.dumps(canonical(call.recipe), sort_keys=True, separators=(",", ":"))
    work = PodWork(
        name=stage.name,
        image=stage.image,
        args=("stage", stage.name, "--run", call.run, "--endpoint", call.endpoint, "--resolved", resolved),
        labels={RUN_LABEL: call.run},
        resources=getattr(call.recipe.resources, stage.name),
        outside=stage.reaches_outside,
        kubernetes=stage.reaches_kubernetes,
        grace_s=RESUMABLE_GRACE_S if stage.resumable else GRACE_S,
        annotations={APPROVAL: asked, ENDPOINT: call.endpoint} if (asked := approval_of(call, cluster)) else {},
        endpoint=call.endpoint,
    )
    return task_pod(work, cluster)


def task_pod(work: PodWork, cluster: ClusterSettings) -> Pod:
    """Return a pod that runs `kubetune ARGS` with the account, secrets and limits of `work.name`.

    It satisfies Pod Security `restricted`. Storage credentials are mounted files; the name is left to who creates it.
    """
    minutes = work.resources.timeout_minutes or cluster.defaults_of(work.name).timeout_minutes
    spec: dict[str, Any] = {
        "serviceAccountName": cluster.accounts.get(work.name) or cluster.accounts["default"],
        "automountServiceAccountToken": work.kubernetes,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": work.grace_s,
        "activeDeadlineSeconds": minutes * 60 + DEADLINE_MARGIN_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(work, cluster)],
        "volumes": [volume for volume, _ in _mounted(work, cluster)],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": cluster.namespace,
            "labels": {**cluster.labels, **_labels(work, cluster)},
            "annotations": {**cluster.annotations, **work.annotations},
        },
        "spec": spec | _placement(work, cluster),
    }


def approval_of(call: StageCall, cluster: ClusterSettings) -> str | None:
    """Return by what a person has to agree before this stage: a recipe path, or `policy`; None: nobody has to."""
    switch = call.stage.approval
    if switch is None:
        return None
    if attrgetter(switch)(call.recipe):
        return switch
    return "policy" if cluster.policies.of(call.endpoint).approval else None


def stage_deadline_s(call: StageCall, cluster: ClusterSettings) -> int:
    """Return the seconds after which a stage counts as hung."""
    wanted: StageResources = getattr(call.recipe.resources, call.stage.name)
    return 60 * (wanted.timeout_minutes or cluster.defaults_of(call.stage.name).timeout_minutes)


def _labels(work: PodWork, cluster: ClusterSettings) -> dict[str, str]:
    """Labels of the chart's selectors, and those that the network policies let through."""
    labels = {
        "app.kubernetes.io/name": "kubetune",
        "app.kubernetes.io/instance": cluster.release,
        "app.kubernetes.io/component": "stage",
        "app.kubernetes.io/part-of": "kubetune",
        "kubetune.io/stage": work.name,
        "kubetune.io/access-object-store": "true",
        **work.labels,
    }
    if work.outside:
        labels["kubetune.io/access-outside"] = "true"
    if work.kubernetes:
        labels |= {"kubetune.io/access-kubernetes-api": "true", "kubetune.io/access-endpoint": "true"}
    return labels


def _container(work: PodWork, cluster: ClusterSettings) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": cluster.images.reference(work.image),
        "imagePullPolicy": cluster.images.pull_policy,
        "args": [literal(argument) for argument in work.args],
        "env": _environment(work, cluster),
        "resources": _quantities(work.resources, cluster.defaults_of(work.name), cluster),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [mount for _, mount in _mounted(work, cluster)],
    }


def _environment(work: PodWork, cluster: ClusterSettings) -> list[dict[str, Any]]:
    image = cluster.images.digests.get(work.image) or cluster.images.reference(work.image)
    values: dict[str, str] = {
        "KUBETUNE_STORE": cluster.store.url,
        "KUBETUNE_S3_ENDPOINT": cluster.store.endpoint,
        "KUBETUNE_S3_REGION": cluster.store.region,
        "KUBETUNE_IMAGE_DIGEST": image,
        "KUBETUNE_OFFLINE": "false" if work.outside else "true",
        "HOME": SCRATCH,
    }
    if cluster.ca_config_map:
        values["KUBETUNE_CA_BUNDLE"] = f"{CA_FOLDER}/ca.crt"
    if cluster.signing_secret and work.name == SIGNER:
        values["KUBETUNE_SIGNING_KEY"] = f"{SIGNING_FOLDER}/signing.key"
        if cluster.trusted_secret:
            values["KUBETUNE_TRUSTED_KEYS"] = TRUSTED_FOLDER
    if work.name in MOVERS and cluster.policies.endpoints:
        policies = cluster.policies.only(work.endpoint) if work.endpoint else cluster.policies
        values["KUBETUNE_POLICIES"] = json.dumps(policies.model_dump(mode="json")["endpoints"], sort_keys=True)
    if work.kubernetes:
        values |= {
            "KUBETUNE_SERVING": "cluster",
            "KUBETUNE_SERVING_NAMESPACE": cluster.serving.namespace,
            "KUBETUNE_SERVING_RELEASE": cluster.serving.release,
            "KUBETUNE_READY_TIMEOUT_S": f"{cluster.serving.ready_timeout_s:g}",
        }
    values |= {**cluster.environment.get("default", {}), **cluster.environment.get(work.name, {})}
    attempt = {"name": "KUBETUNE_ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return [*({"name": key, "value": literal(value)} for key, value in sorted(values.items())), attempt]


def _quantities(wanted: StageResources, defaults: StageDefaults, cluster: ClusterSettings) -> dict[str, Any]:
    """Requests and limits; a GPU is both, since Kubernetes knows no other way."""
    cpu, memory = wanted.cpu or defaults.cpu, wanted.memory or defaults.memory
    request = wanted.cpu or defaults.cpu_request or defaults.cpu
    gpus = {cluster.gpu.resource: str(wanted.gpus)} if wanted.gpus else {}
    scratch = wanted.scratch or defaults.scratch
    return {
        "requests": {"cpu": request, "memory": memory, **gpus},
        "limits": {"cpu": cpu, "memory": memory, "ephemeral-storage": scratch, **gpus},
    }


def _mounted(work: PodWork, cluster: ClusterSettings) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Volumes, each with where it is mounted."""
    wanted, defaults = work.resources, cluster.defaults_of(work.name)
    found: list[tuple[str, str, dict[str, Any]]] = [
        ("scratch", SCRATCH, {"emptyDir": {"sizeLimit": wanted.scratch or defaults.scratch}})
    ]
    if secrets := cluster.secrets.get(work.name):
        sources = [{"secret": {"name": name}} for name in secrets]
        found.append(("secrets", str(SECRETS_FOLDER), {"projected": {"defaultMode": 0o440, "sources": sources}}))
    if cluster.signing_secret and work.name == SIGNER:
        secret = {"secretName": cluster.signing_secret, "defaultMode": 0o440}
        found.append(("signing", SIGNING_FOLDER, {"secret": secret}))
        if cluster.trusted_secret:
            trusted = {"secretName": cluster.trusted_secret, "defaultMode": 0o440, "optional": True}
            found.append(("trusted-keys", TRUSTED_FOLDER, {"secret": trusted}))
    if wanted.gpus or (wanted.processes or 1) > 1:
        # Ranks exchange tensors there, and a container's own has 64 MiB.
        memory = {"medium": "Memory", "sizeLimit": cluster.gpu.shared_memory}
        found.append(("shared-memory", SHARED_MEMORY, {"emptyDir": memory}))
    if cluster.ca_config_map:
        found.append(("ca", CA_FOLDER, {"configMap": {"name": cluster.ca_config_map}}))
    writable = {SCRATCH, SHARED_MEMORY}
    return [
        (
            {"name": name, **source},
            {"name": name, "mountPath": path} | ({} if path in writable else {"readOnly": True}),
        )
        for name, path, source in found
    ]


def _placement(work: PodWork, cluster: ClusterSettings) -> dict[str, Any]:
    """Node selector, tolerations, priority and runtime class; those for GPUs only where GPUs are asked for."""
    place, gpu, wanted = cluster.scheduling, cluster.gpu, work.resources
    selector = {**place.node_selector, **(gpu.node_selector if wanted.gpus else {})}
    tolerations = [dict(item) for item in (*place.tolerations, *(gpu.tolerations if wanted.gpus else ()))]
    values = {
        "nodeSelector": selector,
        "tolerations": tolerations,
        "priorityClassName": place.priority_class,
        "runtimeClassName": gpu.runtime_class if wanted.gpus else None,
        "imagePullSecrets": [{"name": secret} for secret in cluster.images.pull_secrets],
    }
    return {key: value for key, value in values.items() if value}


def literal(text: str) -> str:
    """Keep Kubernetes from expanding `$(NAME)` in arguments and values; to it `$$` is one dollar sign."""
    return text.replace("$", "$$")

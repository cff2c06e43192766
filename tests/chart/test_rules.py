"""Rules that the values must keep beyond the schema, and rules over objects that planted faults must break."""

import copy
from collections.abc import Callable

import pytest
from chart_helm import HelmError, template

import chart_checks as checks
from chart_stages import stage_pods
from chart_world import Object, named, rendered

REFUSED: dict[str, tuple[str, str]] = {
    "a digest in the pod annotations": (
        'serving.endpoints.tweets={"podAnnotations":{"kubetune.io/archive":"0"}}', "only the stage `deploy` writes"
    ),
    "a name that TorchServe mistakes": ("serving.endpoints.tokens={}", "choose another name"),
    "both bounds of a budget": (
        'serving.endpoints.tweets={"pdb":{"enabled":true,"minAvailable":1,"maxUnavailable":1}}', "pdb"
    ),
    "a budget without a bound": ('serving.endpoints.tweets={"pdb":{"enabled":true}}', "minAvailable or maxUnavailable"),
    "a rollout that cannot begin": (
        'serving.endpoints.tweets={"strategy":{"rollingUpdate":{"maxUnavailable":0,"maxSurge":0}}}', "both 0"
    ),
    "an ingress without a host": ('serving.endpoints.tweets={"ingress":{"enabled":true}}', "ingress.host is empty"),
    "a route without a gateway": ('serving.endpoints.tweets={"httpRoute":{"enabled":true}}', "parentRefs is empty"),
    "more pods at least than at most": (
        'serving.endpoints.tweets={"autoscaling":{"enabled":true,"minReplicas":5,"maxReplicas":2}}', "above maxReplicas"
    ),
    "a grace that the pause uses up": (
        'serving.endpoints.tweets={"preStopSleepSeconds":60,"terminationGracePeriodSeconds":30}', "make it 75 or longer"
    ),
    "a startup probe that ends before the wait": ("serving.readyTimeoutSeconds=601", "gives up after 600 s"),
    "a rollout that fails before the wait ends": (
        'serving.endpoints.tweets={"progressDeadlineSeconds":600}', "progressDeadlineSeconds is 600"
    ),
    "keys twice": (
        'serving.endpoints.tweets={"apiKeys":{"existingSecret":"x","hashes":{"a":"' + "0" * 64 + '"}}}', "give one"
    ),
    "no keys where keys are asked for": ("serving.requireApiKeys=true", "has no API keys"),
    "a key instead of its hash": ('serving.endpoints.tweets={"apiKeys":{"hashes":{"me":"kt_plain"}}}', "hashes"),
    "a test of an endpoint that is not there": ('tests.endpoint="twets"', "name one of serving.endpoints"),
    "two monitors of the same pods": (
        'monitoring={"serviceMonitor":{"enabled":true},"podMonitor":{"enabled":true}}', "enable one"
    ),
    "a namespace of Kubernetes": ('pipelines.namespaces=["kube-system"]', "belongs to Kubernetes"),
    "an external store without an address": ('objectStore={"mode":"external"}', "objectStore.endpoint is empty"),
    "an external database without one": ('database={"mode":"external"}', "database.host is empty"),
    "an Airflow of another line": ('airflow.version="2.10.5"', "3.3"),
    "a secret among Airflow's settings": ('airflow.config={"core":{"fernet_key":"x"}}', "is a secret"),
    "mail to nobody": ('airflow.notices={"smtp":"smtp_default"}', "give the mail addresses"),
    "a login for everybody": (
        'airflow.config={"core":{"simple_auth_manager_all_admins":"True"}}', "refused by it: leave it out"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(REFUSED))
def test_bad_values_are_refused_with_a_sentence(fault: str) -> None:
    setting, sentence = REFUSED[fault]
    with pytest.raises(HelmError) as caught:
        template(["dev"], settings=[setting])
    assert sentence in str(caught.value)


def test_all_errors_come_at_once() -> None:
    with pytest.raises(HelmError) as caught:
        template(["dev"], settings=["serving.endpoints.tokens={}", 'tests.endpoint="no"', 'airflow.version="2.0.0"'])
    assert str(caught.value).count("\n - ") == 3


def pod_spec(found: list[Object]) -> Object:
    return next(item for item in found if item["kind"] == "Deployment")["spec"]["template"]["spec"]


def container(found: list[Object]) -> Object:
    return pod_spec(found)["initContainers"][0]


def service(found: list[Object]) -> Object:
    return next(item for item in found if item["kind"] == "Service")["spec"]


def policy(found: list[Object], name: str) -> Object:
    return named(found, "NetworkPolicy", name)["spec"]


def add_role(found: list[Object], **rule: list[str]) -> None:
    whole = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], **rule}
    found.append({"kind": "Role", "metadata": {"name": "planted"}, "rules": [whole]})


def early_hook() -> Object:
    metadata = {"name": "planted", "annotations": {"helm.sh/hook": "pre-install"}}
    return {"kind": "Job", "metadata": metadata, "spec": {"template": {"spec": {"containers": []}}}}


PLANTED: dict[str, tuple[str, Callable[[list[Object]], object]]] = {
    "an init container may escalate": (
        "restricted", lambda found: container(found)["securityContext"].update(allowPrivilegeEscalation=True)
    ),
    "an init container keeps a capability": (
        "restricted", lambda found: container(found)["securityContext"]["capabilities"].update(add=["NET_ADMIN"])
    ),
    "a root that can be written": (
        "restricted", lambda found: container(found)["securityContext"].update(readOnlyRootFilesystem=False)
    ),
    "no limit": ("restricted", lambda found: container(found)["resources"].pop("limits")),
    "a path of the host": (
        "restricted", lambda found: pod_spec(found)["volumes"].append({"name": "h", "hostPath": {"path": "/"}})
    ),
    "an unbounded volume": (
        "restricted", lambda found: pod_spec(found)["volumes"].append({"name": "e", "emptyDir": {}})
    ),
    "the host's network": ("restricted", lambda found: pod_spec(found).update(hostNetwork=True)),
    "the tag latest": ("restricted", lambda found: container(found).update(image="kubetune/serve:latest")),
    "a variable twice": (
        "env_names", lambda found: container(found)["env"].append({"name": container(found)["env"][0]["name"]})
    ),
    "a Service that selects all": (
        "service_selectors", lambda found: service(found)["selector"].pop("app.kubernetes.io/component")
    ),
    "a Service of nothing": ("service_selectors", lambda found: service(found)["selector"].update(x="y")),
    "a Service's port that no container has": (
        "service_selectors", lambda found: service(found)["ports"][0].update(targetPort="htpp")
    ),
    "a policy that selects nothing": (
        "policies", lambda found: policy(found, "kubetune-database")["podSelector"]["matchLabels"].update(x="y")
    ),
    "a policy whose peer is nobody": (
        "policies",
        lambda found: policy(found, "kubetune-database")["ingress"][0]["from"][0]["podSelector"]["matchLabels"].update(
            {"kubetune.io/access-databases": "true"}
        ),
    ),
    "an account that is not there": ("references", lambda found: pod_spec(found).update(serviceAccountName="nobody")),
    "a Secret that is not there": (
        "references",
        lambda found: pod_spec(found)["volumes"].append({"name": "s", "secret": {"secretName": "kubetune-lost"}}),
    ),
    "a ConfigMap that is not there": (
        "references", lambda found: container(found).update(envFrom=[{"configMapRef": {"name": "kubetune-lost"}}])
    ),
    "a probe of no port": (
        "references",
        lambda found: pod_spec(found)["containers"][0].update(livenessProbe={"httpGet": {"port": "htpp"}}),
    ),
    "a wildcard": ("wildcards", lambda found: add_role(found, verbs=["*"])),
    "a right to read secrets": ("wildcards", lambda found: add_role(found, resources=["secrets"])),
    "a role for the whole cluster": (
        "wildcards", lambda found: found.append({"kind": "ClusterRole", "metadata": {"name": "planted"}, "rules": []})
    ),
    "a hook before the install": (
        "early_hooks",
        lambda found: found.append(early_hook()),
    ),
}  # fmt: skip

RULES: dict[str, Callable[[list[Object]], list[str]]] = {
    "restricted": checks.restricted,
    "env_names": checks.env_names,
    "service_selectors": checks.service_selectors,
    "policies": lambda found: checks.policy_selectors(found, stage_pods(tuple(found))),
    "references": lambda found: checks.references(found, {}),
    "wildcards": checks.wildcards,
    "early_hooks": checks.early_hooks,
}


@pytest.mark.parametrize("fault", sorted(PLANTED))
def test_a_planted_fault_is_found(fault: str) -> None:
    rule, plant = PLANTED[fault]
    found = copy.deepcopy(list(rendered("kind")))
    assert RULES[rule](found) == []
    plant(found)
    assert len(RULES[rule](found)) >= 1

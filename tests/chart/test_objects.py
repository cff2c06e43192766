"""Rules that hold for every profile: security, selectors, references, roles, hooks."""

import pytest

import chart_checks as checks
from chart_stages import cluster_of, stage_pods
from chart_world import PROFILES, Object, matches, named, of_kind, pods_of, rendered, secrets_of_site

every_profile = pytest.mark.parametrize("profile", PROFILES)


@every_profile
def test_every_container_is_restricted(profile: str) -> None:
    found = rendered(profile)
    assert len(pods_of(found)) >= 10
    assert checks.restricted(found) == []


@every_profile
def test_no_variable_is_named_twice(profile: str) -> None:
    assert checks.env_names(rendered(profile)) == []


@every_profile
def test_services_select_one_workload_and_no_job(profile: str) -> None:
    found = rendered(profile)
    assert len(of_kind(found, "Service")) >= 2
    assert checks.service_selectors(found) == []


@every_profile
def test_workloads_budgets_and_monitors_select_their_own(profile: str) -> None:
    assert checks.workload_selectors(rendered(profile)) == []


@every_profile
def test_whatever_is_named_exists(profile: str) -> None:
    assert checks.references(rendered(profile), secrets_of_site(profile)) == []


@pytest.mark.parametrize("profile", ["kind", "prod", "all-features"])
def test_each_policy_selector_matches_a_pod(profile: str) -> None:
    found = rendered(profile)
    assert len(of_kind(found, "NetworkPolicy")) >= 10
    assert checks.policy_selectors(found, stage_pods(found)) == []


@pytest.mark.parametrize("profile", ["kind", "prod", "all-features"])
def test_every_pod_is_under_the_default_deny(profile: str) -> None:
    """A pod that no deny selects may do everything."""
    found = rendered(profile)
    deny = named_in(found, "kubetune-default-deny")
    pods = [*pods_of(found), *stage_pods(found)]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & deny.keys()
    selector = deny["podSelector"]["matchLabels"]
    assert [str(pod) for pod in pods if not selector.items() <= pod.labels.items()] == []


def named_in(found: tuple[Object, ...], name: str) -> Object:
    """The specification of a policy in the release's namespace."""
    return next(
        item["spec"]
        for item in of_kind(found, "NetworkPolicy")
        if item["metadata"]["name"] == name and item["metadata"]["namespace"] == "kubetune"
    )


@pytest.mark.parametrize("profile", ["kind", "prod"])
def test_only_ingest_and_fetch_reach_out(profile: str) -> None:
    found = rendered(profile)
    outside = {
        pod.labels["kubetune.io/stage"] for pod in stage_pods(found) if "kubetune.io/access-outside" in pod.labels
    }
    assert outside == {"ingest", "fetch"}
    assert [str(pod) for pod in pods_of(found) if "kubetune.io/access-outside" in pod.labels] == []
    wide = [
        item["metadata"]["name"]
        for item in of_kind(found, "NetworkPolicy")
        for rule in item["spec"].get("egress", [])
        if any(peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for peer in rule.get("to", []))
    ]
    assert set(wide) <= {"kubetune-allow-outside"}


@every_profile
def test_no_role_is_wider_than_its_work(profile: str) -> None:
    assert checks.wildcards(rendered(profile)) == []


def test_roles_are_those_of_the_design() -> None:
    found = rendered("kind")
    rights = {
        role["metadata"]["name"]: {
            (resource, *sorted(rule["verbs"]), *rule.get("resourceNames", []))
            for rule in role["rules"]
            for resource in rule["resources"]
        }
        for role in of_kind(found, "Role")
    }
    assert rights == {
        "kubetune-pod-launcher": {
            ("pods", "create", "delete", "get", "list", "patch"), ("pods/log", "get"), ("events", "list")
        },
        "kubetune-pod-log-reader": {("pods", "get", "list", "watch"), ("pods/log", "get", "list")},
        "kubetune-janitor": {("pods", "delete", "list")},
        "kubetune-deployer": {
            ("deployments", "get", "patch", "kubetune-serve-tweets"), ("pods", "list")
        },
    }  # fmt: skip
    bound = {
        item["roleRef"]["name"]: sorted(subject["name"] for subject in item["subjects"])
        for item in of_kind(found, "RoleBinding")
    }
    assert bound == {
        "kubetune-pod-launcher": ["kubetune-scheduler", "kubetune-triggerer"],
        "kubetune-pod-log-reader": ["kubetune-api-server"],
        "kubetune-janitor": ["kubetune-scheduler"],
        "kubetune-deployer": ["kubetune-deploy"],
    }


@every_profile
def test_only_whoever_has_a_role_has_a_token(profile: str) -> None:
    found = rendered(profile)
    bound = {subject["name"] for item in of_kind(found, "RoleBinding") for subject in item["subjects"]}
    pods = [*pods_of(found), *stage_pods(found)]
    holders = {pod.spec["serviceAccountName"] for pod in pods if pod.spec["automountServiceAccountToken"]}
    assert holders == bound
    assert all(item["automountServiceAccountToken"] is False for item in of_kind(found, "ServiceAccount"))


@every_profile
def test_no_hook_runs_before_the_release_exists(profile: str) -> None:
    """A migration as a hook deadlocks with --wait; tests are the only hooks."""
    found = rendered(profile)
    assert checks.early_hooks(found) == []
    hooks = {item["metadata"].get("annotations", {}).get("helm.sh/hook") for item in found} - {None}
    assert hooks == {"test"}


@every_profile
def test_the_signing_key_is_in_two_containers(profile: str) -> None:
    found = rendered(profile)
    assert {pod for pod, _ in checks.holders(found, "jwt_secret")} == {"kubetune-api-server", "kubetune-scheduler"}
    assert {container for _, container in checks.holders(found, "jwt_secret")} <= {"api-server", "scheduler"}


@every_profile
def test_the_served_archive_is_never_rendered(profile: str) -> None:
    """Rendered here, the next upgrade would put the former model back."""
    found = rendered(profile)
    for item in [*found, *({"metadata": {"annotations": pod.annotations}} for pod in pods_of(found))]:
        assert "kubetune.io/archive" not in item["metadata"].get("annotations", {})
    for item in of_kind(found, "Deployment"):
        if item["metadata"]["labels"]["app.kubernetes.io/component"] == "serving":
            scaled = any(
                scaler["spec"]["scaleTargetRef"]["name"] == item["metadata"]["name"]
                for scaler in of_kind(found, "HorizontalPodAutoscaler")
            )
            assert ("replicas" in item["spec"]) != scaled


def test_an_endpoint_needs_no_spare_pod_unless_told() -> None:
    strategy = named(rendered("dev"), "Deployment", "kubetune-serve-tweets")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert named(rendered("all-features"), "Deployment", "kubetune-serve-topics")["spec"]["strategy"] == {
        "type": "Recreate"
    }


def test_archives_are_checked_in_both_containers_where_keys_are_trusted() -> None:
    found = rendered("kind", settings=('signing.trustedSecret="keys"', 'signing.existingSecret="s"'))
    spec = named(found, "Deployment", "kubetune-serve-tweets")["spec"]["template"]["spec"]
    for container in (*spec["initContainers"], *spec["containers"]):
        variables = {item["name"]: item.get("value") for item in container["env"]}
        mounts = {item["mountPath"]: item for item in container["volumeMounts"]}
        assert mounts[variables["KUBETUNE_TRUSTED_KEYS"]]["name"] == "trusted-keys"
        assert container["args"][1:3] == ["--endpoint", "tweets"], "a statement for another endpoint does not count"
    assert {"name": "trusted-keys", "secret": {"secretName": "keys", "defaultMode": 0o440}} in spec["volumes"]
    assert cluster_of(found).signing_secret == "s"
    assert not any("signing" in str(pod.spec) for pod in pods_of(found)), "the private key is for one stage alone"


def test_what_runs_more_than_once_runs_on_different_nodes_and_leaves_one() -> None:
    """Two pods on one node, or a drain that takes both, are no better than one."""
    replicas = ("scheduler", "dagProcessor", "apiServer", "triggerer")
    found = rendered("prod", settings=tuple(f"airflow.{name}.replicas=2" for name in replicas))
    pods, seen = pods_of(found), []
    budgets = {item["metadata"]["name"]: item["spec"] for item in of_kind(found, "PodDisruptionBudget")}
    for item in of_kind(found, "Deployment", "StatefulSet"):
        if item["spec"].get("replicas", 1) < 2:
            continue
        (spread,) = item["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
        assert [pod.name for pod in pods if matches(spread["labelSelector"], pod.labels)] == [item["metadata"]["name"]]
        seen.append(item["metadata"]["name"])
    assert len(seen) == 5
    assert set(budgets) >= {"kubetune-api-server", "kubetune-triggerer", "kubetune-serve-tweets"}
    assert all(budget["minAvailable"] == 1 for budget in budgets.values())


def test_one_pod_alone_spreads_over_nothing_and_a_sites_own_spread_wins() -> None:
    def spread(*settings: str) -> object:
        deployment = named(rendered("prod", settings=settings), "Deployment", "kubetune-scheduler")
        return deployment["spec"]["template"]["spec"].get("topologySpreadConstraints")

    own = '[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule"}]'
    assert spread() is None
    given = spread("airflow.scheduler.replicas=2", f"airflow.scheduler.topologySpreadConstraints={own}")
    assert [item["topologyKey"] for item in given] == ["zone"]  # type: ignore[union-attr]


def test_a_user_for_backups_is_made_where_it_is_asked_for() -> None:
    assert "kubetune-store-backup" not in str(rendered("kind"))
    found = rendered("kind", settings=("objectStore.users.backup={}",))
    assert named(found, "Secret", "kubetune-store-backup")["data"]["kubetune_s3_secret_key"]
    (job,) = [item for item in of_kind(found, "Job") if "-bootstrap-" in item["metadata"]["name"]]
    assert "backup/kubetune_s3_access_key" in str(job)

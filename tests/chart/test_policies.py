"""Who may move a champion, as the chart hands it on: to Airflow, to the store, to the API server, to endpoints."""

import json

import pytest
from chart_helm import ROOT, HelmError, template

from chart_stages import cluster_of, recipe
from chart_world import Object, hashless, named, of_kind, rendered, values_of
from kubetune.orchestration.pods import run_pods

POLICIES = {"tweets": {"recipes": ["tweets"], "approvers": ["ada"], "approval": True}, "*": {"users": []}}
RECIPES = ROOT / "src" / "kubetune" / "recipes"
SET = f"promotion.policies={json.dumps(POLICIES)}"


def bootstrap(found: tuple[Object, ...]) -> Object:
    (job,) = [item for item in of_kind(found, "Job") if hashless(item["metadata"]["name"]).startswith("kubetune-boot")]
    return job


def container_of(job: Object) -> Object:
    return job["spec"]["template"]["spec"]["containers"][0]


def test_airflow_reads_the_policies_and_whose_account_is_a_programs() -> None:
    plain = cluster_of(rendered("kind"))
    assert not plain.policies.endpoints and plain.machine_users == ("kubetune-trigger",)
    found = cluster_of(rendered("kind", settings=(SET, 'airflow.auth.trigger.username="nightly"')))
    assert found.machine_users == ("nightly",)
    assert found.policies.of("tweets").approvers == ("ada",) and found.policies.of("tweets").approval
    assert found.policies.of("another").users == ()


def test_the_bundled_store_gets_them_by_the_one_who_holds_its_root_keys() -> None:
    plain = bootstrap(rendered("kind"))
    assert "KUBETUNE_POLICIES" not in {item["name"] for item in container_of(plain)["env"]}
    bound = bootstrap(rendered("kind", settings=(SET,)))
    environment = {item["name"]: item.get("value") for item in container_of(bound)["env"]}
    assert json.loads(environment["KUBETUNE_POLICIES"]) == POLICIES
    assert "/etc/kubetune/recipes" in {mount["mountPath"] for mount in container_of(bound)["volumeMounts"]}
    # The Job's name is a hash of its spec, so what stands there makes another Job of another policy or recipe.
    text = (RECIPES / "cola.yaml").read_text(encoding="utf-8").replace("name: cola", "name: mine", 1)
    inline = f"recipes.inline={json.dumps({'mine': text})}"
    digests = {
        settings: bootstrap(rendered("kind", settings=settings))["spec"]["template"]["metadata"]["annotations"].get(
            "checksum/recipes"
        )
        for settings in ((), (inline,), (SET,), (SET, inline))
    }
    assert digests[()] is digests[(inline,)] is None, "recipes alone restart nothing"
    assert digests[(SET,)] != digests[(SET, inline)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"Tweets": {}}, "Tweets"),
        ({"tweets": {"approver": ["ada"]}}, "approver"),
        ({"tweets": {"gates": ["none"]}}, "gates"),
        ({"tweets": {"documents": {}}}, "documents"),
    ],
)
def test_a_policy_with_errors_does_not_render(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(HelmError, match=said):
        template(values_of("kind"), settings=[f"promotion.policies={json.dumps(wrong)}"])


def test_the_api_server_is_told_what_the_stage_may_change() -> None:
    found = rendered("kind", settings=('pipelines.namespaces=["one","two"]',))
    (policy,) = of_kind(found, "ValidatingAdmissionPolicy")
    (binding,) = of_kind(found, "ValidatingAdmissionPolicyBinding")
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert policy["spec"]["failurePolicy"] == "Fail"
    accounts = policy["spec"]["matchConditions"][0]["expression"]
    assert [f"system:serviceaccount:{name}:kubetune-deploy" in accounts for name in ("one", "two")] == [True, True]
    place = policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"]
    assert place == {"kubernetes.io/metadata.name": "kubetune"}
    assert policy["metadata"]["name"] == "kubetune-kubetune-deployer", "two releases do not share one"
    for settings in (("pipelines.admissionPolicy.create=false",), ("serving.endpoints=null",)):
        assert not of_kind(rendered("kind", settings=settings), "ValidatingAdmissionPolicy")


def test_the_list_of_revoked_versions_has_a_least_epoch_and_a_signer_that_knows_its_keys() -> None:
    settings = ('signing={"existingSecret":"signer","trustedSecret":"trusted","revocationEpoch":7}',)
    found = rendered("kind", settings=settings)
    pod = named(found, "Deployment", "kubetune-serve-tweets")["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        assert {item["name"]: item.get("value") for item in container["env"]}["KUBETUNE_REVOCATION_EPOCH"] == "7"
    signer = run_pods(recipe(()), "tweets-1", None, cluster_of(found))["register"]["spec"]
    trusted = next(volume for volume in signer["volumes"] if volume["name"] == "trusted-keys")
    assert trusted["secret"] == {"secretName": "trusted", "defaultMode": 0o440, "optional": True}

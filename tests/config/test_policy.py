"""What an endpoint's policy lets pass: by the recipe's content and not by its name, by user, by gate."""

import pytest

from kubetune.config.load import load_recipe
from kubetune.config.policy import EndpointPolicy, Policies, parse_policies
from kubetune.errors import ConfigError, RefusedError


def bound(**rules: object) -> EndpointPolicy:
    policies = parse_policies({"live": rules}, "values")
    return policies.filled(load_recipe).of("live")


def test_an_endpoint_without_a_policy_is_open() -> None:
    assert Policies().of("any") == EndpointPolicy()
    EndpointPolicy().check_user("any", "anybody")
    EndpointPolicy().check_approver("any", "anybody")
    EndpointPolicy().check_recipe("any", load_recipe("tickets", ["promotion.gate=thresholds"]))


def test_the_star_is_for_those_that_have_none_of_their_own() -> None:
    found = parse_policies({"*": {"users": []}, "live": {"users": ["ada"]}}, "values")
    found.of("live").check_user("live", "ada")
    with pytest.raises(RefusedError, match="ada may not start runs for endpoint other: its policy allows nobody"):
        found.of("other").check_user("other", "ada")
    assert found.only("other").of("other") == found.of("other")


@pytest.mark.parametrize(
    "change",
    [
        "data.source={kind: files, paths: {all: /somewhere/else.csv}}",
        "data.columns.label=noise",
        "data.splits.seed=7",
        "promotion.gate=thresholds",
        "promotion.alpha=0.4",
        "evaluation.thresholds=[]",
        "training.seed=3",
        "serving.workers=2",
    ],
)
def test_what_only_bears_an_allowed_name_is_refused(change: str) -> None:
    """Random labels, another gate, other rules: each under the very name that the policy allows."""
    recipe = load_recipe("tickets", [change])
    with pytest.raises(RefusedError, match="Recipe tickets differs from tickets in ") as caught:
        bound(recipes=["tickets"]).check_recipe("live", recipe)
    assert caught.value.exit_code == 77 and "allows tickets, unchanged" in str(caught.value)


def test_a_named_recipe_passes_and_freed_paths_may_differ() -> None:
    policy = bound(recipes=["sst2", "tickets"], overrides=["training", "data.limit"])
    policy.check_recipe("live", load_recipe("tickets"))
    policy.check_recipe("live", load_recipe("tickets", ["description=another", "training.epochs=7", "data.limit=50"]))
    with pytest.raises(RefusedError, match=r"differs from tickets in data\.min_characters.*changed in training, data"):
        policy.check_recipe("live", load_recipe("tickets", ["training.epochs=7", "data.min_characters=2"]))
    with pytest.raises(RefusedError, match="Recipe cola differs from"):
        policy.check_recipe("live", load_recipe("cola"))
    with pytest.raises(RefusedError, match="Recipe cola is not, and the policy of endpoint live allows nobody"):
        bound(recipes=[]).check_recipe("live", load_recipe("cola"))


def test_a_longer_name_is_not_below_a_freed_path() -> None:
    policy = bound(recipes=["tickets"], overrides=["data.limit"])
    policy = policy.model_copy(update={"overrides": ("data.l",)})
    with pytest.raises(RefusedError, match=r"in data\.limit"):
        policy.check_recipe("live", load_recipe("tickets", ["data.limit=50"]))


def test_a_gate_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"promotion\.gate=thresholds may not change .* its policy allows champion"):
        bound(gates=["champion"]).check_recipe("live", load_recipe("cola", ["promotion.gate=thresholds"]))


def test_a_document_of_an_older_version_gets_the_defaults_of_newer_keys() -> None:
    policy = bound(recipes=["tickets"])
    document = dict(policy.documents["tickets"])
    document["promotion"] = {key: value for key, value in document["promotion"].items() if key != "calibration_margin"}
    older = policy.model_copy(update={"documents": {"tickets": document}})
    older.check_recipe("live", load_recipe("tickets"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"live": {"user": ["ada"]}}, "`live.user`: Extra inputs"),
        ({"live": {"gates": ["none"]}}, "live.gates"),
        ({"live": {"recipes": "tickets"}}, "live.recipes"),
        ("live", "valid dictionary"),
    ],
)
def test_a_policy_with_errors_is_refused(value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_policies(value, "values")


def test_what_a_policy_names_has_to_exist() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tickets'"):
        bound(recipes=["ticket"])
    with pytest.raises(ConfigError, match="frees 'trainng', which is no path"):
        bound(recipes=["tickets"], overrides=["trainng"])
    with pytest.raises(ConfigError, match="names recipe tickets and does not hold it"):
        parse_policies({"live": {"recipes": ["tickets"]}}, "v").of("live").check_recipe("live", load_recipe("tickets"))

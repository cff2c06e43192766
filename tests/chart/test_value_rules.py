"""Values that belong together are compared when read: resources, ports, hosts, budgets, schedules, recipes."""

import json

import pytest
import yaml
from chart_helm import CHART, HelmError, template

from kubetune.config.load import parse_recipe

pytestmark = pytest.mark.slow

MINE = "name: reviews\\ndata: {}\\nmodel: {}"


def endpoint(**values: object) -> str:
    """A setting of the endpoint `tweets`."""
    return f"serving.endpoints.tweets={json.dumps(values)}"


def clock(**values: object) -> str:
    """A setting of one schedule, good but for what is given."""
    return f"airflow.schedules.nightly={json.dumps({'cron': '0 3 * * *', 'recipe': 'tweets', **values})}"


REFUSED: dict[str, tuple[list[str], str]] = {
    "a request above its limit": (
        ['airflow.scheduler.resources={"requests":{"cpu":"3"},"limits":{"cpu":"2500m"}}'],
        "airflow.scheduler.resources.requests.cpu is 3, above limits.cpu 2500m",
    ),
    "in other units": (
        ['database.bundled.resources={"requests":{"memory":"1G"},"limits":{"memory":"953Mi"}}'],
        "database.bundled.resources.requests.memory is 1G, above limits.memory 953Mi",
    ),
    "a request above a default limit": (
        [endpoint(resources={"requests": {"memory": "4Gi"}})],
        "serving.endpoints.tweets.resources.requests.memory is 4Gi, above limits.memory 3Gi",
    ),
    "a sidecar's": (
        ['airflow.apiServer.extraContainers=[{"name":"x","resources":{"requests":{"cpu":1},"limits":{"cpu":"10m"}}}]'],
        "airflow.apiServer.extraContainers[0].resources.requests.cpu is 1, above limits.cpu 10m",
    ),
    "a stage's": (['pipelines.resources.train={"cpu":"2","cpu_request":"2100m"}'], "cpu_request is 2100m, above"),
    "a stage's without a limit of its own": (
        ['pipelines.resources.train={"cpu_request":"3"}'], "cpu_request is 3, above its limit cpu 2"
    ),
    "one port of the nodes twice": (
        ['airflow.apiServer.service={"type":"NodePort","nodePort":30080}',
         endpoint(service={"type": "NodePort", "nodePort": 30080})],
        "serving.endpoints.tweets.service.nodePort and airflow.apiServer.service.nodePort are both 30080",
    ),
    "a port of the nodes without their Service": (
        ["objectStore.bundled.service.nodePort=30082"],
        "objectStore.bundled.service.nodePort is 30082 and type is ClusterIP",
    ),
    "one host twice": (
        ['airflow.apiServer.ingress={"enabled":true,"host":"ai.example.com"}',
         'tracking={"enabled":true,"server":{"ingress":{"enabled":true,"host":"AI.example.com"}}}'],
        "tracking.server.ingress and airflow.apiServer.ingress both lead in at ai.example.com",
    ),
    "one host of two endpoints": (
        [endpoint(ingress={"enabled": True, "host": "x.example.com"}),
         'serving.endpoints.other={"ingress":{"enabled":true,"host":"x.example.com"}}'],
        "both lead in at x.example.com/predictions",
    ),
    "one path of another protocol of two endpoints": (
        [endpoint(ingress={"enabled": True, "host": "x.example.com", "path": "/predictions/tweets"}),
         'serving.endpoints.other={"ingress":{"enabled":true,"host":"x.example.com","path":"/predictions/other"}}'],
        "both lead in at x.example.com/v1",
    ),
    "two routes of any host": (
        [endpoint(httpRoute={"enabled": True, "parentRefs": [{"name": "g"}]}),
         'serving.endpoints.other={"httpRoute":{"enabled":true,"parentRefs":[{"name":"g"}]}}'],
        "both lead in at */predictions",
    ),
    "a budget that keeps the only pod": (
        [endpoint(pdb={"enabled": True, "minAvailable": 1})],
        "serving.endpoints.tweets.pdb has minAvailable 1 of 1 pod, which leaves none to evict",
    ),
    "percents that keep all": (
        [endpoint(replicas=2, pdb={"enabled": True, "minAvailable": "51%"})], "minAvailable 51% of 2 pods"
    ),
    "a budget that lets none go": (
        ['airflow.scheduler={"replicas":2,"pdb":{"enabled":true,"maxUnavailable":0}}'],
        "airflow.scheduler.pdb has maxUnavailable 0 of 2 pods",
    ),
    "a budget of the fewest pods": (
        [endpoint(replicas=4, autoscaling={"enabled": True, "minReplicas": 2}, pdb={"enabled": True, "minAvailable": 2})
         ],
        "raise autoscaling.minReplicas",
    ),
    "a budget of Airflow without a bound": (
        ['airflow.triggerer.pdb={"enabled":true}'], "airflow.triggerer.pdb needs minAvailable or maxUnavailable"
    ),
    "a budget of Airflow with two": (
        ['airflow.apiServer.pdb={"enabled":true,"minAvailable":1,"maxUnavailable":1}'], "airflow.apiServer.pdb needs"
    ),
    "a recipe that nobody ships": ([clock(recipe="twets")], "airflow.schedules.nightly.recipe is twets"),
    "an endpoint that is not there": ([clock(endpoint="tweet")], "schedules.nightly deploys to endpoint tweet;"),
    "a recipe whose endpoint is not there": ([clock(recipe="sst2")], "endpoint sst2, the recipe's own name"),
    "an inline recipe whose endpoint is not there": (
        [f'recipes.inline={{"mine":"{MINE}"}}', clock(recipe="mine")], "endpoint reviews, the recipe's own name"
    ),
    "an override that names another endpoint": ([clock(overrides=["name=other"])], "deploys to endpoint other"),
    "four fields": ([clock(cron="0 3 * *")], "it has 4 fields"),
    "an hour of 24": ([clock(cron="0 24 * * *")], 'hour "24" is out of 0 to 23'),
    "a day that Kubernetes does not know": ([clock(cron="0 3 * * 7")], 'day of week "7" is out of 0 to 6'),
    "a month that does not exist": ([clock(cron="0 3 1 foo *")], 'month "foo" is out of 1 to 12 or jan to dec'),
    "a range backwards": ([clock(cron="0 8-6 * * *")], 'hour "8-6" ends before it begins'),
    "a step of none": ([clock(cron="*/0 * * * *")], 'minute "*/0" has a step of 0'),
    "words instead of a time": ([clock(cron="every day at 3")], "it has 4 fields"),
    "a macro": ([clock(cron="@fortnightly")], "there are @yearly"),
    "a zone in the cron": ([clock(cron="TZ=Europe/Berlin 0 3 * * *")], "give timeZone"),
    "a zone that does not exist": ([clock(timeZone="Europe/Berln")], "there is no such time zone"),
    "the machine's zone": ([clock(timeZone="Local")], "depends on the machine"),
    "a recipe that is no YAML": (['recipes.inline={"mine":"name: {"}'], "recipes.inline.mine is no YAML mapping"),
    "a recipe that is a list": (['recipes.inline={"mine":"- name: mine"}'], "recipes.inline.mine is no YAML mapping"),
    "a recipe without a model": (['recipes.inline={"mine":"name: mine\\ndata: {}"}'], "inline.mine lacks model"),
    "a section that does not exist": (
        [f'recipes.inline={{"mine":"{MINE}\\ntrainin: {{}}"}}'], "recipes.inline.mine has a section trainin"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(REFUSED))
def test_values_that_do_not_fit_are_refused_with_a_sentence(fault: str) -> None:
    settings, sentence = REFUSED[fault]
    with pytest.raises(HelmError) as caught:
        template(["dev"], settings=settings)
    assert sentence in str(caught.value)
    assert str(caught.value).count("\n - ") == 1, "one fault, one sentence"


def test_helm_4_finds_the_same() -> None:
    faults = ("a request above its limit", "one port of the nodes twice", "a budget of Airflow with two", "four fields")
    with pytest.raises(HelmError) as caught:
        template(["dev"], settings=[setting for fault in faults for setting in REFUSED[fault][0]], major=4)
    assert [fault for fault in faults if REFUSED[fault][1] not in str(caught.value)] == []
    assert str(caught.value).count("\n - ") == len(faults)


ACCEPTED: dict[str, list[str]] = {
    "equal in other units": [
        'airflow.scheduler.resources={"requests":{"memory":"1536Mi"},"limits":{"memory":"1.5Gi"}}'
    ],
    "a request without a limit": ['airflow.scheduler.resources={"requests":{"nvidia.com/gpu":"1"}}'],
    "one host with two paths": [
        'airflow.apiServer.ingress={"enabled":true,"host":"ai.example.com"}',
        endpoint(ingress={"enabled": True, "host": "ai.example.com"}),
    ],
    "an ingress and a route to one endpoint": [
        endpoint(
            ingress={"enabled": True, "host": "x.example.com"},
            httpRoute={"enabled": True, "hostnames": ["x.example.com"], "parentRefs": [{"name": "g"}]},
        )
    ],
    "percents that round up": [endpoint(replicas=3, pdb={"enabled": True, "maxUnavailable": "1%"})],
    "no pods, nothing to evict": [endpoint(replicas=0, pdb={"enabled": True, "minAvailable": 1})],
    "every form of a field": [clock(cron="*/5 0-6,22 1,15 jan-MAR Mon-fri")],
    "a question mark, leading zeros, a step from a number": [clock(cron="05/20 08 ? * 0")],
    "a macro": [clock(cron="@daily")],
    "a duration": [clock(cron="@every 1h30m")],
    "zones": [
        f'airflow.schedules.z{n}={{"cron":"0 3 * * *","recipe":"tweets","timeZone":"{zone}"}}'
        for n, zone in enumerate(
            ("UTC", "Etc/UTC", "Europe/London", "Africa/Abidjan", "America/Argentina/Ushuaia", "Etc/GMT-14")
        )
    ],
    "an endpoint by the recipe's name": [
        f'recipes.inline={{"mine":"{MINE}"}}', "serving.endpoints.reviews={}", clock(recipe="mine")
    ],
    "an endpoint that is given": [clock(recipe="sst2", endpoint="tweets")],
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(ACCEPTED))
def test_values_that_fit_render(what: str) -> None:
    assert "kind: Deployment" in template(["dev"], settings=ACCEPTED[what])


@pytest.mark.parametrize("path", sorted((CHART / "profiles").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_of_the_profiles_are_recipes(path) -> None:
    """The chart checks the outline; the package's own rules are for all of it."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = {name: parse_recipe(text).name for name, text in values.get("recipes", {}).get("inline", {}).items()}
    assert set(found.values()) == ({"mine"} if path.stem == "all-features" else set())

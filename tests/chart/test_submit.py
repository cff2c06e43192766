"""The Job that one edits is the pod that the chart's schedules run, and a schedule hands over recipe and overrides."""

import json
from typing import Any

import yaml
from chart_helm import ROOT, objects, template

from kubetune.config.load import shipped_recipes

SCHEDULE = '{"nightly":{"cron":"0 3 * * *","recipe":"%s","overrides":["training.epochs=1"]}}'


def scheduled(recipe: str, *settings: str) -> dict[str, Any]:
    """Return the pod spec of a schedule."""
    text = template(["kind"], settings=[f"airflow.schedules={SCHEDULE % recipe}", *settings])
    (cron,) = (item for item in objects(text) if item["kind"] == "CronJob" and "schedule" in item["metadata"]["name"])
    pod: dict[str, Any] = cron["spec"]["jobTemplate"]["spec"]["template"]
    return pod


def test_the_job_to_edit_is_what_a_schedule_runs() -> None:
    job = yaml.safe_load((ROOT / "manifests" / "submit.yaml").read_text(encoding="utf-8"))
    edited, rendered = job["spec"]["template"], scheduled("tweets")
    rendered["spec"]["securityContext"].pop("fsGroupChangePolicy")
    assert edited["spec"] == rendered["spec"]
    assert edited["metadata"]["labels"].items() <= rendered["metadata"]["labels"].items()


def test_a_recipe_of_the_values_is_read_from_its_file() -> None:
    recipe = json.dumps({"mine": shipped_recipes()["tweets"]})
    pod = scheduled("mine", f"recipes.inline={recipe}")
    assert pod["spec"]["containers"][0]["args"] == ["submit", "/etc/kubetune/recipes/mine.yaml", "training.epochs=1"]
    mounted = scheduled("mine", 'recipes.existingConfigMap="ours"')  # what is in it is not known here
    assert mounted["spec"]["containers"][0]["args"][1] == "mine"


def test_a_schedule_trusts_the_private_authority() -> None:
    """An Airflow outside the release may have a certificate of it."""
    pod = scheduled("tweets", 'global.caConfigMap="private-ca"')["spec"]
    (container,) = pod["containers"]
    assert {"name": "KUBETUNE_CA_BUNDLE", "value": "/etc/kubetune/ca/ca.crt"} in container["env"]
    assert {"name": "ca", "mountPath": "/etc/kubetune/ca", "readOnly": True} in container["volumeMounts"]
    assert {"name": "ca", "configMap": {"name": "private-ca"}} in pod["volumes"]

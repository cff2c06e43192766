"""Write `manifests/`: the profiles rendered for people without Helm, and a stage as a Job; Secrets are theirs to make.

`chart_manifests.py stage NAME` prints the Job of another stage.
"""

import copy
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from chart_helm import CHART, NAMESPACE, ROOT, objects, template

from kubetune.config.cluster import ClusterSettings
from kubetune.config.load import load_recipe
from kubetune.orchestration.pods import run_pods

FOLDER = ROOT / "manifests"
EXISTING = CHART / "examples" / "existing-secrets.yaml"
PROFILES = {
    "kind": ("kind", EXISTING),
    "production": ("prod", EXISTING, CHART / "examples" / "production.yaml"),
}
HEAD = """\
# The chart's profile {profile}, rendered by `make manifests`; a test compares the two. Do not edit: change the values.
# Read manifests/README.md first: the namespace and the Secrets come before this file.
"""
CLUSTER_WIDE = frozenset({"PriorityClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})
RECIPE, RUN = "tweets", "tweets-1"
STAGE_HEAD = """\
# Stage `{stage}` of run {run} as a Job, without Airflow: the very pod that Airflow starts for the release of kind.yaml.
# Made by `charts/tools/chart_manifests.py`; manifests/README.md says how the next stages run.
"""


def text(profile: str) -> str:
    """Return the manifest of one profile: all objects but the test pods, which only `helm test` starts."""
    found = copy.deepcopy(rendered(profile))
    for item in found:
        # Nobody but Helm reads these two; kubectl would keep them as if Helm managed the objects.
        labels = item["metadata"].get("labels", {})
        labels.pop("helm.sh/chart", None)
        item["metadata"].setdefault("namespace", NAMESPACE)
        if item["kind"] in CLUSTER_WIDE:
            del item["metadata"]["namespace"]
    body = yaml.safe_dump_all(found, sort_keys=False, width=120, explicit_start=True)
    return HEAD.format(profile=profile) + body.replace("managed-by: Helm", "managed-by: kubectl")


@cache
def rendered(profile: str) -> list[dict[str, Any]]:
    """Return a profile's objects without those of `helm test`; do not change them."""
    return objects(template(PROFILES[profile], settings=["tests.enabled=false"]))


def stage_text(stage: str) -> str:
    """Return a Job that runs one stage of a run of the recipe `tweets`, with the settings of profile kind."""
    name = f"{NAMESPACE}-cluster"
    (settings,) = (item for item in rendered("kind") if item["metadata"]["name"] == name)
    cluster = ClusterSettings.model_validate(yaml.safe_load(settings["data"]["cluster.yaml"]))
    pods = run_pods(load_recipe(RECIPE), RUN, None, cluster)
    if stage not in pods:
        sys.exit(f"There is no stage {stage} in recipe {RECIPE}: there are {', '.join(pods)}.")
    pod = pods[stage]
    metadata = {key: pod["metadata"][key] for key in ("labels", "annotations") if pod["metadata"][key]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{RUN}-{stage}", "namespace": cluster.namespace, "labels": metadata["labels"]},
        # A stage that failed for good would fail again; one that was interrupted goes on in a new Job.
        "spec": {"backoffLimit": 0, "template": {"metadata": metadata, "spec": pod["spec"]}},
    }
    return STAGE_HEAD.format(stage=stage, run=RUN) + _plain(job)


def _plain(value: dict[str, Any]) -> str:
    """YAML without anchors: kubectl reads them, people do not."""
    dumper = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    return yaml.dump(value, Dumper=dumper, sort_keys=False, width=120)


def files() -> Iterator[tuple[Path, str]]:
    """Yield path and text of each file."""
    for profile in PROFILES:
        yield FOLDER / f"{profile}.yaml", text(profile)
    yield FOLDER / "stage.yaml", stage_text("ingest")


if __name__ == "__main__":
    if sys.argv[1:2] == ["stage"]:
        sys.stdout.write(stage_text(*sys.argv[2:3]))
        sys.exit()
    for path, content in files():
        if "--check" in sys.argv and path.read_text(encoding="utf-8") != content:
            sys.exit(f"{path.relative_to(ROOT)} is not what the chart renders: run `make manifests`.")
        path.write_text(content, encoding="utf-8")

"""What is committed as rendered is what the chart renders."""

import chart_manifests
import chart_readme
import chart_recipes
import chart_scan
import pytest
import yaml
from chart_helm import HIGHEST, LOWEST, ROOT

from chart_checks import references, restricted
from chart_schemas import faults
from chart_stages import cluster_of
from chart_world import OUTSIDE
from kubetune.config.load import load_recipe
from kubetune.orchestration.pods import run_pods

FILES = dict(chart_manifests.files())


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: path.name)
def test_manifests_are_the_chart_rendered(path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path]


def test_every_profile_of_the_manifests_is_there() -> None:
    rendered = {path.name for path in FILES}
    assert rendered == {"kind.yaml", "production.yaml", "stage.yaml"}


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: path.name)
def test_manifests_stand_alone(path) -> None:
    """The Secrets that they name are those that `secrets.sh` makes, and nothing else is missing."""
    found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    if path.name == "stage.yaml":  # the Job of a stage joins the release
        found += yaml.safe_load_all((ROOT / "manifests" / "kind.yaml").read_text(encoding="utf-8"))
    script = (ROOT / "manifests" / "secrets.sh").read_text(encoding="utf-8")
    users = script.partition("for user in ")[2].partition(";")[0].split()
    made = {line.split()[1] for line in script.splitlines() if line.startswith("secret kubetune-")}
    made |= {f"kubetune-store-{user}" for user in users}
    site = OUTSIDE["prod"]["Secret"] if path.name == "production.yaml" else set()
    assert len(made) == 25
    assert references(found, {"Secret": made | site}) == []
    assert restricted(found) == []
    assert "kind: Secret" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("kubernetes", [LOWEST, HIGHEST])
@pytest.mark.parametrize("stage", ["ingest", "prepare", "deploy"])
def test_a_stage_runs_as_a_job(stage: str, kubernetes: str) -> None:
    """The pod is Airflow's own, and the Job neither repeats it nor asks for what Kubernetes does not know."""
    job = yaml.safe_load(chart_manifests.stage_text(stage))
    assert faults(job, kubernetes.rpartition(".")[0]) == []
    assert (job["metadata"]["name"], job["spec"]["backoffLimit"]) == (f"tweets-1-{stage}", 0)
    pod = run_pods(load_recipe("tweets"), "tweets-1", None, cluster_of(tuple(chart_manifests.rendered("kind"))))[stage]
    assert job["spec"]["template"]["spec"] == pod["spec"]
    assert job["spec"]["template"]["metadata"]["labels"] == pod["metadata"]["labels"]


def test_a_stage_that_is_none_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match="there are ingest, fetch, prepare"):
        chart_manifests.stage_text("tarin")


@pytest.mark.slow
def test_the_readme_lists_every_value() -> None:
    assert chart_readme.TARGET.read_text(encoding="utf-8") == chart_readme.text()
    rows = list(chart_readme.rows())
    assert len(rows) > 250
    assert [path for path, _, comment in rows if not comment] == []


def test_the_chart_knows_the_recipes_of_the_package() -> None:
    assert chart_recipes.TARGET.read_text(encoding="utf-8") == chart_recipes.text()


def test_a_finding_of_the_scanner_that_nobody_accepted_fails() -> None:
    """The scan itself is `make scan`; this is its judgement."""
    accepted = [
        {"check_id": check, "check_name": "x", "resource": f"Pod.kubetune.{min(names or {'any'})}"}
        for check, (_, names) in chart_scan.ACCEPTED.items()
    ]
    assert chart_scan.judge(accepted) == []
    other = {"check_id": "CKV_K8S_16", "check_name": "privileged", "resource": "Deployment.kubetune.kubetune-scheduler"}
    elsewhere = {**accepted[2], "resource": "Deployment.kubetune.kubetune-serve-tweets"}
    assert len(chart_scan.judge([*accepted, other])) == 1
    assert len(chart_scan.judge([*accepted, elsewhere])) == 1
    assert len(chart_scan.judge(accepted[1:])) == 1

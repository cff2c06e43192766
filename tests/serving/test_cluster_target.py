"""Deploying to a Deployment: the patch, the wait, what pods say, and the way back. Over HTTP, with real archives."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes import client

from kubernetes_api import ARCHIVE, KubernetesApi, deployment
from kubetune.errors import ConfigError, InterruptedRunError, NotReadyError, TemporaryError
from kubetune.serving.archive.manifest import archive_digest, read_archive, write_manifest
from kubetune.serving.cluster import deployments
from kubetune.serving.cluster import target as cluster_target
from kubetune.serving.cluster.deployments import Deployments
from kubetune.serving.cluster.target import SERVED, ClusterTarget
from kubetune.stages.deploy import deploy
from served_toys import Quiet

NAME = "kubetune-serve-toy"
FLIPPED = {
    "name": "fetch-archive",
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 65, "message": "log\nkubetune: model.safetensors has another digest"}},
}
PULL = {"name": "fetch-archive", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_target, "POLL_S", 0.01)
    monkeypatch.setattr(deployments, "PAUSE_S", 0.01)


@pytest.fixture(scope="module")
def archives(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three archives that differ in a word of their card."""
    folder, found = tmp_path_factory.mktemp("archives"), []
    for number in range(3):
        made = Path(shutil.copytree(archive, folder / str(number)))
        (made / "MODEL_CARD.md").write_text(f"card {number}\n")
        write_manifest(made, read_archive(archive))
        found.append(made)
    return found


Go = Callable[..., dict[str, object]]


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi(deployment(NAME)) as server:
        yield server


def target(api: KubernetesApi) -> ClusterTarget:
    configuration = client.Configuration(host=api.url)
    configuration.retries = False
    return ClusterTarget("models", "kubetune", "toy", client.ApiClient(configuration))


def go(api: KubernetesApi, archive: Path, tmp_path: Path, timeout_s: float = 20, context: Quiet | None = None) -> dict:
    """Run the stage's own logic."""
    return dict(deploy(target(api), archive, context or Quiet(tmp_path), timeout_s).facts)


@pytest.mark.parametrize("annotations", [None, {}, {"checksum": "1"}, {ARCHIVE: ""}])
def test_the_first_deploy_writes_the_annotation(annotations, archives, tmp_path: Path) -> None:
    with KubernetesApi(deployment(NAME, annotations)) as api:
        facts = go(api, archives[0], tmp_path)
        digest = archive_digest(archives[0])
        assert api.archive == digest and api.serving() == [digest]
        assert facts["previous"] is None and facts["changed"] and facts["archive"] == digest
        assert facts["url"] == "http://kubetune-serve-toy.models.svc:8080/predictions/toy"
        kept = api.object["spec"]["template"]["metadata"]["annotations"]
        assert kept == {**(annotations or {}), ARCHIVE: digest}
        assert api.object["metadata"]["annotations"][SERVED] == digest


def test_a_then_b_then_a_again_serves_a(api: KubernetesApi, archives, tmp_path: Path) -> None:
    a, b = (archive_digest(found) for found in archives[:2])
    for archive, digest in ((archives[0], a), (archives[1], b), (archives[0], a)):
        go(api, archive, tmp_path)
        assert api.serving() == [digest]
    tests = [patch[0] for patch in api.patches if any("template" in item["path"] for item in patch[1:])]
    assert [item["value"] for item in tests[1:]] == [a, b]
    assert tests[1]["path"] == "/spec/template/metadata/annotations/kubetune.io~1archive"


def test_former_pods_have_ended_when_it_returns(api: KubernetesApi, archives, tmp_path: Path, monkeypatch) -> None:
    api.ending = 6
    go(api, archives[0], tmp_path)
    assert api.ending == 0
    api.ending = 1000
    monkeypatch.setattr(cluster_target, "LINGER_S", 0.1)
    go(api, archives[1], tmp_path)  # a pod on a lost node never ends
    assert api.serving() == [archive_digest(archives[1])]


def test_what_serves_already_is_left_alone(api: KubernetesApi, archives, tmp_path: Path) -> None:
    go(api, archives[0], tmp_path)
    patches = len(api.patches)
    assert not go(api, archives[0], tmp_path)["changed"]
    assert len(api.patches) == patches


def test_a_flipped_byte_is_told_and_the_former_archive_restored(api: KubernetesApi, archives, tmp_path: Path) -> None:
    a, b = (archive_digest(found) for found in archives[:2])
    go(api, archives[0], tmp_path)
    api.faults[b] = FLIPPED
    sentence = r"fetch-archive ended with 65: model.safetensors has another digest\. The former archive .* serves\."
    with pytest.raises(NotReadyError, match=sentence):
        go(api, archives[1], tmp_path)
    assert api.archive == a and api.serving() == [a]


def test_a_bad_first_archive_leaves_an_endpoint_without_one(api: KubernetesApi, archives, tmp_path: Path) -> None:
    api.faults[archive_digest(archives[0])] = FLIPPED
    with pytest.raises(NotReadyError, match="Nothing was served before"):
        go(api, archives[0], tmp_path)
    assert api.archive is None and api.serving() == [None]


def test_time_is_limited_and_the_pods_reason_told(api: KubernetesApi, archives, tmp_path: Path) -> None:
    api.faults[archive_digest(archives[0])] = PULL
    with pytest.raises(NotReadyError, match=r"not ready in 0\.2 s: .*ImagePullBackOff no such image"):
        go(api, archives[0], tmp_path, timeout_s=0.2)


def test_a_deployment_that_is_not_there_names_the_value(archives, tmp_path: Path) -> None:
    with (
        KubernetesApi(deployment("kubetune-serve-other")) as api,
        pytest.raises(
            ConfigError, match=r"kubetune-serve-toy does not exist in namespace models.*`serving\.endpoints`"
        ),
    ):
        go(api, archives[0], tmp_path)


def test_an_account_without_rights_is_told(api: KubernetesApi, archives, tmp_path: Path) -> None:
    api.fail_next = [403]
    with pytest.raises(ConfigError, match="stage deploy needs the account"):
        go(api, archives[0], tmp_path)


def test_a_deployment_without_replicas_is_refused(archives, tmp_path: Path) -> None:
    with (
        KubernetesApi(deployment(NAME, replicas=0)) as api,
        pytest.raises(ConfigError, match="scaled to 0 replicas"),
    ):
        go(api, archives[0], tmp_path)


def write(digest: str) -> Callable[[KubernetesApi], None]:
    """Another deployment, a moment before ours."""

    def play(api: KubernetesApi) -> None:
        api.object["spec"]["template"]["metadata"]["annotations"] = {ARCHIVE: digest}
        api.object["metadata"]["generation"] += 1
        api.object["metadata"]["resourceVersion"] = "77"

    return play


@pytest.mark.parametrize("first", [True, False])
def test_a_conflict_is_75_and_leaves_the_other_alone(first: bool, api: KubernetesApi, archives, tmp_path: Path) -> None:
    if not first:
        go(api, archives[0], tmp_path)
    other = archive_digest(archives[2])
    api.before_patch = write(other)
    with pytest.raises(TemporaryError, match="being changed by another deployment"):
        go(api, archives[1], tmp_path)
    assert api.archive == other


def test_a_status_that_moves_meanwhile_is_no_conflict(api: KubernetesApi, archives, tmp_path: Path) -> None:
    def touch(api: KubernetesApi) -> None:
        api.object["metadata"]["resourceVersion"] = "99"

    api.before_patch = touch
    go(api, archives[0], tmp_path)
    assert api.serving() == [archive_digest(archives[0])]


def test_an_api_that_is_away_for_a_moment_is_waited_for(api: KubernetesApi, archives, tmp_path: Path) -> None:
    api.fail_next = [503, 500, 429]
    api.lost_replies = 1
    go(api, archives[0], tmp_path)
    assert api.serving() == [archive_digest(archives[0])]
    assert len([patch for patch in api.patches if patch[1]["path"].startswith("/spec")]) == 1


def test_an_api_that_stays_away_is_75(monkeypatch, archives, tmp_path: Path) -> None:
    monkeypatch.setattr(deployments, "PATIENCE_S", 0.05)
    with KubernetesApi(deployment(NAME)) as api:
        stopped = target(api)
    with pytest.raises(TemporaryError, match="has not answered"):
        deploy(stopped, archives[0], Quiet(tmp_path), 5)


@pytest.mark.parametrize("good", [True, False])
def test_a_run_killed_after_its_patch_converges(good: bool, api: KubernetesApi, archives, tmp_path: Path) -> None:
    a, b = (archive_digest(found) for found in archives[:2])
    go(api, archives[0], tmp_path)
    if not good:
        api.faults[b] = FLIPPED
    write(b)(api)  # what a killed attempt left: the new archive is named, nobody waits
    if good:
        assert go(api, archives[1], tmp_path)["archive"] == b
        assert api.serving() == [b]
    else:
        with pytest.raises(NotReadyError, match="ended with 65"):
            go(api, archives[1], tmp_path)
        assert api.archive == a and api.serving() == [a]


def test_an_interruption_restores_the_former_archive(api: KubernetesApi, archives, tmp_path: Path) -> None:
    go(api, archives[0], tmp_path)
    api.faults[archive_digest(archives[1])] = PULL
    context = Quiet(tmp_path)
    context.stopping = True
    with pytest.raises(InterruptedRunError):
        go(api, archives[1], tmp_path, context=context)
    assert api.archive == archive_digest(archives[0])


def test_a_deployment_that_is_taken_over_ends_for_good_and_leaves_the_other(
    api: KubernetesApi, archives, tmp_path: Path, monkeypatch
) -> None:
    """Another try would take the endpoint back, and the two would go on for ever."""
    go(api, archives[0], tmp_path)
    api.faults[archive_digest(archives[1])] = PULL
    other, waited = archive_digest(archives[2]), iter(range(3))
    monkeypatch.setattr(cluster_target.time, "sleep", lambda _: write(other)(api) if next(waited, 9) == 2 else None)
    with pytest.raises(ConfigError, match="taken over by another deployment"):
        go(api, archives[1], tmp_path)
    assert api.archive == other


def test_a_signal_inside_the_patch_restores_the_former_archive_without_waiting(
    api: KubernetesApi, archives, tmp_path: Path, monkeypatch
) -> None:
    """The patch has landed, its answer has not; and the pod is killed before any rollout could end."""
    go(api, archives[0], tmp_path)
    api.faults[archive_digest(archives[0])] = PULL  # the way back would never be ready
    patch = Deployments.patch

    def interrupted(self, *args):
        patch(self, *args)
        monkeypatch.setattr(Deployments, "patch", patch)
        raise InterruptedRunError("asked to stop")

    monkeypatch.setattr(Deployments, "patch", interrupted)
    with pytest.raises(InterruptedRunError):
        go(api, archives[1], tmp_path, timeout_s=300)
    assert api.archive == archive_digest(archives[0])


def test_a_process_without_a_cluster_is_told(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="no account of a cluster"):
        ClusterTarget("models", "kubetune", "toy")


def test_what_the_api_does_not_accept_is_its_sentence_and_not_its_dump() -> None:
    body = b'{"kind":"Status","status":"Failure","message":"json: cannot unmarshal string into field","code":400}'
    with pytest.raises(ConfigError, match=r"\(400\): json: cannot unmarshal string into field$"):
        object.__new__(Deployments)._raise_if_final("its pods", 400, body)
    with pytest.raises(ConfigError, match=r"\(400\): a proxy's own page$"):
        object.__new__(Deployments)._raise_if_final("its pods", 400, b"a proxy's own page")

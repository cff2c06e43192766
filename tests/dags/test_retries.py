"""What a pod's status means: which tries are worth making, and the one sentence that a person reads."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodNotFoundException
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowException
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException
from kubernetes_asyncio.client.exceptions import ApiException as AsyncApiException
from urllib3 import HTTPHeaderDict

from kubetune.orchestration.retries import ExitCodePolicy

FAILED = AirflowException("Pod toy-train-abc returned a failure.")


def pod(code: int | None = None, message: str = "", **kinds: str) -> k8s.V1Pod:
    """A pod as the API returns it: ended with a code, or not started."""
    state = k8s.V1ContainerState()
    if code is not None:
        ended = k8s.V1ContainerStateTerminated(exit_code=code, message=message, reason=kinds.get("ended", "Error"))
        state = k8s.V1ContainerState(terminated=ended)
    if "waiting" in kinds:
        state = k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=kinds["waiting"], message=message))
    base = k8s.V1ContainerStatus(name="base", state=state, image="i", image_id="", ready=False, restart_count=0)
    conditions = []
    if "condition" in kinds:
        conditions = [k8s.V1PodCondition(type=kinds["condition"], status=kinds.get("status", "True"), message=message)]
    status = k8s.V1PodStatus(
        phase="Failed",
        reason=kinds.get("reason"),
        message=kinds.get("said"),
        container_statuses=[base],
        conditions=conditions,
    )
    return k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p", labels={"kubetune.io/stage": "train"}), status=status)


def judged(found: k8s.V1Pod | None, exception: BaseException = FAILED, try_number: int = 1, where: str = "remote_pod"):
    """The policy's decision and the XCom that it pushed."""
    pushed: dict[str, str] = {}  # `reason`, and where it is tried again, `retry_at`
    context = {
        "task": SimpleNamespace(**{"remote_pod": None, "pod": None, where: found}),
        "ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value})),
    }
    decision = ExitCodePolicy().evaluate(exception, try_number, 5, context)
    assert pushed["reason"] == decision.reason
    assert ("retry_at" in pushed) is (decision.action == RetryAction.RETRY)
    assert "HTTPHeaderDict" not in decision.reason and "CIMultiDictProxy" not in decision.reason
    return decision


SENTENCE = "Threshold missed: accuracy is 0.81, at least 0.9 is asked for."


@pytest.mark.parametrize("where", ["remote_pod", "pod"])
@pytest.mark.parametrize("code", [65, 77, 78])
def test_what_cannot_be_cured_fails_at_once(code: int, where: str) -> None:
    decision = judged(pod(code, SENTENCE), where=where)
    assert decision.action == RetryAction.FAIL
    assert SENTENCE in decision.reason


@pytest.mark.parametrize("code", [0, 99])
def test_what_has_ended_well_and_was_missed_is_looked_at_again_soon(code: int) -> None:
    decision = judged(pod(code, "the champion stays"))
    assert decision.action == RetryAction.RETRY
    assert decision.retry_delay <= timedelta(minutes=1)


@pytest.mark.parametrize("code", [69, 70])
def test_what_may_be_a_moment_is_tried_once_more(code: int) -> None:
    assert judged(pod(code, SENTENCE)).action == RetryAction.RETRY
    assert judged(pod(code, SENTENCE), try_number=2).action == RetryAction.FAIL


@pytest.mark.parametrize(
    ("found", "exception"),
    [
        (pod(75, "Training was asked to stop."), FAILED),
        (pod(137, reason="Evicted"), FAILED),
        (pod(143, condition="DisruptionTarget"), FAILED),
        (None, PodNotFoundException("gone")),
    ],
)
@pytest.mark.parametrize("try_number", [1, 4])
def test_what_was_interrupted_goes_on_soon(found: k8s.V1Pod | None, exception: BaseException, try_number: int) -> None:
    decision = judged(found, exception, try_number)
    assert decision.action == RetryAction.RETRY
    assert decision.retry_delay <= timedelta(minutes=1)


def test_out_of_memory_fails_with_advice() -> None:
    decision = judged(pod(137, ended="OOMKilled"))
    assert decision.action == RetryAction.FAIL
    assert "resources.train.memory" in decision.reason


def test_a_stage_that_ran_too_long_fails_although_it_could_resume() -> None:
    decision = judged(pod(75, "stopped", reason="DeadlineExceeded"))
    assert decision.action == RetryAction.FAIL
    assert "timeout_minutes" in decision.reason


def test_the_line_in_an_exception_counts_where_the_pod_is_gone() -> None:
    decision = judged(None, AirflowException("Pod p returned a failure.\nexit=78 ConfigError: no such thing"))
    assert decision.action == RetryAction.FAIL
    assert "no such thing" in decision.reason


def test_the_containers_code_beats_a_line_in_its_log() -> None:
    decision = judged(pod(75, "exit=65 of something else\nkubetune: stopped"))
    assert decision.action == RetryAction.RETRY and "stopped" in decision.reason
    plain = judged(pod(77, f"exit=77 {SENTENCE}"))
    assert plain.reason == f"refused by a gate: {SENTENCE}"


def test_a_pod_that_succeeded_is_adopted_by_the_next_try() -> None:
    assert judged(pod(0, ended="Completed")).retry_delay <= timedelta(minutes=1)


@pytest.mark.parametrize(("try_number", "minutes"), [(1, 5), (2, 10), (3, 20), (5, 60)])
def test_what_has_no_name_waits_longer_each_time(try_number: int, minutes: int) -> None:
    for found in (None, pod(1, "Traceback"), pod(137)):
        decision = judged(found, AirflowException("connection refused"), try_number)
        assert decision.action == RetryAction.RETRY
        assert decision.retry_delay == timedelta(minutes=minutes)


def test_a_pod_without_a_place_names_what_is_missing() -> None:
    missing = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    late = AirflowException("Pod took too long to be scheduled on the cluster, giving up. More than 21600s.")
    decision = judged(pod(message=missing, condition="PodScheduled", status="False"), late)
    assert decision.action == RetryAction.FAIL
    assert missing in decision.reason
    stale = judged(pod(), late)
    assert stale.action == RetryAction.FAIL, "a task that waits for its pod knows it as it was when it was made"
    assert stale.reason.startswith("the pod found no place")


@pytest.mark.parametrize(
    ("waiting", "message", "action"),
    [
        ("ErrImagePull", "manifest for kubetune/train:0 not found", RetryAction.FAIL),
        ("ImagePullBackOff", "pull access denied", RetryAction.FAIL),
        ("InvalidImageName", "bad", RetryAction.FAIL),
        ("ErrImagePull", "dial tcp: i/o problem", RetryAction.RETRY),
    ],
)
def test_an_image_that_does_not_exist_fails_and_a_registry_that_is_away_does_not(
    waiting: str, message: str, action: RetryAction
) -> None:
    error = AirflowException(f"Image cannot be pulled, unable to start: {waiting}\n{message}")
    for found in (pod(message=message, waiting=waiting), pod()):
        decision = judged(found, error)
        assert decision.action == action
        assert message in decision.reason


def test_the_cause_behind_a_cleanups_exception_counts() -> None:
    """The operator cleans up in a `finally`, which raises `returned a failure` on top of what happened."""
    try:
        try:
            raise AirflowException("Pod took too long to be scheduled on the cluster, giving up.")
        finally:
            raise AirflowException(str(FAILED))
    except AirflowException as error:
        decision = judged(pod(), error)
    assert decision.action == RetryAction.FAIL
    assert decision.reason.startswith("the pod found no place")


def answer(code: int, message: str, kind: type[Exception] = ApiException) -> Exception:
    """An answer of the API as the clients raise it."""
    body = json.dumps({"kind": "Status", "status": "Failure", "message": message, "reason": "Forbidden", "code": code})
    headers = HTTPHeaderDict({"Audit-Id": "8d1f (x)", "Date": "Mon, 30 Nov 2026 04:00:00 GMT"})
    return kind(http_resp=SimpleNamespace(status=code, reason="Forbidden", data=body, getheaders=lambda: headers))


@pytest.mark.parametrize("kind", [ApiException, AsyncApiException])
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (403, 'pods "p" is forbidden: violates PodSecurity "restricted:v1.34": privileged'),
        (403, 'pods "p" is forbidden: [maximum memory usage per Container is 1Gi, but limit is 2Gi]'),
        (403, 'pods "p" is forbidden: no PriorityClass with name urgent was found'),
        (403, 'pods "p" is forbidden: error looking up service account kubetune/x: serviceaccount "x" not found'),
        (403, 'pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=8, used: requests.cpu=0, '
            'limited: requests.cpu=4'),
        (403, 'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: base'),
        (400, 'admission webhook "policy" denied the request: no such label'),
        (404, 'namespaces "gone" not found'),
        (422, 'Pod "p" is invalid: spec.containers[0].resources.requests: must be less than or equal to cpu limit'),
    ],
)  # fmt: skip
def test_a_refused_pod_fails_at_once_with_the_apis_sentence(code: int, sentence: str, kind: type[Exception]) -> None:
    decision = judged(None, answer(code, sentence, kind))
    assert decision.action == RetryAction.FAIL
    assert decision.reason == f"the cluster refuses the pod: {sentence}"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (404, 'pods "p" not found'),
        (429, "too many requests"),
        (500, "etcdserver: request timed out"),
        (401, "Unauthorized"),
        (403, 'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4'),
        (403, 'pods is forbidden: User "system:serviceaccount:kubetune:s" cannot list resource "pods" in API group ""'),
    ],
)
def test_what_the_api_may_answer_otherwise_later_is_tried_again(code: int, sentence: str) -> None:
    decision = judged(None, answer(code, sentence))
    assert decision.action == RetryAction.RETRY
    assert sentence in decision.reason


def test_a_lacking_right_is_no_reason_to_try_for_hours() -> None:
    lacking = answer(403, 'pods is forbidden: User "x" cannot create resource "pods" in API group ""')
    assert judged(None, lacking, 3).action == RetryAction.FAIL


def test_an_answer_inside_another_text_is_its_sentence_too() -> None:
    """The trigger hands on what it met as text, with what it thinks of it before and after."""
    inner = str(answer(403, "pods is forbidden"))
    decision = judged(None, AirflowException(f"Trigger failed. Original error: {inner}\nand more"))
    assert "pods is forbidden and more" in decision.reason


@pytest.mark.parametrize(
    "said",
    [
        'Usage of EmptyDir volume "scratch" exceeds the limit "1Gi". ',
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
        'Container base exceeded its local ephemeral storage limit "1Gi". ',
    ],
)
def test_scratch_over_its_limit_is_no_interruption(said: str) -> None:
    decision = judged(pod(137, reason="Evicted", said=said))
    assert decision.action == RetryAction.FAIL
    assert decision.reason.startswith("out of scratch space: raise resources.train.scratch.")
    assert said.strip() in decision.reason
    ranks = judged(
        pod(137, reason="Evicted", said='Usage of EmptyDir volume "shared-memory" exceeds the limit "2Gi". ')
    )
    assert ranks.action == RetryAction.FAIL and "gpu.sharedMemory" in ranks.reason


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("Evicted", "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 900Mi. "),
        ("Terminated", "Pod was terminated in response to imminent node shutdown."),
        ("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000, used: 2000"),
        ("UnexpectedAdmissionError", "Allocate failed due to no healthy devices present"),
    ],
)
def test_a_node_that_ended_a_pod_is_an_interruption(reason: str, said: str) -> None:
    found = pod(reason=reason, said=said)
    found.status.container_statuses = None
    decision = judged(found, AirflowException("Pod failed before containers started"))
    assert decision.action == RetryAction.RETRY
    assert decision.retry_delay <= timedelta(minutes=1)


def test_the_pod_as_it_was_seen_last_counts_where_the_operator_kept_an_older_one() -> None:
    made, seen = pod(), pod(137, ended="OOMKilled")
    pushed: dict[str, str] = {}
    task = SimpleNamespace(remote_pod=made, pod=made, pod_manager=SimpleNamespace(seen=seen))
    context = {"task": task, "ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))}
    assert ExitCodePolicy().evaluate(FAILED, 1, 5, context).action == RetryAction.FAIL
    assert pushed["reason"].startswith("out of memory")


def test_long_and_dirty_text_is_one_line() -> None:
    decision = judged(pod(77, "line\n" * 5000))
    assert "\n" not in decision.reason
    assert len(decision.reason) < 2100

"""What Airflow's callbacks tell, through the real hooks to loopback where there is one, and each thing once."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes import client as k8s

from kubetune.notifications.events import Notice
from kubetune.orchestration import notices
from kubetune.orchestration.notices import (
    STAGE_CALLBACKS,
    notify,
    notify_answer,
    notify_decision,
    notify_not_promoted,
    notify_started,
)
from kubetune.orchestration.operators import stage_settings
from notifications.post_office import PostOffice, post_office

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise imports it
ROW = "my name is Ada and my number is 555-0199"


def pod(code: int | None, message: str = "", reason: str = "Error") -> k8s.V1Pod:
    state = k8s.V1ContainerState()
    if code is not None:
        state.terminated = k8s.V1ContainerStateTerminated(exit_code=code, message=message, reason=reason)
    base = k8s.V1ContainerStatus(name="base", state=state, image="i", image_id="", ready=False, restart_count=0)
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="p", labels={"kubetune.io/stage": "train"}),
        status=k8s.V1PodStatus(phase="Failed", container_statuses=[base]),
    )


def context(task_id: str = "train", found: k8s.V1Pod | None = None, **more: Any) -> dict[str, Any]:
    """A callback's context, of a pod task unless `pods` is False."""
    xcom = more.pop("xcom", {})
    instance = SimpleNamespace(
        task_id=task_id, run_id=more.pop("run_id", "run-1"), dag_id="finetune", map_index=-1,
        try_number=more.pop("try_number", 1), log_url="https://airflow.test/dags/finetune",
        xcom_pull=lambda task_ids, key: xcom.get(key),
    )  # fmt: skip
    task = SimpleNamespace(remote_pod=found, pod=found)
    if more.pop("pods", True):
        task.pod_template_dict = {}
    return {"ti": instance, "task": task, "params": {}, **more}


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with post_office() as found:
        yield found


@pytest.fixture
def told(office: PostOffice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PostOffice:
    """Apprise's connection leads to the post office."""
    connection = {"conn_type": "apprise", "extra": {"config": {"path": office.address}}}
    monkeypatch.setenv("AIRFLOW_CONN_APPRISE_TEST", json.dumps(connection))
    monkeypatch.setenv("KUBETUNE_NOTICES_APPRISE", "apprise_test")
    monkeypatch.setenv("KUBETUNE_STATE_DIR", str(tmp_path))
    return office


def test_the_operators_attribute_that_tells_pods_apart_exists() -> None:
    task = KubernetesPodOperator(task_id="t", pod_template_dict={"metadata": {"name": "p"}})
    assert hasattr(task, "pod_template_dict")


def test_a_failure_is_told_once_a_try(told: PostOffice) -> None:
    found = pod(77, "exit=77 accuracy is 0.81, at least 0.9 is asked for.")
    for try_number in (1, 1, 2):
        notify(context(found=found, exception=AirflowException("Pod failed"), try_number=try_number))
    assert told.titles == ["kubetune: train of run-1 failed"] * 2
    message = str(told.taken[0]["message"])
    assert "refused by a gate: accuracy is 0.81" in message
    assert "https://airflow.test/dags/finetune" in message


@pytest.mark.parametrize(
    ("found", "exception", "shown"),
    [
        (pod(1, f"Traceback\n{ROW}"), AirflowException(f"Pod failed\n{ROW}"), "ended with 1: see its log."),
        (
            pod(65, f"exit=65 Split holds '{ROW}' [rule: unknown-split]"),
            AirflowException("Pod failed"),
            "unknown-split",
        ),
        (pod(70, f"exit=70 Unexpected KeyError: {ROW}"), AirflowException("Pod failed"), "(KeyError)"),
        (pod(None), AirflowException(f"Pod failed\n{ROW}"), "without saying why"),
        (None, AirflowException(f"Image cannot be pulled: not found {ROW}"), "image cannot be had"),
        (pod(137, ROW, "OOMKilled"), AirflowException(ROW), "out of memory: raise resources.train.memory"),
        (pod(None), None, "without saying why"),
        (pod(None), ROW, "without saying why"),
    ],
)
def test_a_row_of_data_is_never_told(told: PostOffice, found: Any, exception: Any, shown: str) -> None:
    notify(context(found=found, exception=exception))
    (taken,) = told.taken
    assert shown in str(taken["message"])
    assert "Ada" not in str(taken)


def test_a_task_of_airflows_own_tells_our_sentence_or_the_kind_alone(told: PostOffice) -> None:
    notify(context("resolve", exception=AirflowFailException("Recipe x does not exist."), pods=False))
    notify(context("prune", exception=KeyError(ROW), pods=False))
    assert "Recipe x does not exist." in str(told.taken[0]["message"])
    assert "KeyError: its log says where." in str(told.taken[1]["message"])
    assert "Ada" not in str(told.taken)


def test_a_beginning_is_told_once_with_the_runs_name(told: PostOffice) -> None:
    for _ in range(2):
        notify_started(context("resolve", xcom={"run": "tweets-7"}, params={"recipe": "tweets"}))
    (taken,) = told.taken
    assert taken["title"] == "kubetune: tweets-7 started"
    assert "Recipe tweets." in str(taken["message"])
    notify_started(context("resolve", run_id="run-2", params={"recipe": f"name: a\n# {ROW}"}))
    assert told.titles[1] == "kubetune: run-2 started"
    assert "Ada" not in str(told.taken)


ANSWER = '{"outcome": "promote", "reasons": ["F1 rose by 0.03."], "rows": [["macro_f1", 0.8312]], "run": "tweets-7"}'


@pytest.mark.parametrize(
    ("callback", "found", "title", "words"),
    [
        (notify_decision, pod(0, ANSWER), "tweets-7 is to be promoted", "F1 rose by 0.03.\nmacro_f1  0.8312"),
        (notify_not_promoted, pod(99, ANSWER.replace("promote", "undecided")),
         "tweets-7 is undecided, the champion stays", "F1 rose by 0.03.\nmacro_f1  0.8312"),
        (notify_not_promoted, pod(99, "exit=99 Version 3 is the champion now, slice undecided."),
         "run-1 is not promoted, the champion stays", "Version 3 is the champion now, slice undecided."),
        (notify_not_promoted, None, "run-1 is not promoted, the champion stays", ""),
        (notify_answer, pod(0, '{"event": "rolled back", "name": "tweets", "from": 3, "to": 2, "why": "slow"}'),
         "tweets is back from version 3 to version 2", "slow"),
        (notify_answer, pod(0, '{"event": "promoted", "name": "tweets", "version": 3, "former": 2, "epoch": 4}'),
         "tweets version 3 is the champion", "Before: version 2."),
    ],
)  # fmt: skip
def test_an_answer_is_told_once(told: PostOffice, callback: Any, found: Any, title: str, words: str) -> None:
    for _ in range(2):
        callback(context("compare", found))
    (taken,) = told.taken
    assert taken["title"] == f"kubetune: {title}"
    assert words in str(taken["message"])


def test_an_answer_in_xcom_counts_where_the_pod_is_not_known(told: PostOffice) -> None:
    notify_decision(context("compare", pod(None), xcom={"answer": {"outcome": "keep", "reasons": ["no"]}}))
    assert told.titles == ["kubetune: run-1 is not promoted, the champion stays"]
    notify_answer(context("register", pod(0, ROW)))
    assert len(told.taken) == 1


def test_what_was_not_delivered_goes_out_with_the_next_callback(
    told: PostOffice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The hook of the provider says nothing when a service refuses; the outbox must know."""
    monkeypatch.setattr("kubetune.notifications.outbox.FIRST_S", 0.0)
    told.status = 500
    notify(context(exception=AirflowException("x")))
    assert told.taken == []
    assert "not taken by apprise" in caplog.text
    told.status = 200
    notify_started(context("resolve"))
    assert told.titles == ["kubetune: train of run-1 failed", "kubetune: run-1 started"]


def test_nothing_that_goes_wrong_reaches_the_task(
    told: PostOffice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    for callback in (notify, notify_started, notify_decision, notify_not_promoted, notify_answer):
        callback({})
    monkeypatch.setenv("KUBETUNE_NOTICES_SMTP", "no_such_connection")
    monkeypatch.setenv("KUBETUNE_NOTICES_SLACK", "no_such_connection")
    notify(context(exception=AirflowException("x")))
    assert len(told.taken) == 1
    monkeypatch.setenv("KUBETUNE_PORT", "none")
    notify(context(exception=AirflowException("y"), try_number=2))
    assert len(told.taken) == 1


def test_slack_and_mail_get_it_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    sent: dict[str, Any] = {}
    monkeypatch.setattr(SlackWebhookHook, "__init__", lambda self, **given: sent.update(given))
    monkeypatch.setattr(SlackWebhookHook, "send", lambda self, **given: sent.update(given))
    monkeypatch.setattr(SmtpHook, "__enter__", lambda self: self)
    monkeypatch.setattr(SmtpHook, "__exit__", lambda self, *_: None)
    monkeypatch.setattr(SmtpHook, "send_email_smtp", lambda self, **given: sent.update(given))
    for name in ("SLACK", "SMTP", "TO"):
        monkeypatch.setenv(f"KUBETUNE_NOTICES_{name}", name)
    hostile = Notice("failed", "r", None, "<!channel>\nBcc: x", ("<script>{{ 1 }}</script>",))
    for sink in notices.airflow_sinks(notices.load_settings()):
        sink.send(hostile)
    assert "&lt;!channel&gt;" in sent["text"]
    assert "<" not in sent["text"]
    assert sent["timeout"] == notices.SLACK_S
    assert "\n" not in sent["subject"]
    assert "<script" not in sent["html_content"]
    assert "&lt;script&gt;" in sent["html_content"]


def test_an_address_that_apprise_does_not_know_is_in_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import apprise
    from airflow.models.connection import Connection

    monkeypatch.setattr(logging.getLogger("apprise"), "level", logging.NOTSET)
    monkeypatch.setenv("KUBETUNE_NOTICES_APPRISE", "mistyped")
    extra = '{"config": {"path": "slack://badtoken-SECRET1/", "tag": "all"}}'
    monkeypatch.setenv("AIRFLOW_CONN_MISTYPED", Connection(conn_type="apprise", extra=extra).as_json())
    caplog.set_level(logging.DEBUG)
    assert not apprise.Apprise().add("slack://badtoken-SECRET1/")
    assert "SECRET1" in caplog.text, "Apprise does log it where nobody forbids it"
    caplog.clear()
    (sink,) = notices.airflow_sinks(notices.load_settings())
    with pytest.raises(ConnectionError):
        sink.send(Notice("failed", "r", None, "title"))
    assert "SECRET1" not in caplog.text


def test_stages_that_decide_get_their_callbacks() -> None:
    from dataclasses import replace

    from kubetune.stages import BY_NAME

    found = stage_settings(replace(BY_NAME["evaluate"], name="compare"))
    assert found["on_success_callback"] is notify_decision
    assert found["on_skipped_callback"] is notify_not_promoted
    assert found["callbacks"]
    assert set(STAGE_CALLBACKS) == {"compare", "register"}
    assert stage_settings(BY_NAME["register"])["on_skipped_callback"] is notify_not_promoted
    assert "callbacks" not in stage_settings(BY_NAME["evaluate"])

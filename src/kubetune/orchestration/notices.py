"""Notices to the Airflow connections that the settings name. A notice never fails a run.

They go through an outbox in a folder of the machine that runs the callback. XCom cannot hold what waits: a callback
runs when its task has ended already, some of them in the dag-processor, which has no right to write one.
"""

import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubetune.config.settings import Settings, load_settings
from kubetune.notifications.answers import notice_of, read_answer
from kubetune.notifications.events import (
    Notice,
    failed_notice,
    html_of,
    safe_reason,
    slack_of,
    started_notice,
)
from kubetune.notifications.outbox import Outbox
from kubetune.orchestration.retries import decide_retry, pod_end

log = logging.getLogger(__name__)
PASS_S = 60.0
"""Seconds for which one callback begins to send; its task has ended by then, so no run waits for it."""
SLACK_S = 10
UNNAMED = RuntimeError("")
RECIPE = re.compile(r"[A-Za-z0-9._-]{1,60}")


def notify(context: Mapping[str, Any]) -> None:
    """Tell everyone whom the settings name that a task failed; the callback of every task."""
    _tell(context, failure_notice)


def notify_started(context: Mapping[str, Any]) -> None:
    """Tell them that a run has begun; the callback of a `resolve` that succeeded."""
    _tell(context, beginning)


def notify_decision(context: Mapping[str, Any]) -> None:
    """Tell them what `compare` decided; the callback of its success."""
    _tell(context, lambda given: _answered(given, {"outcome": "promote"}))


def notify_not_promoted(context: Mapping[str, Any]) -> None:
    """Tell them that the champion stays: the task was skipped by exit code 99."""
    _tell(context, lambda given: _answered(given, {"outcome": "keep"}))


def notify_answer(context: Mapping[str, Any]) -> None:
    """Tell them that a champion was moved or restored; the callback of a task whose pod answers so."""
    _tell(context, lambda given: _answered(given, {}))


STAGE_CALLBACKS: Mapping[str, dict[str, Any]] = {
    "compare": {"on_success_callback": notify_decision, "on_skipped_callback": notify_not_promoted},
    "register": {"on_success_callback": notify_answer, "on_skipped_callback": notify_not_promoted},
}
"""Further callbacks of stages, by stage name."""


def failure_notice(context: Mapping[str, Any]) -> Notice:
    """Return the notification of a failed task, one a try."""
    instance = context["ti"]
    digest = f"{instance.dag_id} {getattr(instance, 'try_number', 0)} {getattr(instance, 'map_index', -1)}"
    return failed_notice(
        instance.run_id, instance.task_id, failure_reason(context), link=_link(instance), digest=digest
    )


def failure_reason(context: Mapping[str, Any]) -> str:
    """Return why, without the text of a log: a pod that does not say its reason leaves its last lines instead."""
    exception = context.get("exception")
    if not isinstance(exception, BaseException):
        return safe_reason(None, "")
    if not hasattr(context["task"], "pod_template_dict"):  # a task of Airflow's own process
        ours = type(exception).__name__ == "AirflowFailException"  # raised by `refusals` with our sentence
        return str(exception) if ours else f"{type(exception).__name__}: its log says where."
    end = pod_end(exception, context)
    if end.ours and end.code in {65, 70}:
        return safe_reason(end.code, end.message)
    sentence = decide_retry(
        end if end.ours else replace(end, message=""), exception if end.code is None else UNNAMED, 1
    )[2]
    if end.ours:
        return sentence
    if sentence.startswith("the image cannot be had"):
        sentence = "the image cannot be had"  # what follows is the exception's text
    return f"{sentence.rstrip(': ')}: see its log." if sentence.strip() else safe_reason(end.code, "")


def beginning(context: Mapping[str, Any]) -> Notice:
    """Return the notification of a run that has begun, one a DAG run."""
    instance = context["ti"]
    recipe = str((context.get("params") or {}).get("recipe") or "")
    try:
        run = instance.xcom_pull(task_ids=instance.task_id, key="run")
    except Exception:
        log.debug("the run's name cannot be read", exc_info=True)
        run = None
    return started_notice(
        str(run or instance.run_id),
        recipe=recipe if RECIPE.fullmatch(recipe) else "",  # the form takes a recipe's whole text, too
        link=_link(instance),
        digest=f"{instance.dag_id} {instance.run_id}",
    )


def _answered(context: Mapping[str, Any], unsaid: Mapping[str, Any]) -> Notice | None:
    """Return the notice of a pod's answer; `unsaid` is what the task's end alone says."""
    instance = context["ti"]
    answer = read_answer(pod_end(UNNAMED, context).raw)
    if answer is None:
        pulled = instance.xcom_pull(task_ids=instance.task_id, key="answer")
        answer = pulled if isinstance(pulled, dict) else None
    digest = f"{instance.dag_id} {instance.run_id} {getattr(instance, 'try_number', 0)}"
    return notice_of(answer or unsaid, instance.run_id, link=_link(instance), digest=digest)


def _link(instance: Any) -> str | None:
    link = getattr(instance, "log_url", None)
    return link if isinstance(link, str) else None


def _tell(context: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Notice | None]) -> None:
    try:
        settings = load_settings()
        sinks = airflow_sinks(settings)
        notice = make(context) if sinks else None
        if notice is not None:
            Outbox(outbox_folder(settings)).tell(notice, sinks, PASS_S)
    except Exception:
        log.exception("a notice could not be written")


def outbox_folder(settings: Settings) -> Path:
    """Return where notices wait: the chart's pods keep their temporary folder while a container restarts."""
    base = settings.state_dir or Path(tempfile.gettempdir()) / f"kubetune-{os.getuid()}"
    return base.absolute() / "notices"


@dataclass(frozen=True)
class HookSink:
    """A connection of Airflow's, that delivers by its provider's hook. See `kubetune.notifications.outbox.Sink`."""

    name: str
    identity: str
    deliver: Callable[[Notice], None]

    def send(self, notice: Notice) -> None:
        """See `Sink.send`; the time limits are those of the hooks and connections."""
        self.deliver(notice)


def airflow_sinks(settings: Settings) -> tuple[HookSink, ...]:
    """Return whom the settings name."""
    senders: dict[str, Callable[[Settings, Notice], None]] = {"slack": _slack, "smtp": _smtp, "apprise": _apprise}
    return tuple(
        HookSink(name, f"{name} {connection}", lambda notice, send=send: send(settings, notice))  # type: ignore[misc]
        for name, send in senders.items()
        if (connection := getattr(settings, f"notices_{name}")) is not None
    )


def _slack(settings: Settings, notice: Notice) -> None:
    """Slack's hook, not its notifier: that one would render the reason as a template."""
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    hook = SlackWebhookHook(slack_webhook_conn_id=str(settings.notices_slack), timeout=SLACK_S)
    hook.send(text=slack_of(notice))


def _smtp(settings: Settings, notice: Notice) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    with SmtpHook(smtp_conn_id=str(settings.notices_smtp)) as hook:
        hook.send_email_smtp(to=settings.notices_to, subject=notice.title, html_content=html_of(notice))


def _apprise(settings: Settings, notice: Notice) -> None:
    """Apprise itself with the hook's connection: the hook's own `notify` drops the answer whether it was delivered."""
    import apprise
    from airflow.providers.apprise.hooks.apprise import AppriseHook

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it logs addresses that it does not understand
    hook = AppriseHook(apprise_conn_id=str(settings.notices_apprise))
    target = apprise.Apprise()
    hook.set_config_from_conn(conn=hook.get_connection(hook.apprise_conn_id), apprise_obj=target)
    if not target.notify(body=notice.body(), title=notice.title, body_format=apprise.NotifyFormat.TEXT, tag="all"):
        raise ConnectionError("Apprise delivered to nobody, or not to all of its services")

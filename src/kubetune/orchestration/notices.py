"""Notices of failures, to the connections that the settings name. A notice never fails a run."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from kubetune.config.settings import Settings, load_settings
from kubetune.orchestration.retries import reason_of

log = logging.getLogger(__name__)
WIDTH = 500


def notify(context: Mapping[str, Any]) -> None:
    """Tell everyone whom the settings name that a task failed; the callback of every task."""
    try:
        settings = load_settings()
        title, body = notice(context)
        senders: dict[str, Callable[[Settings, str, str], None]] = {
            "slack": _slack,
            "smtp": _smtp,
            "apprise": _apprise,
        }
        wanted = {name: send for name, send in senders.items() if getattr(settings, f"notices_{name}") is not None}
    except Exception:
        log.exception("a notice could not be written")
        return
    for name, send in wanted.items():
        try:
            send(settings, title, body)
        except Exception:
            log.exception("a notice by %s was not delivered", name)


def notice(context: Mapping[str, Any]) -> tuple[str, str]:
    """Return title and text: what failed, and the one sentence why. One line each, no control characters."""
    instance = context["ti"]
    title = f"kubetune: {instance.task_id} of {instance.run_id} failed"
    exception = context.get("exception")
    reason = reason_of(exception, context) if isinstance(exception, BaseException) else str(exception or "no reason")
    return _plain(title), _plain(reason)


def _plain(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:WIDTH]


def _slack(settings: Settings, title: str, body: str) -> None:
    """Slack's hook, not its notifier: that one would render the reason as a template."""
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    text = f"{title}\n{body}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    SlackWebhookHook(slack_webhook_conn_id=str(settings.notices_slack)).send(text=text)


def _smtp(settings: Settings, title: str, body: str) -> None:
    from html import escape

    from airflow.providers.smtp.hooks.smtp import SmtpHook

    with SmtpHook(smtp_conn_id=str(settings.notices_smtp)) as hook:
        hook.send_email_smtp(to=settings.notices_to, subject=title, html_content=f"<p>{escape(body)}</p>")


def _apprise(settings: Settings, title: str, body: str) -> None:
    from airflow.providers.apprise.hooks.apprise import AppriseHook

    AppriseHook(apprise_conn_id=str(settings.notices_apprise)).notify(body=body, title=title)

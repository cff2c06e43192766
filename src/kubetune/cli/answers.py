"""What a command tells of a decision or a moved champion: Airflow by the pod's last message, or people at once."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.runner import StageResult

MOST = 4000
"""Characters: Kubernetes keeps 4,096 bytes of a pod's message."""


def answer_of(result: "StageResult") -> dict[str, Any] | None:
    """Return what a stage's pod answers: a decision, a promotion, or nothing."""
    commit = result.commit
    if commit.stage == "compare":
        reasons = [str(reason)[:400] for reason in commit.facts.get("reasons", ())][:5]
        rows = sorted(commit.metrics.items())
        return {"outcome": commit.facts.get("outcome"), "reasons": reasons, "rows": rows, "run": commit.run}
    moved: dict[str, Any] | None = commit.facts.get("moved")
    return moved


def leave_answer(settings: "Settings", answer: dict[str, Any] | None) -> None:
    """Leave an answer where Airflow finds it; outside a pod there is no such place."""
    if answer is None or not settings.termination_log.exists():
        return
    text = json.dumps(answer)
    if len(text) > MOST:
        text = json.dumps({**answer, "reasons": answer.get("reasons", ())[:1], "rows": []})
    settings.termination_log.write_text(text[:MOST], encoding="utf-8")


def tell_people(settings: "Settings", answer: dict[str, Any] | None) -> None:
    """Announce a moved champion from this machine; in a pod Airflow does it."""
    from kubetune.notices.announce import announce, settle
    from kubetune.notices.answers import notice_of

    if answer is None or settings.notices is None:
        return
    notice = notice_of(answer, str(answer.get("run", "")))
    if notice is not None:
        announce(settings, notice)
        settle()

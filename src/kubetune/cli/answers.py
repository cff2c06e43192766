"""What a command tells of a decision or a moved champion: Airflow by the pod's last message, or people at once."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.execution.run import StageResult

MOST = 4000
"""Bytes: Kubernetes keeps 4,096 of a pod's message."""
WIDTHS = (400, 120, 40)
"""Characters of a sentence, tried in this order until the whole answer fits."""


def answer_of(result: "StageResult") -> dict[str, Any] | None:
    """Return what a stage's pod answers: a decision, a promotion, or nothing."""
    commit = result.commit
    if commit.stage == "compare":
        reasons = [str(reason) for reason in commit.facts.get("reasons", ())][:5]
        rows = sorted(commit.metrics.items())
        return {"outcome": commit.facts.get("outcome"), "reasons": reasons, "rows": rows, "run": commit.run}
    moved: dict[str, Any] | None = commit.facts.get("moved")
    return moved


def leave_answer(settings: "Settings", answer: dict[str, Any] | None) -> None:
    """Leave an answer where Airflow finds it; outside a pod there is no such place."""
    if answer is None or not settings.termination_log.exists():
        return
    settings.termination_log.write_bytes(fitted(answer))


def fitted(answer: dict[str, Any]) -> bytes:
    """Return an answer as JSON of at most `MOST` bytes: sentences are cut, at last the table goes, never the JSON."""
    texts = [json.dumps(shortened(answer, width), ensure_ascii=False).encode() for width in WIDTHS]
    bare = json.dumps({**shortened(answer, WIDTHS[-1]), "rows": []}, ensure_ascii=False).encode()
    return next((text for text in texts if len(text) <= MOST), bare)


def shortened(answer: dict[str, Any], width: int) -> dict[str, Any]:
    """Return the answer with every sentence, not every name, of so many characters at most."""
    found = dict(answer)
    if "reasons" in found:
        found["reasons"] = [reason[:width] for reason in found["reasons"]]
    return found | ({"why": found["why"][:width]} if "why" in found else {})


def tell_people(settings: "Settings", answer: dict[str, Any] | None) -> None:
    """Announce a moved champion from this machine; in a pod Airflow does it."""
    from kubetune.notifications.announce import announce, wait_until_sent
    from kubetune.notifications.answers import notice_of

    if answer is None or settings.notices is None:
        return
    notice = notice_of(answer, str(answer.get("run", "")))
    if notice is not None:
        announce(settings, notice)
        wait_until_sent()

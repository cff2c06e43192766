"""What a pod hands to Airflow in its termination message, as a notice. Pods hold no address of a sink; Airflow does.

A decision   {"outcome": "promote", "reasons": […], "rows": [["accuracy", 0.91], …], "run": "tweets-7"}
A promotion  {"event": "promoted", "name": "tweets", "version": 3, "former": 2, "run": …, "why": …, "epoch": 5, "at": …}
A way back   {"event": "rolled back", "name": "tweets", "from": 3, "to": 2, "why": …, "epoch": 6, "at": …}

A stage that declines and has decided nothing leaves `exit=99 SENTENCE` instead: the champion stays.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from kubetune.notifications.events import Notice, decision_notice, promoted_notice, rolled_back_notice

NOTHING_TO_DO = re.compile(r"exit=99 (.*)", re.DOTALL)


def read_answer(message: str) -> dict[str, Any] | None:
    """Return the answer in a pod's termination message; None if there is none, since any log may stand there."""
    matched = NOTHING_TO_DO.fullmatch(message.strip())
    if matched is not None:
        return {"outcome": "keep", "reasons": [matched[1]]}
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def notice_of(answer: Mapping[str, Any], run: str, *, link: str | None = None, digest: str = "") -> Notice | None:
    """Return the notice of an answer; None if it tells nothing that people are notified of.

    Args:
        answer: As in the head of this module.
        run: Name to use where the answer has none.
        link: Where to look.
        digest: Tells this execution from others; an answer's own epoch and time come first. The epoch alone would
            be that of another store's model of the same name, too.
    """
    try:
        run, why = str(answer.get("run") or run), str(answer.get("why") or "")
        digest = f"{answer['epoch']} {answer.get('at', '')}" if "epoch" in answer else digest
        rows = [(str(name), value) for name, value in answer.get("rows") or ()]
        match answer.get("event", "decided" if "outcome" in answer else ""):
            case "decided":
                reasons = [str(reason) for reason in answer.get("reasons") or ()]
                return decision_notice(run, str(answer["outcome"]), reasons, rows, link=link, digest=digest)
            case "promoted":
                name, version, former = str(answer["name"]), str(answer["version"]), answer.get("former")
                return promoted_notice(
                    name, version, former=former, run=run, why=why, rows=rows, link=link, digest=digest
                )
            case "rolled back":
                name, start, end = str(answer["name"]), str(answer["from"]), str(answer["to"])
                return rolled_back_notice(name, start, end, why, link=link, digest=digest)
    except (KeyError, TypeError, ValueError):
        pass  # a pod of another version: what it says is unknown, and unknown text is not passed on
    return None

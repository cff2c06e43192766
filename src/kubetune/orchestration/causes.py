"""What Kubernetes says of a pod, in one sentence: why it was not made, does not start, or ended. Imports no Airflow."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from kubernetes.utils.quantity import parse_quantity

WIDTH = 2000
DEPTH = 5
DUMP = re.compile(
    r"\(?(?P<status>\d{3})\)?\s*Reason: (?P<reason>[^\n]*)\s*"
    r"HTTP response headers: [^\n]*\s*"
    r"(?:HTTP response body: (?P<body>[^\n]*)\s*)?",
)
"""How the clients print an answer of the API: a page of headers, and the sentence somewhere in the body."""
MESSAGE = re.compile(r'"message":\s*"((?:[^"\\]|\\.)*)"')
REFUSING = frozenset({400, 403, 404, 422})
"""Answers to the creation of a pod that the same pod gets again."""
GONE = re.compile(r'pods "[^"]*" not found')
RIGHTS = re.compile(r'User "[^"]*" cannot \w+ resource')
FULL = "exceeded quota"
QUOTA = re.compile(r"requested: (?P<requested>.*?), used: .*?, limited: (?P<limited>.*)$")
LOCAL_LIMIT = re.compile(r"(exceeds|exceeded) (the|its) .*limit")
"""The kubelet's words where a pod outgrew its own limit; where the node ran low, they are others."""
NODE_ENDED = frozenset({"Evicted", "Preempting", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "NodeAffinity",
    "UnexpectedAdmissionError"})  # fmt: skip
"""Reasons of a failed pod for which its node is to blame; beside them `OutOf…`, where its resources were just taken."""
NO_NODE = "no node takes it"
STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
TROUBLE = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedScheduling", "NetworkNotReady")


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those behind it: cleaning up after a pod raises another one on top."""
    for _ in range(DEPTH):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def plain_reason(text: str) -> str:
    """Return a text with every printed answer of the Kubernetes API replaced by the sentence in it."""

    def sentence(dump: re.Match[str]) -> str:
        return (message_in(dump["body"]) or f"HTTP status {dump['status']} ({dump['reason']})") + " "

    found = DUMP.sub(sentence, text)
    return re.sub(r"HTTPHeaderDict\(.*?\)|<CIMultiDictProxy\(.*?\)>", "", found, flags=re.DOTALL)


def message_in(body: Any) -> str:
    """Return the `message` of an answer's body, a cut one too; empty if it has none."""
    found = MESSAGE.search(body.decode(errors="replace") if isinstance(body, bytes) else str(body or ""))
    try:
        return str(json.loads(f'"{found[1]}"')) if found else ""
    except ValueError:  # printed with further escapes
        return found[1] if found else ""


def answered(error: BaseException | None) -> tuple[int, str] | None:
    """Return status and sentence of the API's answer behind an exception; None: it has nothing to do with one."""
    for item in chain(error):
        status = getattr(item, "status", None)
        if isinstance(status, int) and hasattr(item, "body"):
            return status, message_in(item.body) or str(getattr(item, "reason", "") or f"HTTP status {status}")
    return None


def full_quota(error: BaseException | None) -> str | None:
    """Return the API's sentence where a quota is full now and has room once other pods end; None: anything else.

    A pod that asks for more than the whole quota would wait for ever: it counts as refused.
    """
    found = answered(error)
    if found is None or found[0] != 403 or FULL not in found[1]:
        return None
    named = QUOTA.search(found[1])
    requested, limited = (amounts(named[part]) for part in ("requested", "limited")) if named else ({}, {})
    return None if any(requested[name] > limited.get(name, requested[name]) for name in requested) else found[1]


def amounts(text: str) -> dict[str, Any]:
    """Read `pods=1,requests.memory=4Gi`; what is no quantity is left out."""
    found = {}
    for name, _, value in (item.partition("=") for item in text.split(",")):
        try:
            found[name.strip()] = parse_quantity(value.strip().rstrip("."))  # type: ignore[no-untyped-call]
        except (ValueError, ArithmeticError):
            continue
    return found


def forbidden(error: BaseException | None) -> bool:
    """Whether the API says that Airflow's account lacks a right, which an upgrade may be about to give."""
    found = answered(error)
    return found is not None and found[0] == 403 and RIGHTS.search(found[1]) is not None


def refusal(error: BaseException | None) -> str | None:
    """Return the API's sentence where it will never take the pod as it is; None: it may, or was not asked."""
    found = answered(error)
    if found is None or found[0] not in REFUSING or GONE.search(found[1]) or full_quota(error) is not None:
        return None
    return found[1]


def node_ended(status: Any) -> bool:
    """Whether a pod's node ended it, so that the same pod may do well elsewhere."""
    reason = getattr(status, "reason", None) or ""
    conditions = getattr(status, "conditions", None) or ()
    return (
        reason in NODE_ENDED
        or reason.startswith("OutOf")
        or any(item.type == "DisruptionTarget" and item.status == "True" for item in conditions)
    )


def outgrown(status: Any) -> str:
    """Return the kubelet's sentence where a pod was ended because it used more disk than it may; empty otherwise."""
    message = getattr(status, "message", None) or ""
    evicted = getattr(status, "reason", None) == "Evicted"
    return message if evicted and LOCAL_LIMIT.search(message) else ""


def unscheduled(conditions: Any) -> str:
    """Return the scheduler's own sentence, which names the resource that is missing."""
    return next(
        (item.message or item.reason or "" for item in conditions or () if item.type == "PodScheduled"
            and item.status == "False"), ""
    )  # fmt: skip


def halted(pod: Any) -> str:
    """Return why a container of a pod cannot start, by its status; empty while it may be starting as it should."""
    status = pod.status
    for item in [*(status.init_container_statuses or ()), *(status.container_statuses or ())]:
        waiting = item.state.waiting if item.state else None
        if waiting is not None and (waiting.reason or "") not in STARTING:
            return f"{waiting.reason}: {waiting.message or ''}".rstrip(": ")
    return ""


def hindrance(events: Iterable[Any]) -> str:
    """Return the last thing that events of a pod warn of; empty if that is nothing that keeps it from starting."""
    found = [item for item in events if item.type == "Warning" and item.reason in TROUBLE]
    return f"{found[-1].reason}: {found[-1].message}" if found else ""


def waiting_reason(pod: Any, events: Iterable[Any] = ()) -> str:
    """Return in one sentence why a pod has not started, and what helps; empty if nothing is known to keep it."""
    status, stage = pod.status, (pod.metadata.labels or {}).get("kubetune.io/stage", "STAGE")
    if status is None or status.phase != "Pending":
        return ""
    if place := unscheduled(status.conditions):
        return reason_line(f"{NO_NODE}: {place} Lower resources.{stage}, or free or add a node.")
    if stuck := halted(pod) or hindrance(events):
        return reason_line(f"its container does not start: {stuck}")
    return ""


def reason_line(text: str) -> str:
    """Return a text as a reason can hold it: one line of bounded length without an answer's headers."""
    return " ".join(plain_reason(text).split())[:WIDTH]

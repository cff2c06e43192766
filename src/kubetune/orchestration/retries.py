"""How a stage's pod ended, in one sentence, and whether another try can help. See docs/operations.md."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.providers.cncf.kubernetes.utils.pod_manager import PodNotFoundException
from airflow.sdk import RetryDecision, RetryPolicy

from kubetune.errors import NothingToDoError
from kubetune.orchestration.pods import CONTAINER

FINAL = {
    65: "bad data",
    77: "refused by a gate",
    78: "bad configuration",
}
ONCE = {69: "the endpoint was not ready, the former archive serves", 70: "an error of kubetune"}
SOON = timedelta(seconds=30)
DELAY, LONGEST = timedelta(minutes=5), timedelta(hours=1)
"""Between tries of what has no name: an API server that is away kills a new try within a second."""
LINE = re.compile(r"^exit=(\d+) (.*)$", re.MULTILINE)
NO_IMAGE = re.compile(
    r"(InvalidImageName|ErrImageNeverPull|not found|denied|unauthorized|no basic auth)", re.IGNORECASE
)
NO_PLACE = "took too long to be scheduled"
UNPULLED = "Image cannot be pulled"
WIDTH = 2000
DEPTH = 5


@dataclass(frozen=True)
class End:
    """How a pod ended, as far as its status tells.

    Attributes:
        code: Exit code of the stage; None: it is not known.
        message: What the stage said last, else what Kubernetes or Airflow say.
        stage: Stage name, for advice.
        lost: Evicted, pre-empted or deleted from outside.
        reason: Kubernetes' word for it, for example `OOMKilled`.
        waiting: Why it did not start; empty if it did.
        ours: Whether `message` is the sentence of a stage; else it may be the end of a log.
        raw: The container's termination message, as it stands.
    """

    code: int | None
    message: str
    stage: str = "STAGE"
    lost: bool = False
    reason: str = ""
    waiting: str = ""
    ours: bool = False
    raw: str = ""


def told(exception: BaseException | None) -> str:
    """Return the text of an exception and of those behind it: cleaning up after a pod raises another one on top."""
    texts: list[str] = []
    while exception is not None and len(texts) < DEPTH:
        texts.append(str(exception))
        exception = exception.__cause__ or exception.__context__
    return "\n".join(text for text in texts if text)


def end_of(exception: BaseException, context: Any) -> End:
    """Read the operator's pod, and the exception's text where there is none."""
    task = context["task"] if context else None
    pod = getattr(task, "remote_pod", None) or getattr(task, "pod", None)
    status = getattr(pod, "status", None)
    text = told(exception)
    states = [item.state for item in getattr(status, "container_statuses", None) or () if item.name == CONTAINER]
    ended = states[0].terminated if states and states[0] else None
    halted = states[0].waiting if states and states[0] else None
    message = (getattr(ended, "message", None) or "").strip()
    # The kubelet's code is the truth: fallback log text may hold any line. Without it, the line is all there is.
    line = re.fullmatch(LINE.pattern, message) if ended else LINE.search(text)
    conditions = getattr(status, "conditions", None) or ()
    return End(
        code=ended.exit_code if ended else int(line.group(1)) if line else None,
        message=line.group(2) if line else message or text,
        stage=(getattr(getattr(pod, "metadata", None), "labels", None) or {}).get("kubetune.io/stage", "STAGE"),
        lost=isinstance(exception, PodNotFoundException)
        or getattr(status, "reason", None) in {"Evicted", "Preempting", "NodeLost"}
        or any(item.type == "DisruptionTarget" and item.status == "True" for item in conditions),
        reason=getattr(status, "reason", None) or getattr(ended, "reason", None) or "",
        waiting=unscheduled(conditions) or (f"{halted.reason}: {halted.message or ''}" if halted else ""),
        ours=line is not None,
        raw=message,
    )


def unscheduled(conditions: Any) -> str:
    """Return the scheduler's own sentence, which names the resource that is missing."""
    return next(
        (item.message or "" for item in conditions if item.type == "PodScheduled" and item.status == "False"), ""
    )


def decide(end: End, exception: BaseException, try_number: int) -> tuple[bool, timedelta | None, str]:
    """Return whether to try again, after which time, and the sentence that says what happened."""
    said, text = " ".join(end.message.split())[:WIDTH], told(exception)
    refused = getattr(exception, "status", None) == 403 and "exceeded quota" not in text
    # A task that waits for its pod knows the pod as it was when it was made: then the exception alone tells.
    place = end.waiting or "its events in the log say what the nodes lack"
    image = text.partition(UNPULLED)[2]
    table: list[tuple[Any, bool, timedelta | None, str]] = [
        (end.reason == "OOMKilled", False, None, f"out of memory: raise resources.{end.stage}.memory, or lower "
            "training.micro_batch or evaluation.batch"),
        (end.reason == "DeadlineExceeded", False, None, f"longer than allowed: raise resources.{end.stage}."
            f"timeout_minutes. {said}"),
        (end.code == 75 or end.lost, True, SOON, f"interrupted, the next try goes on: {said}"),
        (end.code in FINAL, False, None, f"{FINAL.get(end.code or 0)}: {said}"),
        (end.code in ONCE, try_number <= 1, SOON, f"{ONCE.get(end.code or 0)}: {said}"),
        (end.code in {0, NothingToDoError.exit_code}, True, SOON,
            "the pod is done and Airflow missed it; the next try finds its result"),
        (refused, False, None, f"the cluster refuses the pod: {said}"),
        (NO_PLACE in text, False, None, f"the pod found no place: {place}"),
        (NO_IMAGE.search(image), False, None, f"the image cannot be had{image[:WIDTH]}"),
    ]  # fmt: skip
    for holds, again, delay, sentence in table:
        if holds:
            return again, delay, " ".join(sentence.split())
    delay = min(DELAY * 2 ** max(0, try_number - 1), LONGEST)
    return True, delay, said if end.code is None else f"ended with {end.code}: {said}"


def reason_of(exception: BaseException, context: Any) -> str:
    """Return the sentence that a person should read."""
    return decide(end_of(exception, context), exception, 1)[2]


class ExitCodePolicy(RetryPolicy):
    """Fails at once what a second try cannot cure, and says why where the UI and REST show it: XCom `reason`."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """See `RetryPolicy.evaluate`."""
        again, delay, sentence = decide(end_of(exception, context), exception, try_number)
        if context is not None:
            context["ti"].xcom_push(key="reason", value=sentence)
        return RetryDecision.retry(delay, sentence) if again else RetryDecision.fail(sentence)

"""How a stage's pod ended, in one sentence, and whether another try can help. See docs/operations.md."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.cncf.kubernetes.utils.pod_manager import PodNotFoundException
from airflow.sdk import RetryDecision, RetryPolicy

from kubetune.errors import NothingToDoError
from kubetune.orchestration import causes
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
UNPULLED = re.compile(r"Image cannot be pulled(.*?)(?:\n\S*Traceback|\n\n|\Z)", re.DOTALL)
SHARED_MEMORY = '"shared-memory"'
"""As the kubelet names the volume of ranks that exchange tensors."""
RETRY_AT = "retry_at"
"""XCom with the time, ISO 8601, before which a task is not tried again."""


@dataclass(frozen=True)
class End:
    """How a pod ended, as far as its status tells.

    Attributes:
        code: Exit code of the stage; None: it is not known.
        message: The last sentence of the stage, else what Kubernetes or Airflow say.
        stage: Stage name, for advice.
        lost: Evicted, pre-empted or deleted from outside.
        reason: Kubernetes' word for it, for example `OOMKilled`.
        waiting: Why it did not start; empty if it did.
        ours: Whether `message` is the sentence of a stage; else it may be the end of a log.
        raw: The container's termination message, as it stands.
        outgrown: The kubelet's sentence where the pod used more disk than it may.
    """

    code: int | None
    message: str
    stage: str = "STAGE"
    lost: bool = False
    reason: str = ""
    waiting: str = ""
    ours: bool = False
    raw: str = ""
    outgrown: str = ""


def exception_text(exception: BaseException | None) -> str:
    """Return the text of an exception and of those behind it, answers of the Kubernetes API as their sentence."""
    return "\n".join(text for error in causes.chain(exception) if (text := causes.plain_reason(str(error)).strip()))


def pod_of(task: Any) -> Any:
    """Return a task's pod as it was seen last; what the operator itself keeps may be the pod as it was made."""
    seen = getattr(vars(task).get("pod_manager"), "seen", None) if task is not None else None
    return seen or getattr(task, "remote_pod", None) or getattr(task, "pod", None)


def pod_end(exception: BaseException, context: Any) -> End:
    """Read the operator's pod, and the exception's text where there is none."""
    pod = pod_of(context["task"] if context else None)
    status = getattr(pod, "status", None)
    text = exception_text(exception)
    states = [item.state for item in getattr(status, "container_statuses", None) or () if item.name == CONTAINER]
    ended = states[0].terminated if states and states[0] else None
    message = (getattr(ended, "message", None) or "").strip()
    # The kubelet's code is the truth: fallback log text may hold any line. Without it, the line is all there is.
    line = re.fullmatch(LINE.pattern, message) if ended else LINE.search(text)
    return End(
        code=ended.exit_code if ended else int(line.group(1)) if line else None,
        message=line.group(2) if line else message or text,
        stage=(getattr(getattr(pod, "metadata", None), "labels", None) or {}).get("kubetune.io/stage", "STAGE"),
        lost=isinstance(exception, PodNotFoundException) or causes.node_ended(status) or vanished(exception),
        reason=getattr(status, "reason", None) or getattr(ended, "reason", None) or "",
        waiting=causes.unscheduled(getattr(status, "conditions", None)) or (causes.halted(pod) if status else ""),
        ours=line is not None,
        raw=message,
        outgrown=causes.outgrown(status),
    )


def vanished(exception: BaseException) -> bool:
    """Whether the API knew the pod no more when it was asked for it."""
    found = causes.answered(exception)
    return found is not None and found[0] == 404 and causes.GONE.search(found[1]) is not None


def decide_retry(end: End, exception: BaseException, try_number: int) -> tuple[bool, timedelta | None, str]:
    """Return whether to try again, after which time, and the sentence that says what happened."""
    reason, text = causes.reason_line(end.message), exception_text(exception)
    refused = causes.refusal(exception)
    # A task that waits for its pod knows the pod as it was when it was made: then the exception alone tells.
    place = end.waiting or "its events in the log say what the nodes lack"
    image = found[1] if (found := UNPULLED.search(text)) else ""
    table: list[tuple[Any, bool, timedelta | None, str]] = [
        (end.reason == "OOMKilled", False, None, f"out of memory: raise resources.{end.stage}.memory, or lower "
            "training.micro_batch or evaluation.batch"),
        (SHARED_MEMORY in end.outgrown, False, None, f"out of shared memory: raise the chart's gpu.sharedMemory. "
            f"{end.outgrown}"),
        (end.outgrown, False, None, f"out of scratch space: raise resources.{end.stage}.scratch. {end.outgrown}"),
        (end.reason == "DeadlineExceeded", False, None, f"longer than allowed: raise resources.{end.stage}."
            f"timeout_minutes. {reason}"),
        (end.code == 75 or end.lost, True, SOON, f"interrupted, the next try goes on: {reason}"),
        (end.code in FINAL, False, None, f"{FINAL.get(end.code or 0)}: {reason}"),
        (end.code in ONCE, try_number <= 1, SOON, f"{ONCE.get(end.code or 0)}: {reason}"),
        (end.code in {0, NothingToDoError.exit_code}, True, SOON,
            "the pod is done and Airflow missed it; the next try finds its result"),
        (refused and causes.forbidden(exception), try_number <= 2, DELAY, f"Airflow lacks a right: {refused}"),
        (refused, False, None, f"the cluster refuses the pod: {refused}"),
        (NO_PLACE in text, False, None, f"the pod found no place: {place}"),
        (NO_IMAGE.search(image), False, None, f"the image cannot be had{image}"),
    ]  # fmt: skip
    for holds, again, delay, sentence in table:
        if holds:
            return again, delay, causes.reason_line(sentence)
    delay = min(DELAY * 2 ** max(0, try_number - 1), LONGEST)
    return True, delay, reason if end.code is None else f"ended with {end.code}: {reason}"


def reason_of(exception: BaseException, context: Any) -> str:
    """Return the sentence that a person should read."""
    return decide_retry(pod_end(exception, context), exception, 1)[2]


class ExitCodePolicy(RetryPolicy):
    """Fails at once what a second try cannot cure, and says why where the UI and REST show it: XCom `reason`."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """See `RetryPolicy.evaluate`."""
        again, delay, sentence = decide_retry(pod_end(exception, context), exception, try_number)
        if context is not None:
            context["ti"].xcom_push(key="reason", value=sentence)
            if again and delay is not None and try_number <= max_tries:
                context["ti"].xcom_push(key=RETRY_AT, value=(datetime.now(UTC) + delay).isoformat(timespec="seconds"))
        return RetryDecision.retry(delay, sentence) if again else RetryDecision.fail(sentence)

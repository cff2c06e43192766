"""Airflow's REST API (version 2), as far as runs of one DAG need it. It waits while the server is away."""

import difflib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from kubetune.client.http import Way, request
from kubetune.config.version import tagged
from kubetune.errors import ConfigError, KubetuneError, TemporaryError
from kubetune.serving.client import Reply

DAG = "finetune"
AWAY = frozenset({429, 500, 502, 503, 504})
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
FINISHED = frozenset({"success", "failed"})
LISTED = 100


@dataclass(frozen=True)
class AirflowAccess:
    """Where Airflow is and who asks.

    Attributes:
        url: `http(s)://host[:port][/path]` of the api-server.
        user: User name.
        password: Password; never shown.
    """

    url: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class DagRun:
    """A run of the DAG.

    Attributes:
        name: Run id.
        state: `queued`, `running`, `success` or `failed`.
        conf: What it was triggered with.
        note: What a person wrote at it; empty if nothing.
    """

    name: str
    state: str
    conf: Mapping[str, Any]
    note: str

    @property
    def finished(self) -> bool:
        """Whether it will not change any more by itself."""
        return self.state in FINISHED


@dataclass(frozen=True)
class TaskState:
    """A stage of a run, as Airflow sees it.

    Attributes:
        name: Task id: `resolve` or a stage.
        state: Airflow's word; `waiting` where it has none yet.
        attempt: Its number, from 1; 0 before the first.
        seconds: Duration of the last attempt; None before its end.
        pool: Airflow's pool that it takes a slot of.
    """

    name: str
    state: str
    attempt: int
    seconds: float | None
    pool: str = ""


class Airflow:
    """A client; the token is got with the first request and again when it has expired.

    Args:
        access: Server and user.
        way: Proxy and certificate authority.
        deadline_s: Seconds for which a server that does not answer is asked again.
        away: Told once in one sentence that the server does not answer.
    """

    def __init__(
        self, access: AirflowAccess, way: Way, deadline_s: float = 20.0, away: Callable[[str], None] = lambda _: None
    ) -> None:
        self.access, self.way, self.deadline_s, self.away = access, way, deadline_s, away
        self._token = ""

    def log_in(self) -> None:
        """Get a token.

        Raises:
            ConfigError: User or password is wrong, or this is no Airflow.
            TemporaryError: The server does not answer.
        """
        value = {"username": self.access.user, "password": self.access.password}
        reply = self._send("POST", "/auth/token", value, {})
        token = reply.value.get("access_token") if isinstance(reply.value, dict) else None
        if reply.status in {401, 403}:
            raise ConfigError(
                f"Airflow at {self.access.url} refuses user {self.access.user!r}: check KUBETUNE_AIRFLOW_USER and "
                "KUBETUNE_AIRFLOW_PASSWORD, or run `kubetune login` again."
            )
        if not token:
            raise ConfigError(
                f"{self.access.url} does not answer as Airflow does (status {reply.status} for /auth/token): set "
                "KUBETUNE_AIRFLOW_URL to the api-server."
            )
        self._token = str(token)

    def trigger(self, run: str, conf: Mapping[str, Any]) -> bool:
        """Begin a run; False if another one has this name. A reply may get lost, so our own note tells ours."""
        note = f"kubetune submit {secrets.token_hex(8)}"
        value = {"dag_run_id": run, "logical_date": None, "conf": dict(conf), "note": note}
        reply = self._ask("POST", f"/dags/{DAG}/dagRuns", value, known=(200, 404, 409))
        if reply.status == 404:
            raise ConfigError(
                f"Airflow at {self.access.url} has no DAG {DAG!r} yet: wait until its dag-processor has read the DAGs, "
                "or install the chart there."
            )
        if reply.status != 409:
            return True
        standing = self.find(run)
        return standing is not None and standing.note == note

    def paused(self) -> bool:
        """Whether the DAG is paused, so that its runs stay queued."""
        reply = self._ask("GET", f"/dags/{DAG}", known=(200, 404))
        return bool(reply.value.get("is_paused")) if reply.status == 200 else False

    def version(self) -> str | None:
        """Return the cluster's version of kubetune, as its DAG states it; empty: too old to say, None: no DAG yet."""
        reply = self._ask("GET", f"/dags/{DAG}", known=(200, 404))
        return tagged(str(item.get("name")) for item in reply.value.get("tags") or ()) if reply.status == 200 else None

    def dags(self) -> list[str]:
        """Return the ids of the DAGs that this user sees."""
        reply = self._ask("GET", f"/dags?limit={LISTED}")
        return sorted(str(item["dag_id"]) for item in reply.value.get("dags", []))

    def find(self, run: str) -> DagRun | None:
        """Return a run; None if there is none of this name."""
        reply = self._ask("GET", self._path(run), known=(200, 404))
        return None if reply.status == 404 else run_of(reply.value)

    def run(self, run: str) -> DagRun:
        """Return a run.

        Raises:
            ConfigError: There is none of this name; the nearest is named.
        """
        found = self.find(run)
        if found is not None:
            return found
        names = self.names()
        near = difflib.get_close_matches(run, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(names[:5]) or "none yet"
        raise ConfigError(f"Run {run!r:.80} does not exist in Airflow at {self.access.url}: {hint}known are {known}.")

    def names(self, pattern: str = "%") -> list[str]:
        """Return the names of the latest runs, the newest first.

        Args:
            pattern: SQL pattern that names match.
        """
        query = urlencode({"limit": LISTED, "order_by": "-run_after", "run_id_pattern": pattern})
        reply = self._ask("GET", f"/dags/{DAG}/dagRuns?{query}", known=(200, 404))
        return [] if reply.status == 404 else [str(item["dag_run_id"]) for item in reply.value["dag_runs"]]

    def tasks(self, run: str) -> list[TaskState]:
        """Return the tasks of a run, in no order."""
        reply = self._ask("GET", f"{self._path(run)}/taskInstances?limit={LISTED}", known=(200, 404))
        return [] if reply.status == 404 else [task_of(item) for item in reply.value["task_instances"]]

    def unfinished(self) -> list[str]:
        """Return the names of runs that wait or run."""
        query = urlencode([("limit", LISTED), ("order_by", "-run_after"), ("state", "queued"), ("state", "running")])
        reply = self._ask("GET", f"/dags/{DAG}/dagRuns?{query}", known=(200, 404))
        return [] if reply.status == 404 else [str(item["dag_run_id"]) for item in reply.value["dag_runs"]]

    def reason(self, run: str, task: str, key: str = "reason") -> str | None:
        """Return the sentence that a failed task left, or another value that it shows; None if it left none."""
        path = f"{self._path(run)}/taskInstances/{quote(task)}/xcomEntries/{key}"
        reply = self._ask("GET", path, known=(200, 404))
        found = reply.value.get("value") if reply.status == 200 else None
        return str(found) if found else None

    def log(self, run: str, task: str, attempt: int) -> list[str]:
        """Return the lines of one attempt's log, Airflow's own among them; empty if there is none yet."""
        path = f"{self._path(run)}/taskInstances/{quote(task)}/logs/{attempt}?full_content=true"
        reply = self._ask("GET", path, known=(200, 404))
        content = reply.value.get("content") if reply.status == 200 and isinstance(reply.value, dict) else None
        events = content if isinstance(content, list) else [content] if content else []
        return [line for event in events for line in text_of(event).splitlines()]

    def fail(self, run: str, note: str) -> None:
        """Mark a run as failed: Airflow ends what it does and deletes its pods."""
        self._ask("PATCH", self._path(run), {"state": "failed", "note": note})

    def _path(self, run: str) -> str:
        return f"/dags/{DAG}/dagRuns/{quote(run, safe='')}"

    def _ask(self, method: str, path: str, value: Any = None, known: tuple[int, ...] = (200,)) -> Reply:
        """Send a request with a token; an answer with another status than the known ones is an error."""
        fresh = not self._token
        if fresh:
            self.log_in()
        reply = self._send(method, f"/api/v2{path}", value, {"Authorization": f"Bearer {self._token}"})
        if reply.status == 401 and not fresh:  # the token has expired
            self.log_in()
            reply = self._send(method, f"/api/v2{path}", value, {"Authorization": f"Bearer {self._token}"})
        if reply.status == 403:
            raise ConfigError(
                f"Airflow at {self.access.url} does not allow user {self.access.user!r} to {method} {path}: give it a "
                "role that may run DAGs."
            )
        if reply.status not in known or not isinstance(reply.value, dict):
            raise KubetuneError(
                f"Airflow at {self.access.url} answered {reply.status} to {method} {path} ({detail(reply.value)}): "
                "look at the api-server's log."
            )
        return reply

    def _send(self, method: str, path: str, value: Any, headers: Mapping[str, str]) -> Reply:
        """Send a request again and again while the server is away. Each of ours may be sent twice."""
        started, pause, warned = time.monotonic(), FIRST_PAUSE_S, False
        while True:
            try:
                reply = request(self.way, method, self.access.url.rstrip("/") + path, value=value, headers=headers)
                if reply.status not in AWAY:
                    return reply
                cause = f"HTTP status {reply.status}"
            except OSError as error:
                cause = str(error) or type(error).__name__
            if time.monotonic() - started >= self.deadline_s:
                raise TemporaryError(
                    f"Airflow at {self.access.url} did not answer inside {self.deadline_s:g} s ({cause}): is it "
                    "running and is KUBETUNE_AIRFLOW_URL right? Run the same command again when it answers."
                )
            if not warned:
                self.away(f"Airflow does not answer ({cause}); asking again for {self.deadline_s:g} s")
                warned = True
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)


def run_of(value: Mapping[str, Any]) -> DagRun:
    """Read a run from Airflow's answer."""
    return DagRun(str(value["dag_run_id"]), str(value["state"]), value.get("conf") or {}, value.get("note") or "")


def task_of(value: Mapping[str, Any]) -> TaskState:
    """Read a task from Airflow's answer."""
    return TaskState(
        str(value["task_id"]),
        value.get("state") or "waiting",
        int(value.get("try_number") or 0),
        value.get("duration"),
        value.get("pool") or "",
    )


def text_of(event: Any) -> str:
    """Return the text of one line of a log: Airflow writes maps or plain text."""
    if not isinstance(event, Mapping):
        return str(event)
    shown = str(event.get("event", ""))
    details = event.get("error_detail")
    causes = [f"{item.get('exc_type')}: {item.get('exc_value')}" for item in details or () if isinstance(item, Mapping)]
    return "\n".join([shown, *causes])


def detail(value: Any) -> str:
    """Return what an error's body says, in one short line."""
    found = value.get("detail") if isinstance(value, Mapping) else None
    if isinstance(found, Mapping):
        found = found.get("reason")
    return " ".join(str(found or "no reason given").split())[:200]

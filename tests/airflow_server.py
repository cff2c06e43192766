"""A loopback Airflow: the answers of the real api-server 3.3.2 in their shapes, with runs that a test moves on.

`tests/dags/test_rest.py` asks the real server the same questions, so that these shapes cannot drift unnoticed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from kubetune.config.version import tag
from loopback import QuietHandler, serving


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line on standard error: the reason."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


class FakeAirflow:
    """Runs of DAG `finetune` in memory. `away` makes it answer 503; `log` holds lines by (run, task, try)."""

    def __init__(self) -> None:
        self.users = {"admin": "pass"}
        self.tokens: set[str] = set()
        self.runs: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, dict[str, Any]]] = {}
        self.reasons: dict[tuple[str, ...], str] = {}
        """By run and task; another XCom than `reason` by its key as well."""
        self.logs: dict[tuple[str, str, int], list[str]] = {}
        self.has_dag, self.paused, self.away = True, False, 0
        self.forbidden = False
        self.tags = ["kubetune", tag()]
        self.requests: list[tuple[str, str]] = []
        self.looks: list[Any] = []
        """Called one a look at a run, so that a test can move it on."""

    def add_task(self, run: str, name: str, state: str | None, attempt: int = 1, duration: float | None = None) -> None:
        self.tasks.setdefault(run, {})[name] = {
            "task_id": name, "dag_run_id": run, "dag_id": "finetune", "map_index": -1,
            "state": state, "try_number": attempt, "max_tries": 5, "duration": duration,
        }  # fmt: skip

    def begin(self, run: str, conf: dict[str, Any] | None = None, state: str = "running") -> None:
        self.runs[run] = {
            "dag_run_id": run, "dag_id": "finetune", "logical_date": None, "state": state, "run_type": "manual",
            "conf": conf or {}, "note": None,
        }  # fmt: skip

    def end(self, run: str, state: str) -> None:
        self.runs[run]["state"] = state

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, token: str) -> tuple[int, Any]:
        if self.away > 0:
            self.away -= 1
            return 503, None
        if (method, path) == ("POST", "/auth/token"):
            if self.users.get(body["username"]) != body["password"]:
                return 401, {"detail": "Invalid credentials"}
            self.tokens.add(f"token-{len(self.tokens)}")
            return 201, {"access_token": f"token-{len(self.tokens) - 1}"}
        if token not in self.tokens:
            return 401, {"detail": "Invalid or expired JWT token"}
        if self.forbidden:
            return 403, {"detail": "Forbidden"}
        if not self.has_dag:
            return 404, {"detail": "The Dag with ID: `finetune` was not found"}
        return self.inside(method, path.removeprefix("/api/v2/dags/finetune"), query, body)

    def inside(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        match method, [unquote(part) for part in path.split("/") if part]:
            case "GET", []:
                tags = [{"name": name, "dag_id": "finetune"} for name in self.tags]
                return 200, {"dag_id": "finetune", "is_paused": self.paused, "tags": tags}
            case "POST", ["dagRuns"]:
                assert body["logical_date"] is None
                if body["dag_run_id"] in self.runs:
                    return 409, {"detail": {"reason": "Unique constraint violation", "statement": "hidden"}}
                self.begin(body["dag_run_id"], body["conf"], "queued")
                self.runs[body["dag_run_id"]]["note"] = body.get("note")
                return 200, self.runs[body["dag_run_id"]]
            case "GET", ["dagRuns"]:
                start, states = query.get("run_id_pattern", ["%"])[0].removesuffix("%"), query.get("state")
                found = [
                    run
                    for name, run in reversed(self.runs.items())
                    if name.startswith(start) and (states is None or run["state"] in states)
                ]
                return 200, {"dag_runs": found, "total_entries": len(found)}
            case _, ["dagRuns", run, *_] if run not in self.runs:
                return 404, {"detail": f"The DagRun with dag_id: `finetune` and run_id: `{run}` was not found"}
            case "GET", ["dagRuns", run]:
                if self.looks:
                    self.looks.pop(0)()
                return 200, self.runs[run]
            case "PATCH", ["dagRuns", run]:
                self.runs[run] |= body
                for task in self.tasks.get(run, {}).values():
                    task["state"] = {"running": "failed", "deferred": "failed"}.get(task["state"], task["state"])
                return 200, self.runs[run]
            case "GET", ["dagRuns", run, "taskInstances"]:
                found = list(self.tasks.get(run, {}).values())
                return 200, {"task_instances": found, "total_entries": len(found)}
            case "GET", ["dagRuns", run, "taskInstances", task, "xcomEntries", key]:
                named = (run, task) if key == "reason" else (run, task, key)
                if named not in self.reasons:
                    return 404, {"detail": f"XCom entry with key: `{key}` not found"}
                return 200, {"key": key, "task_id": task, "value": self.reasons[named]}
            case "GET", ["dagRuns", run, "taskInstances", task, "logs", attempt]:
                lines = self.logs.get((run, task, int(attempt)))
                if lines is None:
                    return 404, {"detail": "TaskInstance not found"}
                own = [{"event": "::group::Log message source details"}, {"event": "::endgroup::"}]
                return 200, {"content": [*own, *({"event": line, "level": "info"} for line in lines)]}
        raise AssertionError(f"{method} {path} is not asked of Airflow")


@contextmanager
def running_airflow() -> Iterator[tuple[FakeAirflow, str]]:
    """Run it on a free loopback port; yields it and its address."""
    airflow = FakeAirflow()

    class Handler(QuietHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = json.loads(self.body() or b"null")
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            airflow.requests.append((self.command, parts.path))
            status, value = airflow.answer(self.command, parts.path, parse_qs(parts.query), body, token)
            self.send(status, json.dumps(value).encode(), Content_Type="application/json")

    with serving(Handler) as url:
        yield airflow, url

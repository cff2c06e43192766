"""Runs one stage call, the same way on a laptop, in a pod and in a test: adopt its result, or produce and commit it."""

import time
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from kubetune.config.settings import Settings
from kubetune.contract import Progress
from kubetune.errors import KubetuneError, NothingToDoError
from kubetune.execution.adopt import StageResult, adopt, prepare_call, raise_for_verdict
from kubetune.execution.platform import open_configured_store
from kubetune.execution.stage import Execution
from kubetune.plan import StageCall
from kubetune.redaction import redact
from kubetune.storage.base import Store
from kubetune.storage.cached import cached_run
from kubetune.storage.runs import record_attempt

__all__ = ["StageResult", "adopt_stage", "open_configured_store", "raise_for_verdict", "run_stage"]


def run_stage(
    call: StageCall,
    store: Store,
    settings: Settings,
    *,
    progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
    audit: bool = False,
) -> StageResult:
    """Adopt the stage's result if it exists, else produce and commit it.

    Args:
        call: Which stage of which run.
        store: Where results live.
        settings: Deployment settings.
        progress: Live progress for a person.
        should_stop: The stop flag.
        audit: Run the body although the result exists, and compare every byte.

    Raises:
        RefusedError: A stage before this one was refused.
        ConfigError: A stage before this one has not run, or this run's commit was made under another key.
        CorruptArtifactError: An input's bytes are broken; its key was quarantined.
        ConflictingCommitError: A different result stands, or an audit gave other bytes.
    """
    started, store = time.monotonic(), cached_run(store, call.run)
    prepared = prepare_call(call, store, settings)
    attempt = new_attempt(settings)
    if not call.stage.effect and not audit:
        adopted = adopt(prepared, store, attempt)
        if adopted is not None:
            return replace(adopted, seconds=time.monotonic() - started)
    work = Execution(prepared, store, settings, progress, should_stop, attempt)
    try:
        result = work.audit() if audit and not call.stage.effect else work.execute()
    except NothingToDoError:
        raise  # an answer, not a failure
    except BaseException as error:
        code = error.exit_code if isinstance(error, KubetuneError) else 70
        record_failure(store, call, attempt, code, error)
        raise
    return replace(result, seconds=time.monotonic() - started)


def adopt_stage(call: StageCall, store: Store, settings: Settings) -> StageResult | None:
    """Adopt the stage's result if it exists; None if the stage has to run. Imports nothing heavy."""
    if call.stage.effect:
        return None
    started, attempt = time.monotonic(), new_attempt(settings)
    try:
        adopted = adopt(prepare_call(call, store, settings), store, attempt)
    except KubetuneError as error:  # for example data that is not there: the run failed, and should say so later
        record_failure(store, call, attempt, error.exit_code, error)
        raise
    return None if adopted is None else replace(adopted, seconds=time.monotonic() - started)


def new_attempt(settings: Settings) -> str:
    """Name this execution: the platform's name for it, else the time and a few random digits."""
    return settings.attempt or f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid4().hex[:8]}"


def record_failure(store: Store, call: StageCall, attempt: str, code: int, error: BaseException) -> None:
    """Keep a failed attempt's reason; never let a failure to do so hide the reason itself."""
    facts = {"exit_code": code, "reason": redact(" ".join(str(error).split()))[:1000], "kind": type(error).__name__}
    try:
        record_attempt(store, call.run, call.stage.name, attempt, facts)
    except KubetuneError:
        return

"""Runs one stage call, the same way on a laptop, in a pod and in a test: adopt its result, or produce and commit it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

from kubetune.config.settings import Settings
from kubetune.contract import Progress
from kubetune.errors import ConflictingCommitError, KubetuneError, NothingToDoError
from kubetune.execution.adopt import StageResult, adopt, own_commit, prepare_call, raise_for_verdict
from kubetune.execution.platform import open_configured_store
from kubetune.execution.stage import Execution
from kubetune.plan import StageCall
from kubetune.redaction import redact
from kubetune.storage import commits
from kubetune.storage.base import Store
from kubetune.storage.blobs import broken_blobs, list_tree, put_tree
from kubetune.storage.cached import cached_run
from kubetune.storage.commit_record import Commit
from kubetune.storage.runs import record_attempt

__all__ = ["StageResult", "adopt_stage", "audit_stage", "open_configured_store", "raise_for_verdict", "run_stage"]


def run_stage(
    call: StageCall,
    store: Store,
    settings: Settings,
    *,
    progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
) -> StageResult:
    """Adopt the stage's result if it exists, else produce and commit it.

    Args:
        call: Which stage of which run.
        store: Where results live.
        settings: Deployment settings.
        progress: Live progress for a person.
        should_stop: The stop flag.

    Raises:
        RefusedError: A stage before this one was refused.
        ConfigError: A stage before this one has not run, or this run's commit was made under another key.
        CorruptArtifactError: An input's bytes are broken; its key was quarantined.
        ConflictingCommitError: A different result stands.
    """
    started, store = time.monotonic(), cached_run(store, call.run)
    prepared = prepare_call(call, store, settings)
    work = Execution(prepared, store, settings, progress, should_stop, new_attempt(settings))
    result = None if call.stage.effect else adopt(prepared, store, work.attempt)
    if result is None:
        with failure_recorded(work):
            result = work.execute()
    return replace(result, seconds=time.monotonic() - started)


def audit_stage(
    call: StageCall,
    store: Store,
    settings: Settings,
    *,
    progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
) -> StageResult:
    """Run the stage beside its existing result and compare every byte; broken blobs are found and put right.

    For the arguments and what else is raised see `run_stage`, which an effect is left to.

    Raises:
        ConflictingCommitError: The second execution gave another result.
    """
    if call.stage.effect:
        return run_stage(call, store, settings, progress=progress, should_stop=should_stop)
    started, store = time.monotonic(), cached_run(store, call.run)
    prepared = prepare_call(call, store, settings)
    work = Execution(prepared, store, settings, progress, should_stop, new_attempt(settings))
    with failure_recorded(work):
        standing = own_commit(prepared)
        result = work.execute() if standing is None else compare_executions(work, standing)
    return replace(result, seconds=time.monotonic() - started)


def compare_executions(work: Execution, standing: Commit) -> StageResult:
    """Run the body again and compare with the commit that stands.

    Raises:
        ConflictingCommitError: The results differ.
    """
    call, store = work.prepared.call, work.store
    broken = broken_blobs(store, standing.files)
    if broken:
        commits.quarantine(store, call.stage.name, standing.key, broken, "an audit found bytes without their digest")
    with work.body_result() as (result, outputs):
        fresh = work.record(result, {name: list_tree(folder) for name, folder in outputs.items()})
        if fresh.result != standing.result:
            raise ConflictingCommitError(
                f"Audit of stage {call.stage.name} of run {call.run}: a second execution gave another result, so "
                "it is not deterministic; the first stays."
            )
        for folder in outputs.values():
            put_tree(store, folder, rewrite=broken)
        commits.index(store, standing)
    note = f"{len(broken)} broken blobs were written again." if broken else "every byte is the same."
    return StageResult("audited", standing, note=note)


@contextmanager
def failure_recorded(work: Execution) -> Iterator[None]:
    """Keep the reason where a block fails; an answer such as "the champion stays" is no failure."""
    try:
        yield
    except NothingToDoError:
        raise
    except BaseException as error:
        code = error.exit_code if isinstance(error, KubetuneError) else 70
        record_failure(work.store, work.prepared.call, work.attempt, code, error)
        raise


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

"""The notices of `kubetune run`: begun, failed, decided, moved. Facts come from records: a re-run repeats nothing."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from kubetune import layout
from kubetune.config.settings import Settings
from kubetune.errors import InterruptedRunError, KubetuneError, NothingToDoError
from kubetune.execution.adopt import StageResult
from kubetune.execution.local import StageFailedError
from kubetune.notifications.announce import announce, wait_until_sent
from kubetune.notifications.answers import notice_of
from kubetune.notifications.events import Notice, decision_notice, failed_notice, safe_reason, started_notice
from kubetune.plan import StageCall
from kubetune.storage.base import Store
from kubetune.storage.runs import list_attempts, read_run

log = logging.getLogger(__name__)
Tell = Callable[[StageCall, StageResult], None]
DECIDES = "compare"
"""The stage whose commit holds a decision."""


@contextmanager
def announced(
    settings: Settings, store: Store, run: str, stopped: Callable[[], bool], wait_s: float | None = None
) -> Iterator[Callable[[Tell], Tell]]:
    """Tell people about the plan that a block executes.

    Args:
        settings: Whom to tell; nobody: nothing is read and nothing costs time.
        store: Where the run's records live.
        run: Run id.
        stopped: Whether somebody asked to stop: what follows from it is no failure.
        wait_s: Seconds that the end waits for sinks at most; None: `announce.WAIT_S`.

    Yields:
        Wraps what `execute_plan` calls after each stage.
    """
    if settings.notices is None:
        yield lambda tell: tell
        return
    latest: list[str] = []

    def noted(tell: Tell) -> Tell:
        def both(call: StageCall, result: StageResult) -> None:
            latest[:] = [call.stage.name]
            tell(call, result)
            if call.stage.name == DECIDES:
                _file(settings, lambda: committed_decision(run, result))
            elif moved := result.commit.facts.get("moved"):
                _file(settings, lambda: notice_of(moved, run))

        return both

    _file(settings, lambda: begun(store, run))
    try:
        yield noted
    except NothingToDoError as error:
        sentence = str(error)
        if latest != [DECIDES] and not stopped():  # a decision was announced
            _file(settings, lambda: declined(run, sentence))
        raise
    except (KubetuneError, StageFailedError) as error:
        caught = error
        if not stopped():
            _file(settings, lambda: failed(store, run, caught, latest))
        raise
    finally:
        wait_until_sent() if wait_s is None else wait_until_sent(wait_s)


def begun(store: Store, run: str) -> Notice:
    """Return the notice of a beginning. A run that goes on is the same one; a deleted and repeated one is not."""
    recipe = read_run(store, run)
    stat = store.stat(layout.run_record(run))
    digest = f"{store.url} {stat.modified if stat else uuid4().hex}"
    return started_notice(run, recipe=str((recipe or {}).get("name", "")), digest=digest)


def failed(store: Store, run: str, error: Exception, latest: list[str]) -> Notice:
    """Return the notice of a failure, with the reason that the newest attempt of the stage left.

    Args:
        store: Where attempts are recorded.
        run: Run id.
        error: What ended the execution.
        latest: The stage that was finished last, if one was: a refusal follows from its verdict.
    """
    if isinstance(error, StageFailedError):
        attempts = list_attempts(store, run, error.stage)
        name = max(attempts, default="")
        facts = attempts.get(name, {})
        # A process that was killed leaves no attempt: an older one's reason would be wrong.
        sentence = str(facts.get("reason", "")) if facts.get("exit_code") == error.code else ""
        message = f"Unexpected {facts.get('kind')}:" if error.code == 70 else sentence
        reason = safe_reason(error.code, message) if sentence else safe_reason(_unsaid(error.code), "")
        return _failed(run, error.stage, reason, f"{name} {error.code}" if sentence else uuid4().hex)
    code = error.exit_code if isinstance(error, KubetuneError) else 70
    stage = latest[-1] if latest and code == 77 else None
    return _failed(run, stage, safe_reason(code, str(error)), f"{code} {error}")


def committed_decision(run: str, result: StageResult) -> Notice:
    """Return the notice of a decision, whose facts are in the commit of stage `compare`.

    Raises:
        KeyError, ValueError: The commit holds no decision.
    """
    facts = result.commit.facts
    reasons = [str(reason) for reason in facts["reasons"]]
    rows = sorted(result.commit.metrics.items())
    return decision_notice(run, str(facts["outcome"]), reasons, rows, digest=result.commit.key)


def declined(run: str, sentence: str) -> Notice:
    """Return the notice of a promotion that was not made after all: overtaken, withdrawn, or not approved."""
    return decision_notice(run, "keep", [sentence], (), digest=f"declined {sentence}")


def _failed(run: str, stage: str | None, reason: str, digest: str) -> Notice:
    notice = failed_notice(run, stage, reason, digest=digest)
    look = f"kubetune show {run}" if stage is None else f"kubetune show {run}  ·  kubetune why {run} {stage}"
    return Notice(notice.kind, run, stage, notice.title, (*notice.lines, look), digest=digest)


def _unsaid(code: int) -> int | None:
    """A code whose sentence is not there has nothing to pass on."""
    return code if code in {65, 70} or code > 99 else None


def _file(settings: Settings, make: Callable[[], Notice | None]) -> None:
    """Build and announce a notice; a store that is away must not end the run on its account."""
    try:
        notice = make()
    except InterruptedRunError:
        raise  # somebody asked to stop at this very moment, and is heard once only
    except Exception as error:
        log.warning("a notice could not be written (%s)", type(error).__name__)
        return
    if notice is not None:
        announce(settings, notice)

"""Runs one stage: stored objects become folders, the body works on them, its folders become a commit.

The same function serves a laptop, a pod and a test. Nothing it writes is visible before the commit, and the commit is
written last, so a process may die at any line of this file.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

from kubetune.config.load import canonical
from kubetune.config.recipe import view
from kubetune.config.settings import Settings, environment, stage_environment
from kubetune.contract import Progress, Result, StageBody
from kubetune.errors import (
    ConfigError,
    ConflictingCommitError,
    CorruptArtifactError,
    KubetuneError,
    NothingToDoError,
    RefusedError,
)
from kubetune.keys import key_fields, key_of
from kubetune.plan import StageCall, plan
from kubetune.platform import identity_of, open_configured_store, platform_for
from kubetune.stages import PRODUCER
from kubetune.storage.base import Store
from kubetune.storage.blobs import broken_blobs, fetch_tree, list_tree, put_tree, tree_digest
from kubetune.storage.checkpoints import StoredCheckpoints
from kubetune.storage.commits import Commit, commit, read_commit
from kubetune.storage.endpoints import Endpoint, Target, change_endpoint
from kubetune.storage.index import find_result, index, lookup, quarantine
from kubetune.storage.runs import create_run, put_telemetry, record_attempt
from kubetune.telemetry import TelemetryFile

__all__ = ["StageResult", "adopt_stage", "open_configured_store", "raise_for_verdict", "run_stage"]


@dataclass(frozen=True)
class StageResult:
    """Outcome of a stage call.

    Attributes:
        status: `ran`, `adopted` (another run's commit), `kept` (this run's own), `audited` or `effect`.
        commit: The commit that stands; for an effect, what it did (in `facts`).
        source: Run whose commit was adopted; empty otherwise.
        seconds: Wall time of this call.
        note: A sentence worth showing; empty otherwise.
    """

    status: str
    commit: Commit
    source: str = ""
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class StageContext:
    """What a body may use besides its directories; see `contract.Context`."""

    progress: Progress
    telemetry: TelemetryFile
    scratch: Path
    checkpoints: Any
    platform: Mapping[str, Any]
    should_stop: Callable[[], bool]


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
    started = time.monotonic()
    prepared = prepare_call(call, store, settings)
    if not call.stage.effect and not audit:
        adopted = adopt(prepared, store)
        if adopted is not None:
            return replace(adopted, seconds=time.monotonic() - started)
    attempt = settings.attempt or f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid4().hex[:8]}"
    work = Execution(prepared, store, settings, progress, should_stop, attempt)
    try:
        result = work.audit() if audit and not call.stage.effect else work.execute()
    except BaseException as error:
        code = error.exit_code if isinstance(error, KubetuneError) else 70
        record_failure(store, call, attempt, code, error)
        raise
    return replace(result, seconds=time.monotonic() - started)


def adopt_stage(call: StageCall, store: Store, settings: Settings) -> StageResult | None:
    """Adopt the stage's result if it exists; None if the stage has to run. Imports nothing heavy."""
    if call.stage.effect:
        return None
    started = time.monotonic()
    adopted = adopt(prepare_call(call, store, settings), store)
    return None if adopted is None else replace(adopted, seconds=time.monotonic() - started)


def raise_for_verdict(result: StageResult) -> None:
    """Turn a committed refusal into its exit code, on the first run, on a retry and on adoption alike.

    Raises:
        RefusedError: The verdict is 77.
        NothingToDoError: The verdict is 99.
    """
    verdict = result.commit.verdict
    if verdict.passed:
        return
    sentence = f"Stage {result.commit.stage} of run {result.commit.run}: " + " ".join(verdict.reasons)
    raise NothingToDoError(sentence) if verdict.code == NothingToDoError.exit_code else RefusedError(sentence)


@dataclass(frozen=True)
class PreparedCall:
    """A call with its place in the store: the commits it reads and the key it has."""

    call: StageCall
    inputs: Mapping[str, Commit]
    fields: Mapping[str, str]
    key: str


def prepare_call(call: StageCall, store: Store, settings: Settings) -> PreparedCall:
    """Record or compare the run's recipe, find the inputs and compute the key."""
    create_run(store, call.run, canonical(call.recipe))
    refuse_after_refusal(call, store)
    inputs = {name: input_commit(call, name, store) for name in call.stage.inputs}
    digests = {name: tree_digest(found.outputs[name]) for name, found in inputs.items()}
    identity = identity_of(call, settings) if call.stage.reaches_outside else None
    fields = key_fields(call.stage, call.recipe, digests, identity)
    return PreparedCall(call, inputs, fields, key_of(fields))


def refuse_after_refusal(call: StageCall, store: Store) -> None:
    """Raise what a gate before this stage said, so that nothing runs after a refusal by any road."""
    for earlier in plan(call.recipe, call.run, until=call.stage.name)[:-1]:
        found = read_commit(store, call.run, earlier.stage.name)
        if found is not None:
            raise_for_verdict(StageResult("kept", found))


def input_commit(call: StageCall, artifact: str, store: Store) -> Commit:
    """Return the commit of this run that holds an input.

    Raises:
        ConfigError: That stage has not run.
    """
    producer = PRODUCER[artifact].name
    found = read_commit(store, call.run, producer)
    if found is None or artifact not in found.outputs:
        raise ConfigError(
            f"Stage {call.stage.name} of run {call.run} reads {artifact!r}, which stage {producer} has not committed: "
            f"run `kubetune stage {producer} --run {call.run}` first, or the whole plan with `kubetune run`."
        )
    return found


def adopt(prepared: PreparedCall, store: Store) -> StageResult | None:
    """Adopt a commit with this key from this run or any other, verdict included; None if there is none to trust."""
    call = prepared.call
    own = read_commit(store, call.run, call.stage.name)
    if own is not None and own.key != prepared.key:
        differ = [name for name in {*own.fields, *prepared.fields} if own.fields.get(name) != prepared.fields.get(name)]
        raise ConfigError(
            f"Run {call.run} has a commit of stage {call.stage.name} that was made under another key "
            f"({', '.join(sorted(differ))[:300]} differ): a run never changes, use a new run name."
        )
    entry = find_result(store, call.run, call.stage.name, prepared.key)
    if entry.commit is None:
        return None
    if own is not None:
        return StageResult("kept", own)
    ours = replace(entry.commit, run=call.run)
    return StageResult("adopted", commit(store, ours), source=entry.commit.run)


@dataclass
class Execution:
    """One execution of a body."""

    prepared: PreparedCall
    store: Store
    settings: Settings
    progress: Progress
    should_stop: Callable[[], bool]
    attempt: str

    def execute(self) -> StageResult:
        """Run the body and commit what it wrote."""
        call = self.prepared.call
        if call.stage.effect:
            return self.apply()
        with self.body_result() as (result, outputs):
            broken = lookup(self.store, call.stage.name, self.prepared.key).broken
            files = {name: put_tree(self.store, folder, rewrite=broken) for name, folder in outputs.items()}
            standing = commit(self.store, self.record(result, files))
            indexed = index(self.store, standing)
        note = ""
        if not indexed.same:
            note = (
                f"Stage {call.stage.name} is not deterministic: run {indexed.first.run} has the same key and another "
                f"result ({indexed.differ}); the first stays in the index."
            )
        return StageResult("ran", standing, note=note)

    def apply(self) -> StageResult:
        """Run an effect: its wish is recorded before it, what came of it after it."""
        call = self.prepared.call
        artifact = call.stage.inputs[0]
        wanted = Target(call.run, self.prepared.inputs[artifact].outputs[artifact])
        former: list[Target | None] = [None]

        def wish(endpoint: Endpoint) -> Endpoint:
            former[0] = endpoint.desired
            return replace(endpoint, desired=wanted)

        wished = change_endpoint(self.store, call.endpoint, wish, event="deploy", at=now())
        try:
            with self.body_result() as (result, _):
                done = self.record(result, {})
        except BaseException:
            # Whoever deployed meanwhile has wished for something else: then that stands.
            self.settle(wished.epoch, "rollback", lambda endpoint: replace(endpoint, desired=former[0]))
            raise
        self.settle(
            wished.epoch, "serving", lambda endpoint: replace(endpoint, observed=wanted, facts=dict(result.facts))
        )
        return StageResult("effect", done)

    def settle(self, epoch: int, event: str, change: Callable[[Endpoint], Endpoint]) -> None:
        """Record what came of an effect, unless a later wish stands."""
        try:
            change_endpoint(self.store, self.prepared.call.endpoint, change, event=event, at=now(), epoch=epoch)
        except KubetuneError as error:
            self.progress.note(str(error))

    def audit(self) -> StageResult:
        """Run the body beside an existing result and compare; broken blobs are found and put right."""
        call, store = self.prepared.call, self.store
        standing = read_commit(store, call.run, call.stage.name)
        if standing is None:
            return self.execute()
        broken = broken_blobs(store, standing.files)
        if broken:
            quarantine(store, call.stage.name, standing.key, broken, "an audit found bytes without their digest")
        with self.body_result() as (result, outputs):
            fresh = self.record(result, {name: list_tree(folder) for name, folder in outputs.items()})
            if fresh.result != standing.result:
                raise ConflictingCommitError(
                    f"Audit of stage {call.stage.name} of run {call.run}: a second execution gave another result, so "
                    "it is not deterministic; the first stays."
                )
            for folder in outputs.values():
                put_tree(store, folder, rewrite=broken)
            index(store, standing)
        note = f"{len(broken)} broken blobs were written again." if broken else "every byte is the same."
        return StageResult("audited", standing, note=note)

    @contextmanager
    def body_result(self) -> Iterator[tuple[Result, dict[str, Path]]]:
        """Run the body in a fresh folder that is removed after the block."""
        call, stage = self.prepared.call, self.prepared.call.stage
        with tempfile.TemporaryDirectory(prefix=f"kubetune-{stage.name}-", ignore_cleanup_errors=True) as name:
            root = Path(name)
            outputs = {artifact: made(root / "outputs" / artifact) for artifact in stage.outputs}
            telemetry = TelemetryFile(made(root / "telemetry") / f"history-{self.attempt}.jsonl")
            try:
                inputs = self.fetch_inputs(root / "inputs")
                with environment(stage_environment(self.settings, outside=stage.reaches_outside)):
                    context = StageContext(
                        progress=self.progress,
                        telemetry=telemetry,
                        scratch=made(root / "scratch"),
                        checkpoints=self.checkpoints(root / "restored") if stage.resumable else None,
                        platform=platform_for(call, self.settings, self.store, inputs),
                        should_stop=self.should_stop,
                    )
                    telemetry.record("started", run=call.run, stage=stage.name, attempt=self.attempt)
                    result = load_body(stage.entry)(view(call.recipe, stage.sections), inputs, outputs, context)
                    telemetry.record("finished", metrics=dict(result.metrics), verdict=result.verdict.code)
                yield result, outputs
            finally:
                telemetry.close()
                put_telemetry(self.store, call.run, stage.name, telemetry.path.parent)

    def fetch_inputs(self, folder: Path) -> dict[str, Path]:
        """Bring the input artifacts into folders; broken bytes quarantine the key that led to them."""
        found = {}
        for artifact, source in self.prepared.inputs.items():
            target = folder / artifact
            target.mkdir(parents=True)
            try:
                fetch_tree(self.store, source.outputs[artifact], target)
            except CorruptArtifactError as error:
                quarantine(self.store, source.stage, source.key, [error.digest], str(error))
                raise
            found[artifact] = target
        return found

    def checkpoints(self, folder: Path) -> StoredCheckpoints:
        """The checkpoints of this key: whoever trains the same thing resumes the same state."""
        return StoredCheckpoints(self.store, self.prepared.key, folder, self.progress.note)

    def record(self, result: Result, files: Mapping[str, Any]) -> Commit:
        """The commit of a result."""
        call, facts = self.prepared.call, dict(result.facts)
        fingerprint = facts.pop("fingerprint", {})
        return Commit(
            run=call.run,
            stage=call.stage.name,
            key=self.prepared.key,
            fields=self.prepared.fields,
            inputs={name: tree_digest(found.outputs[name]) for name, found in self.prepared.inputs.items()},
            outputs=files,
            metrics=result.metrics,
            verdict=result.verdict,
            facts=facts,
            fingerprint=fingerprint,
            image=self.settings.image_digest,
            locks={"environment": environment_digest()},
            attempt=self.attempt,
        )


def now() -> str:
    """Time of day for records that people read."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def made(folder: Path) -> Path:
    """Create a folder and return it."""
    folder.mkdir(parents=True)
    return folder


def load_body(entry: str) -> StageBody:
    """Return the function named by `module:function`."""
    module, _, function = entry.partition(":")
    body: StageBody = getattr(import_module(module), function)
    return body


def environment_digest() -> str:
    """Digest of all installed distributions and versions, which is what a lock would state."""
    names = sorted({f"{item.metadata['Name']}=={item.version}" for item in metadata.distributions()})
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def record_failure(store: Store, call: StageCall, attempt: str, code: int, error: BaseException) -> None:
    """Keep a failed attempt's reason; never let a failure to do so hide the reason itself."""
    facts = {"exit_code": code, "reason": " ".join(str(error).split())[:1000], "kind": type(error).__name__}
    try:
        record_attempt(store, call.run, call.stage.name, attempt, facts)
    except KubetuneError:
        return

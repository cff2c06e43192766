"""One execution of a stage's body: inputs become folders, the body fills others, those become a commit, last.

A process may die at any line of this file: nothing that it wrote is visible before the commit.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

from kubetune import layout
from kubetune.config.cpus import thread_waiting
from kubetune.config.environment import environment
from kubetune.config.recipe import view
from kubetune.config.settings import Settings, stage_environment
from kubetune.contract import Progress, Result, StageBody
from kubetune.errors import CorruptArtifactError, TemporaryError
from kubetune.execution.adopt import PreparedCall, StageResult
from kubetune.execution.platform import identity_of, platform_for
from kubetune.execution.telemetry import TelemetryFile, uploaded
from kubetune.storage import commits
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, fetch_tree, put_tree
from kubetune.storage.checkpoints import StoredCheckpoints
from kubetune.storage.commit_record import Commit
from kubetune.storage.runs import put_telemetry


@dataclass(frozen=True)
class StageContext:
    """What a body may use besides its directories; see `contract.Context`."""

    progress: Progress
    telemetry: TelemetryFile
    scratch: Path
    checkpoints: Any
    platform: Mapping[str, Any]
    should_stop: Callable[[], bool]


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
            effect: Effect = load_entry(call.stage.effect)
            return effect(self)
        with self.body_result() as (result, outputs):
            self.check_identity()
            # Asked now and not taken from before the body, which may have run for hours: readers find broken bytes.
            broken = commits.lookup(self.store, call.stage.name, self.prepared.key).broken
            files = {name: put_tree(self.store, folder, rewrite=broken) for name, folder in outputs.items()}
            standing = commits.create_commit(self.store, self.record(result, files))
            indexed = commits.index(self.store, standing)
        note = ""
        if not indexed.same:
            note = (
                f"Stage {call.stage.name} is not deterministic: run {indexed.first.run} has the same key and another "
                f"result ({indexed.differ}); the first stays in the index."
            )
        return StageResult("ran", standing, note=note)

    def check_identity(self) -> None:
        """Make sure that the outside thing is still what the key says, else new content would get the old key.

        Raises:
            TemporaryError: It changed while it was read.
        """
        call = self.prepared.call
        if call.stage.reaches_outside:
            identity = identity_of(call, self.settings, self.store) or "none"
            if identity != self.prepared.fields["identity"]:
                raise TemporaryError(
                    f"What stage {call.stage.name} reads changed while it was read: nothing was committed, run the "
                    "same command again."
                )

    @contextmanager
    def body_result(self, **replaced: tuple[File, ...]) -> Iterator[tuple[Result, dict[str, Path]]]:
        """Run the body in a fresh folder that is removed after the block.

        Args:
            **replaced: Files of artifacts that take the place of this run's own.
        """
        call, stage = self.prepared.call, self.prepared.call.stage
        with tempfile.TemporaryDirectory(prefix=f"kubetune-{stage.name}-", ignore_cleanup_errors=True) as name:
            root = Path(name)
            outputs = {artifact: made(root / "outputs" / artifact) for artifact in stage.outputs}
            telemetry = TelemetryFile(made(root / "telemetry") / f"history-{self.attempt}.jsonl")
            live = layout.telemetry(call.run, stage.name, telemetry.path.name)
            try:
                inputs = self.fetch_inputs(root / "inputs", replaced)
                outside = stage_environment(self.settings, outside=stage.reaches_outside)
                with environment(outside | thread_waiting()):
                    context = StageContext(
                        progress=self.progress,
                        telemetry=telemetry,
                        scratch=made(root / "scratch"),
                        checkpoints=self.checkpoints(root / "restored") if stage.resumable else None,
                        platform=platform_for(call, self.settings, self.store),
                        should_stop=self.should_stop,
                    )
                    telemetry.record("started", run=call.run, stage=stage.name, attempt=self.attempt)
                    with uploaded(telemetry.path, lambda lines: self.store.put(live, lines)):
                        body: StageBody = load_entry(stage.entry)
                        result = body(view(call.recipe, stage.sections), inputs, outputs, context)
                    telemetry.record("finished", metrics=dict(result.metrics), verdict=result.verdict.code)
                yield result, outputs
            finally:
                telemetry.close()
                put_telemetry(self.store, call.run, stage.name, telemetry.path.parent)

    def fetch_inputs(self, folder: Path, replaced: Mapping[str, tuple[File, ...]]) -> dict[str, Path]:
        """Bring the input artifacts into folders; broken bytes quarantine the key that led to them."""
        found = {artifact: folder / artifact for artifact in replaced}
        for artifact, files in replaced.items():
            fetch_tree(self.store, files, made(folder / artifact))
        if self.prepared.champion is not None:
            found["champion"] = made(folder / "champion")
            self.prepared.champion.place(self.store, found["champion"])
        for artifact, source in self.prepared.inputs.items():
            if artifact in replaced:
                continue
            target = folder / artifact
            target.mkdir(parents=True)
            try:
                fetch_tree(self.store, source.outputs[artifact], target)
            except CorruptArtifactError as error:
                commits.quarantine(self.store, source.stage, source.key, [error.digest], str(error))
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
        if self.prepared.champion is not None:
            facts["champion"] = dict(self.prepared.champion.document)
        return Commit(
            run=call.run,
            stage=call.stage.name,
            key=self.prepared.key,
            fields=self.prepared.fields,
            inputs=self.prepared.digests,
            outputs=files,
            metrics=result.metrics,
            verdict=result.verdict,
            facts=facts,
            fingerprint=fingerprint,
            image=self.settings.image_digest,
            locks={"environment": environment_digest()},
            attempt=self.attempt,
        )


class Effect(Protocol):
    """What a stage does that changes records or an endpoint instead of writing artifacts.

    It runs the body itself (`Execution.body_result`), and may be repeated after a kill at any line.
    """

    def __call__(self, work: Execution) -> StageResult:
        """Carry it out, and return what it did as facts of a commit that is not stored."""


def made(folder: Path) -> Path:
    """Create a folder and return it."""
    folder.mkdir(parents=True)
    return folder


def load_entry(entry: str) -> Any:
    """Return the function named by `module:function`."""
    module, _, function = entry.partition(":")
    return getattr(import_module(module), function)


@cache
def environment_digest() -> str:
    """Digest of all installed distributions and versions, which is what a lock would state.

    Read once a process, whose modules are those of its beginning: reading all their metadata takes 0.14 s.
    """
    names = sorted({f"{item.metadata['Name']}=={item.version}" for item in metadata.distributions()})
    return hashlib.sha256("\n".join(names).encode()).hexdigest()

"""What a stage body is given and what it gives back. Bodies know directories; they know no store and no platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Verdict:
    """What a stage thinks of its own result. It is committed with the artifacts and adopted with them.

    Attributes:
        code: 0 (passed), 77 (refused) or 99 (nothing to do).
        reasons: One sentence each, with numbers; empty when passed.
    """

    code: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the stages after this one may run."""
        return self.code == 0


@dataclass(frozen=True)
class Result:
    """Outcome of a stage body.

    Attributes:
        metrics: Flat numbers worth listing beside a run, for example `{"accuracy": 0.93}`. They enter the
            commit, so they must be the same on a second execution: times and rates go to telemetry.
        verdict: Whether the plan may go on.
        facts: Further JSON-able facts for the commit (deterministic as well), for example the fingerprint.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Progress(Protocol):
    """Live progress for a person: a bar in a terminal, plain lines elsewhere."""

    def start(self, what: str, total: int | None = None) -> None:
        """Begin a phase of `total` steps (None: unknown)."""

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """Count `by` steps; `facts` (loss, rate, …) are shown beside the bar."""

    def note(self, line: str) -> None:
        """Say one plain sentence."""


class Telemetry(Protocol):
    """Append-only sink for what is true of this execution and not of its result."""

    def record(self, event: str, **values: Any) -> None:
        """Append one JSON-able record; the sink adds the time of day."""


class CheckpointSpool(Protocol):
    """Where `train` leaves checkpoints: local folders that the runner uploads, verifies and acknowledges.

    A checkpoint is a complete folder with a `manifest.json` (step, SHA-256 of each file) written last.
    """

    def restore(self) -> list[Path]:
        """Verified checkpoint folders, newest first; empty on a first attempt.

        Each was read back from the store and its digests were checked. Use the first that loads.
        """

    def publish(self, folder: Path) -> None:
        """Hand over a complete folder below `scratch`; returns once it is durable in the store.

        The spool keeps the newest three and deletes older ones only after a newer one was read back.

        Raises:
            StoreUnavailableError: The store did not take it inside its deadline.
        """


class Context(Protocol):
    """What a body may use besides its directories."""

    @property
    def progress(self) -> Progress:
        """Live progress for a person."""

    @property
    def telemetry(self) -> Telemetry:
        """Sink for times, rates and memory."""

    @property
    def scratch(self) -> Path:
        """An empty private folder, removed after the stage."""

    @property
    def checkpoints(self) -> CheckpointSpool:
        """Checkpoints under this stage's key; only `train` uses them."""

    @property
    def platform(self) -> Mapping[str, Any]:
        """Deployment settings that the runner passes to effect stages and to `ingest`/`fetch`.

        Keys by stage: `hub_token`, `hub_endpoint`, `offline`, `proxies`, `ca_bundle` (ingest, fetch);
        `endpoint`, `state_dir`, `port`, `serve_hosts`, `ready_timeout_s`, `trust` (deploy); `resources` (all others).
        Never part of a result.
        """

    def should_stop(self) -> bool:
        """True once SIGTERM or Ctrl-C asked the stage to end at its next safe point; then raise InterruptedRunError."""


class StageBody(Protocol):
    """Signature of every `kubetune.stages.<name>:run`."""

    def __call__(
        self, config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context
    ) -> Result:
        """Read `inputs`, fill the empty folders in `outputs`.

        Args:
            config: A view of the recipe that holds the declared sections only; touching another raises.
            inputs: Verified read-only folder by artifact name.
            outputs: Existing empty folder by artifact name.
            context: Progress, telemetry, scratch, checkpoints and the stop flag.
        """

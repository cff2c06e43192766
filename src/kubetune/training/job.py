"""What the loop is given and what it gives back: plain values, so that a rank in a process of its own gets the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from kubetune.config.training import TrainingSection
from kubetune.tasks.base import ModelSpec

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Job:
    """One training run on this machine.

    Attributes:
        spec: What to fine-tune.
        settings: Hyperparameters; the batch in there is global.
        dataset: Folder of artifact `dataset`.
        weights: Folder of artifact `weights`.
        output: Empty folder for artifact `model`.
        spool: Scratch folder for checkpoints.
        pad_token_id: What to pad with.
        vocabulary: The tokenizer's highest id, and one; 0: not known, so not compared with the embeddings.
        ranks: Processes of the loop.
        device: Where the module runs.
        threads: CPU threads of a rank.
        restore: Checkpoint folders to resume from, newest first.
        tune: Whether thresholds are tuned on validation rows; see `Task.finished`.
        mask_probability: Share of tokens that a task which masks them masks in training.
    """

    spec: ModelSpec
    settings: TrainingSection
    dataset: Path
    weights: Path
    output: Path
    spool: Path
    pad_token_id: int
    vocabulary: int = 0
    ranks: int = 1
    device: Device = "cpu"
    threads: int = 1
    restore: tuple[Path, ...] = ()
    tune: bool = True
    mask_probability: float = 0.15

    def to_json(self) -> str:
        """Write all of it as JSON."""
        values = {
            **vars(self),
            "spec": vars(self.spec) | {"head": dict(self.spec.head)},
            "settings": self.settings.model_dump(mode="json"),
            "restore": [str(folder) for folder in self.restore],
        }
        return json.dumps(values, default=str)

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Read what `to_json` wrote."""
        values = json.loads(text)
        spec = values["spec"]
        folders = {name: Path(values[name]) for name in ("dataset", "weights", "output", "spool")}
        return cls(
            **values
            | folders
            | {
                "spec": ModelSpec(**spec | {"labels": tuple(spec["labels"])}),
                "settings": TrainingSection.model_validate(values["settings"]),
                "restore": tuple(Path(folder) for folder in values["restore"]),
            }
        )


@dataclass(frozen=True)
class TrainingOutcome:
    """What a finished run says of itself; deterministic.

    Attributes:
        metrics: Validation metrics of the weights that were kept, and counts.
        facts: The fingerprint and what the guards found.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Host(Protocol):
    """The process around a loop: the stage itself, or a rank that talks to the stage through files."""

    def alive(self) -> None:
        """Send a heartbeat; a rank whose last one is too old has hung."""

    def should_stop(self) -> bool:
        """Whether the loop shall end at the next step boundary. Ranks agree on it before they act."""

    def start(self, what: str, total: int | None = None) -> None:
        """Begin a phase of `total` steps."""

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """Count steps of the phase."""

    def note(self, line: str) -> None:
        """Say one sentence to a person."""

    def record(self, event: str, **values: Any) -> None:
        """Append to telemetry."""

    def publish(self, folder: Path) -> None:
        """Hand a complete checkpoint folder over; returns once it is durable."""

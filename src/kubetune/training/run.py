"""A run in progress: what the steps of the loop share."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator

from kubetune.tasks.base import Feature, Task
from kubetune.tasks.reading import Turn
from kubetune.tasks.rows import EncodedRows
from kubetune.training.batches import Timeline
from kubetune.training.job import Host, Job
from kubetune.training.meter import Meter, process_seconds
from kubetune.training.parameters import Snapshot
from kubetune.training.state import State


@dataclass
class TrainingRun:
    """Everything a run in progress consists of.

    Attributes:
        module: The bare module, on its device.
        wrapped: The same, wrapped for the ranks and the precision.
        parameters: Trainable ones by name.
        before: Snapshot of all parameters before step 1.
        unused: Names that no gradient reaches.
        best: Best weights so far (rank 0 only).
        micro: Rows a rank computes at once.
        terms_a_row: Losses of a train row on average; 1 where a row has one.
    """

    job: Job
    host: Host
    task: Task
    accelerator: Accelerator
    train: EncodedRows
    validation: EncodedRows
    timeline: Timeline
    module: torch.nn.Module
    wrapped: torch.nn.Module
    before: dict[str, Snapshot]
    class_weights: torch.Tensor | None
    micro: int
    meter: Meter
    optimizer: torch.optim.AdamW = field(init=False)
    parameters: dict[str, torch.nn.Parameter] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    terms_a_row: float = 1.0
    state: State = field(default_factory=State)
    best: dict[str, torch.Tensor] | None = None

    def taught(self, numbers: np.ndarray) -> Sequence[Feature]:
        """Return the train rows of these numbers as the current pass over them shows them."""
        turn = Turn(
            seed=self.job.settings.seed,
            turn=self.state.step // self.timeline.steps_an_epoch,
            share=self.job.mask_probability,
            vocabulary=self.job.vocabulary,
        )
        return self.task.taught(self.train.pick(numbers), numbers, turn)

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes and speaks."""
        return bool(self.accelerator.is_main_process)


@contextmanager
def phase(host: Host, name: str) -> Iterator[None]:
    """Record wall and CPU seconds of a part of the run, whose beginning and end are signs of life."""
    wall, cpu = time.perf_counter(), process_seconds()
    host.alive()
    yield
    host.alive()
    seconds = time.perf_counter() - wall
    host.record("phase", phase=name, wall_seconds=seconds, cpu_seconds=process_seconds() - cpu)


@contextmanager
def heartbeat(run: TrainingRun) -> Iterator[None]:
    """Give a sign of life after each forward pass of the bare module: a validation pass may take hours."""
    handle = run.module.register_forward_hook(lambda *_: run.host.alive())
    try:
        yield
    finally:
        handle.remove()

"""Toy datasets made once, one torch thread, and a way to run the loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import trained_toys as toys
from kubetune.training.job import Job, TrainingOutcome
from kubetune.training.launch import launch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    former = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(former)


@pytest.fixture(scope="session")
def text_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_dataset(tmp_path_factory.mktemp("text-dataset"))


@pytest.fixture(scope="session")
def pair_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_dataset(tmp_path_factory.mktemp("pair-dataset"), kind="pair-classification")


@pytest.fixture(scope="session")
def entity_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_dataset(tmp_path_factory.mktemp("entity-dataset"), kind="token-classification")


@pytest.fixture(scope="session")
def answer_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_dataset(tmp_path_factory.mktemp("answer-dataset"), kind="question-answering")


@pytest.fixture(scope="session")
def labels_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_dataset(tmp_path_factory.mktemp("labels-dataset"), kind="text-classification-multi-label")


@pytest.fixture(scope="session")
def scratch_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_scratch_weights(tmp_path_factory.mktemp("scratch"))


@dataclass
class Trained:
    job: Job
    context: toys.ToyContext
    outcome: TrainingOutcome | None

    @property
    def losses(self) -> list[float]:
        return [event["loss"] for event in self.context.of("step")]

    @property
    def sha(self) -> str:
        return toys.sha(self.job.output)


@pytest.fixture
def run_toy(tmp_path: Path, text_dataset: Path, toy_model: Path) -> Callable[..., Trained]:
    """Run a toy job; `name` is its folder, `stop_after` and `on_publish` go to the context, the rest to `make_job`."""

    def run(name: str = "run", weights: Path | None = None, dataset: Path | None = None, **changes: Any) -> Trained:
        folder = tmp_path / name
        there = {key: changes.pop(key) for key in ("stop_after", "on_publish", "kept") if key in changes}
        attempt = len(list(folder.glob("scratch-*")))
        kept = there.pop("kept", folder / "kept")
        context = toys.ToyContext(folder / f"scratch-{attempt}", kept, **there)
        job = toys.make_job(
            folder, dataset or text_dataset, weights or toy_model, restore=tuple(context.restore()), **changes
        )
        trained = Trained(job, context, None)
        run.last = trained  # type: ignore[attr-defined]
        trained.outcome = launch(job, context, start=toys.ForkedRank)
        return trained

    return run
